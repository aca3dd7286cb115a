"""Denoising diffusion implicit models (Song et al. 2021 (DDIM))."""

import jax.numpy as jnp

from jaxgen.core import noise
from jaxgen.diffusion import log_snr_step
from jaxgen.samplers.driver import Sampler


def ddim(eta: float = 0.0) -> Sampler:
    """DDIM: deterministic at η = 0, ancestral sampling with the posterior's variance β̃ at η = 1.

        x_s = alpha_s x̂0 + √(sigma_s² − η² β̃) ε̂ + η √β̃ z,    β̃ = sigma_s² (1 − SNR_t/SNR_s)

    It serves any grid of any process, at one call a step.

    Args:
        eta: η in [0, 1].

    Returns:
        The sampler, without history; deterministic for η = 0.

    Raises:
        ValueError: unless 0 ≤ eta ≤ 1.

    Reference:
        Song et al. 2021 (DDIM), eq. 12 and 16.
    """
    if not 0 <= eta <= 1:
        raise ValueError(f"eta must lie in [0, 1] (0 deterministic, 1 DDPM), got {eta}")

    def step(key, process, denoise, t, s, x, carry):
        x0, eps, _ = denoise(x, t)
        alpha_s, sigma_s = process.alpha(s), process.sigma(s)
        # in units of sigma_s²: β̃ = 1 − SNR_t/SNR_s
        beta_tilde = -jnp.expm1(log_snr_step(process, s, t))
        mean = alpha_s * x0 + sigma_s * jnp.sqrt(1 - eta**2 * beta_tilde) * eps
        if eta == 0:
            return mean, carry
        z = noise(key, x.shape[1:], x.dtype)
        return mean + eta * sigma_s * jnp.sqrt(beta_tilde) * z, carry

    return Sampler(step)
