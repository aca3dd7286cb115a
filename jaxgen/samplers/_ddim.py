"""Denoising diffusion implicit models (Song et al. 2021 (DDIM), eq. 12 and 16)."""

import jax.numpy as jnp

from jaxgen.core import noise
from jaxgen.diffusion import log_snr_step
from jaxgen.samplers.driver import Sampler


def ddim(eta: float = 0.0) -> Sampler:
    """x_s = alpha_s x̂0 + √(sigma_s² − η²β̃) ε̂ + η√β̃ z: deterministic at η = 0, DDPM with β̃ at η = 1.

    β̃ is the posterior's variance, so any grid of any process is served. Raises ValueError unless 0 ≤ eta ≤ 1.
    """
    if not 0 <= eta <= 1:
        raise ValueError(f"eta must lie in [0, 1] (0 deterministic, 1 DDPM), got {eta}")

    def step(key, process, denoise, t, s, x, carry):
        x0, eps, _ = denoise(x, t)
        # β̃/sigma_s² = 1 − e^{λ_t−λ_s}
        fresh = -jnp.expm1(log_snr_step(process, s, t))
        sigma = process.sigma(s)
        mean = process.alpha(s) * x0 + sigma * jnp.sqrt(1 - eta**2 * fresh) * eps
        if eta == 0:
            return mean, carry
        return mean + eta * sigma * jnp.sqrt(fresh) * noise(key, x.shape[1:], x.dtype), carry

    return Sampler(step)
