"""Euler's method on the probability-flow ODE and on the reverse SDE, in t."""

import math

import jax.numpy as jnp

from jaxgen.core import noise
from jaxgen.diffusion import probability_flow, sde_coefficients, velocity
from jaxgen.samplers.driver import Sampler


def euler() -> Sampler:
    """x_s = x + (s − t) dx/dt on the probability-flow ODE (Song et al. 2021, eq. 13): order 1, one call a step.

    The same as DDIM where sigma and alpha are linear in t (`edm`, `rectified_flow`). Its steps live in t, in which vp
    moves fastest near 0: `ddim` suits coarse grids better. A discrete process raises ValueError: it has no derivative.
    """

    def step(key, process, denoise, t, s, x, carry):
        return x + (s - t) * probability_flow(process, denoise, x, t), carry

    return Sampler(step)


def euler_maruyama(eta: float = 1.0) -> Sampler:
    """x_s = x + (s − t) [f x − ½(1 + η²) g² score] + η g √(t − s) z on the reverse SDE: one call a step.

    eta: η ≥ 0 of `dynamics.reverse_sde`, 1 for the reverse SDE of Song et al. 2021 (eq. 6), 0 for `euler`. Weak
    order 1. The step to s = 0 adds no noise. Where alpha = 0 and g² is infinite (cosine, rectified flow at t = 1) the
    step's variance is taken as sigma². Raises ValueError for a negative or infinite eta, or a discrete process.
    """
    if not 0 <= eta < math.inf:
        raise ValueError(f"eta must be finite and not negative (0 the ODE, 1 the reverse SDE), got {eta}")
    if eta == 0:
        return euler()

    def step(key, process, denoise, t, s, x, carry):
        prediction, sigma = denoise(x, t), process.sigma(t)
        variance = (t - s) * sde_coefficients(process, t).diffusion_squared
        variance = eta**2 * jnp.where(jnp.isfinite(variance), variance, sigma**2)
        mean = x + (s - t) * velocity(process, prediction, t) - variance / (2 * sigma) * prediction.eps
        return mean + jnp.where(s > 0, jnp.sqrt(variance), 0) * noise(key, x.shape[1:], x.dtype), carry

    return Sampler(step)
