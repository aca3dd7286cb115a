"""Ancestral sampling of the reverse chain (Ho et al. 2020, algorithm 2)."""

from typing import Literal, get_args

import jax.numpy as jnp

from jaxgen.diffusion.kernel import posterior_coefficients, transition
from jaxgen.samplers.driver import Sampler, noise

Variance = Literal["small", "large", "learned"]


def ddpm(variance: Variance = "small", noise_scale: float = 1.0) -> Sampler:
    """x_s = μ̃(x_t, x̂0) + √variance z on any grid (Ho et al. 2020, algorithm 2 and §3.2).

    variance: "small" is the posterior's β̃, "large" is β = sigma²_{t|s}, "learned" lies between them in logs by the
    denoiser's `variance_fraction` (Nichol & Dhariwal 2021, eq. 15). The step to s = 0 takes β̃,
    which is 0 for a process that starts clean. noise_scale multiplies z; 0 leaves the mean.
    It is the ancestral predictor of Song et al. 2021 too: "small" on ve (eq. 47), "large" on vp (eq. 4).
    Raises ValueError for another variance, a negative noise_scale, or "learned" with a denoiser that has learned none.
    """
    if variance not in get_args(Variance):
        raise ValueError(f"unknown variance {variance!r}: choose one of {', '.join(get_args(Variance))}")
    if noise_scale < 0:
        raise ValueError(f"noise_scale must not be negative, got {noise_scale}")

    def step(key, process, denoise, t, s, x, carry):
        x0, _, fraction = denoise(x, t)
        of_x, of_x0, small = posterior_coefficients(process, s, t)
        mean = of_x * x + of_x0 * x0
        chosen = small if variance == "small" else transition(process, s, t).variance
        if variance == "learned":
            if fraction is None:
                raise ValueError("variance='learned' needs a denoiser made with learned_variance=True")
            # the tiny floor is for s = 0, which takes `small` below
            low, high = jnp.log(jnp.maximum(small, 1e-30)), jnp.log(chosen)
            chosen = jnp.exp(low + fraction * (high - low))
        std = jnp.sqrt(jnp.where(s > 0, chosen, small))
        return mean + noise_scale * std * noise(key, x.shape[1:], x.dtype), carry

    return Sampler(step)
