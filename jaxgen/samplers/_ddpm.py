"""Ancestral sampling of the reverse chain (Ho et al. 2020, algorithm 2)."""

from jaxgen.core import noise
from jaxgen.diffusion import Variance, check_variance, reverse_kernel
from jaxgen.samplers.driver import Sampler


def ddpm(variance: Variance = "fixed_small", noise_scale: float = 1.0) -> Sampler:
    """x_s = μ̃(x_t, x̂0) + √variance z on any grid (Ho et al. 2020, algorithm 2 and §3.2).

    variance: "fixed_small" is the posterior's β̃, "fixed_large" is β = sigma²_{t|s}, "learned" lies between them in logs by the
    denoiser's `variance_interpolation` (Nichol & Dhariwal 2021, eq. 15). The step to s = 0 takes β̃,
    which is 0 for a process that starts clean. noise_scale multiplies z; 0 leaves the mean.
    It is the ancestral predictor of Song et al. 2021 too: "fixed_small" on ve (eq. 47), "fixed_large" on vp (eq. 4).
    Raises ValueError for another variance, a negative noise_scale, or "learned" with a denoiser that has learned none.
    """
    check_variance(variance)
    if noise_scale < 0:
        raise ValueError(f"noise_scale must not be negative, got {noise_scale}")

    def step(key, process, denoise, t, s, x, carry):
        mean, std = reverse_kernel(process, denoise(x, t), x, s, t, variance)
        return mean + noise_scale * std * noise(key, x.shape[1:], x.dtype), carry

    return Sampler(step)
