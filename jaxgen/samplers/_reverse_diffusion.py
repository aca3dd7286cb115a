"""The reverse-diffusion predictor of score SDEs (Song et al. 2021)."""

import jax.numpy as jnp

from jaxgen.core import noise
from jaxgen.diffusion import score, transition
from jaxgen.samplers.driver import Sampler


def reverse_diffusion() -> Sampler:
    """The reverse SDE, discretised as its own forward chain is: weak order 1, one call a step.

        x_s = (2 − alpha_{t|s}) x + sigma²_{t|s} score + sigma_{t|s} z

    It serves any grid of any process. On ve it is x + (sigma_t² − sigma_s²) score + …, on vp (2 − √(1−β)) x + β score
    + √β z. The step to s = 0 adds no noise.

    Returns:
        The sampler, without history.

    Reference:
        Song et al. 2021, eq. 46 and algorithms 2 and 3.
    """

    def step(key, process, denoise, t, s, x, carry):
        alpha, variance = transition(process, s, t)
        mean = (2 - alpha) * x + variance * score(process, denoise(x, t), t)
        z = noise(key, x.shape[1:], x.dtype)
        return mean + jnp.where(s > 0, jnp.sqrt(variance), 0) * z, carry

    return Sampler(step)
