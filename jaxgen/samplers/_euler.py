"""Euler's method on the probability-flow ODE and on the reverse SDE, in t."""

import jax.numpy as jnp

from jaxgen.core import check_not_negative, noise
from jaxgen.diffusion import probability_flow, sde_coefficients, velocity
from jaxgen.samplers.driver import Sampler


def euler() -> Sampler:
    """Euler's method on the probability-flow ODE: order 1, one call a step.

        x_s = x + (s − t) dx/dt

    It equals DDIM where sigma and alpha are linear in t (`edm`, `rectified_flow`). Its steps live in t, in which vp
    moves fastest near 0, so `ddim` suits coarse grids better.

    Returns:
        The sampler, deterministic and without history.

    Raises:
        ValueError: if the process is discrete, in the first step.

    Reference:
        Song et al. 2021, eq. 13.
    """

    def step(key, process, denoise, t, s, x, carry):
        d_cur = probability_flow(process, denoise, x, t)
        return x + (s - t) * d_cur, carry

    return Sampler(step)


def euler_maruyama(eta: float = 1.0) -> Sampler:
    """The Euler–Maruyama method on the reverse SDE: weak order 1, one call a step.

        x_s = x + (s − t) [f x − ½(1 + η²) g² score] + η g √(t − s) z

    The step to s = 0 adds no noise. Where alpha = 0 and g² is infinite (cosine and rectified_flow at t = 1) the step's
    variance is taken as sigma².

    Args:
        eta: η ≥ 0: 1 is the reverse SDE, 0 the ODE (`euler`).

    Returns:
        The sampler, without history; deterministic for η = 0.

    Raises:
        ValueError: if eta is negative or not finite; in the first step, if the process is discrete.

    Reference:
        Song et al. 2021, eq. 6.
    """
    check_not_negative(eta=eta)
    if eta == 0:
        return euler()

    def step(key, process, denoise, t, s, x, carry):
        prediction, sigma = denoise(x, t), process.sigma(t)
        # η² g² (t − s)
        variance = (t - s) * sde_coefficients(process, t).diffusion_squared
        variance = eta**2 * jnp.where(jnp.isfinite(variance), variance, sigma**2)
        # the ODE's step, and the part −½ η² g² score of the drift
        mean = x + (s - t) * velocity(process, prediction, t) - variance / (2 * sigma) * prediction.eps
        z = noise(key, x.shape[1:], x.dtype)
        return mean + jnp.where(s > 0, jnp.sqrt(variance), 0) * z, carry

    return Sampler(step)
