"""The reverse-diffusion predictor of score SDEs (Song et al. 2021, appendix E)."""

import jax.numpy as jnp

from jaxgen.core import noise
from jaxgen.diffusion import score, transition
from jaxgen.samplers.driver import Sampler


def reverse_diffusion() -> Sampler:
    """x_s = (2 − alpha_{t|s}) x + sigma²_{t|s} score + sigma_{t|s} z (Song et al. 2021, eq. 46; algorithms 2 and 3).

    The reverse SDE stepped as its own forward chain is, so any grid of any process is served: on ve it is
    x + (sigma_t² − sigma_s²) score + …, on vp (2 − √(1−β)) x + β score + √β z. Weak order 1, one call a step; the step
    to s = 0 adds no noise.
    """

    def step(key, process, denoise, t, s, x, carry):
        alpha, variance = transition(process, s, t)
        mean = (2 - alpha) * x + variance * score(process, denoise(x, t), t)
        return mean + jnp.where(s > 0, jnp.sqrt(variance), 0) * noise(key, x.shape[1:], x.dtype), carry

    return Sampler(step)
