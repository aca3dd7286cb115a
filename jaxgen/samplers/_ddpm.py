"""Ancestral sampling of the reverse chain (Ho et al. 2020)."""

from jaxgen.core import check_not_negative, noise
from jaxgen.diffusion import Variance, check_variance, reverse_kernel
from jaxgen.samplers.driver import Sampler


def ddpm(variance: Variance = "fixed_small", noise_scale: float = 1.0) -> Sampler:
    """DDPM's ancestral sampling on any grid, at one call a step.

        x_s = μ̃(x_t, x̂0) + noise_scale · √variance z,    μ̃ the mean of q(x_s | x_t, x0 = x̂0)

    The step to s = 0 takes the variance β̃, which is 0 for a process that starts clean. It is also the ancestral
    predictor of Song et al. 2021: "fixed_small" on ve (eq. 47), "fixed_large" on vp (eq. 4).

    Args:
        variance: "fixed_small" is the posterior's β̃, "fixed_large" is β = sigma²_{t|s}. "learned" interpolates
            between their logarithms by the denoiser's `variance_interpolation` (Nichol & Dhariwal 2021, eq. 15).
        noise_scale: factor ≥ 0 of the noise; 0 leaves the mean.

    Returns:
        The sampler, without history.

    Raises:
        ValueError: if the variance is unknown, or noise_scale is negative or not finite; in the first step, if the
            variance is "learned" and the denoiser has learned none.

    Reference:
        Ho et al. 2020, algorithm 2 and §3.2.
    """
    check_variance(variance)
    check_not_negative(noise_scale=noise_scale)

    def step(key, process, denoise, t, s, x, carry):
        mean, std = reverse_kernel(process, denoise(x, t), x, s, t, variance)
        z = noise(key, x.shape[1:], x.dtype)
        return mean + noise_scale * std * z, carry

    return Sampler(step)
