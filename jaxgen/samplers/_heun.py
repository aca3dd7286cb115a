"""Heun's second-order method with churn (Karras et al. 2022 (EDM))."""

import math

import jax
import jax.numpy as jnp

from jaxgen.core import noise
from jaxgen.diffusion import transition
from jaxgen.samplers.driver import Sampler


def heun(churn: float = 0.0, churn_range: tuple[float, float] = (0.0, math.inf), noise_scale: float = 1.0) -> Sampler:
    """EDM's sampler: an Euler step in σ̃ = sigma/alpha on x/alpha, corrected by the slope at its end.

    It serves any grid of any process, at two calls a step. Without churn it is of order 2. A step to sigma = 0 or from
    alpha = 0 is an Euler step of one call, so N steps to clean data cost 2N − 1 calls.

    The error of the step to sigma = 0 is in proportion to the square of its σ̃. Where sigma grows like t from 0 (`edm`,
    `rectified_flow`), that keeps order 2. Where sigma grows like √t (`vp`, `cosine`), the square is in proportion to
    the step in t, and a uniform grid down to t = 0 is of order 1 only, once its steps are small. A grid that is finer
    towards 0, such as `quadratic_grid`, is of order 2 there too.

    The noise level is raised no further than the process goes, to σ̃(1), because the denoiser knows no later time. A
    step from t = 1 gets no churn, whereas EDM's own sampler raises σ above its σ_max. To follow EDM, make the process
    longer than the grid: `edm(80 * (1 + churn))` with a grid that begins at σ = 80.

    Args:
        churn: γ ≥ 0, the share by which fresh noise raises σ̃ before a step. EDM's S_churn over N steps is
            γ = min(S_churn/N, √2 − 1).
        churn_range: the lowest and highest σ̃ at which it does (EDM's S_tmin and S_tmax).
        noise_scale: standard deviation ≥ 0 of the fresh noise (EDM's S_noise).

    Returns:
        The sampler, without history; deterministic for churn = 0.

    Raises:
        ValueError: if churn or noise_scale is negative or not finite, or unless 0 ≤ low < high in churn_range.

    Reference:
        Karras et al. 2022, algorithm 2.
    """
    low, high = churn_range
    if not (0 <= churn < math.inf and 0 <= noise_scale < math.inf and 0 <= low < high):
        raise ValueError(
            "need churn >= 0, noise_scale >= 0 and churn_range=(low, high) with 0 <= low < high, "
            f"got {churn=}, {noise_scale=}, {churn_range=}"
        )

    def add_noise(key, process, t, x):
        log_snr = process.log_snr(t)
        # γ within the range of σ̃ = e^(−λ/2), else 0
        gamma = jnp.where((log_snr <= -2 * math.log(low or 1e-30)) & (log_snr >= -2 * math.log(high)), churn, 0)
        # t_hat: σ̃(t_hat) = (1 + γ) σ̃(t); a table answers with its nearest time, which may lie below t
        t_hat = jnp.maximum(t, process.time_at_log_snr(log_snr - 2 * jnp.log1p(gamma)))
        t_hat = jnp.where(gamma > 0, t_hat, t)
        # x_hat = x + noise of q(x_{t_hat} | x_t)
        alpha, variance = transition(process, t, t_hat)
        x_hat = alpha * x + noise_scale * jnp.sqrt(variance) * noise(key, x.shape[1:], x.dtype)
        return t_hat, jnp.where(gamma > 0, x_hat, x)

    def step(key, process, denoise, t, s, x, carry):
        # Raise the noise level: x_hat at t_hat
        t_hat, x_hat = add_noise(key, process, t, x) if churn > 0 else (t, x)
        alpha_hat, sigma_hat = process.alpha(t_hat), process.sigma(t_hat)
        alpha_s, sigma_s = process.alpha(s), process.sigma(s)

        # Euler step: the slope d(x/alpha)/dσ̃ is ε̂
        x0, d_cur, _ = denoise(x_hat, t_hat)
        x_next = alpha_s * x0 + sigma_s * d_cur

        # Second-order correction: half the change of slope, times alpha_s (σ̃_s − σ̃_hat)
        def corrected():
            d_prime = denoise(x_next, s).eps
            return x_next + (sigma_s - sigma_hat * alpha_s / alpha_hat) / 2 * (d_prime - d_cur)

        return jax.lax.cond((sigma_s > 0) & (alpha_hat > 0), corrected, lambda: x_next), carry

    return Sampler(step)
