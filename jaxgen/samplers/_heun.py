"""Heun's second-order method with churn (Karras et al. 2022 (EDM), algorithm 2)."""

import math

import jax
import jax.numpy as jnp

from jaxgen.core import noise
from jaxgen.diffusion import transition
from jaxgen.samplers.driver import Sampler


def heun(churn: float = 0.0, churn_range: tuple[float, float] = (0.0, math.inf), noise_scale: float = 1.0) -> Sampler:
    """Two calls a step: a DDIM step, then the same step along the mean of the slopes at both of its ends.

    Written in σ̃ = sigma/alpha on x/alpha, so any process and grid is served, discrete ones too; order 2 without churn.
    A step to sigma = 0 is a DDIM step of one call, so N steps to clean data cost 2N − 1 calls; a step from alpha = 0 is
    one too.
    churn: γ ≥ 0, the share by which noise raises σ̃ before a step; EDM's S_churn over N steps is
    γ = min(S_churn/N, √2 − 1). churn_range: the σ̃ where it does. noise_scale: EDM's S_noise.
    Raises ValueError for a negative churn or noise_scale, or a range that does not ascend.
    """
    low, high = churn_range
    if not (0 <= churn < math.inf and 0 <= noise_scale < math.inf and 0 <= low < high):
        raise ValueError(
            "need churn >= 0, noise_scale >= 0 and churn_range=(low, high) with 0 <= low < high, "
            f"got churn={churn}, noise_scale={noise_scale}, churn_range={churn_range}"
        )

    def renoise(key, process, t, x):
        log_snr = process.log_snr(t)
        gamma = jnp.where((log_snr <= -2 * math.log(low or 1e-30)) & (log_snr >= -2 * math.log(high)), churn, 0)
        # a table answers with its nearest time, which may lie below t
        higher = jnp.maximum(t, process.time_at_log_snr(log_snr - 2 * jnp.log1p(gamma)))
        raised = jnp.where(gamma > 0, higher, t)
        alpha, variance = transition(process, t, raised)
        churned = alpha * x + noise_scale * jnp.sqrt(variance) * noise(key, x.shape[1:], x.dtype)
        return raised, jnp.where(gamma > 0, churned, x)

    def step(key, process, denoise, t, s, x, carry):
        if churn > 0:
            t, x = renoise(key, process, t, x)
        x0, eps, _ = denoise(x, t)
        alpha_t, alpha_s, sigma_t, sigma_s = process.alpha(t), process.alpha(s), process.sigma(t), process.sigma(s)
        euler = alpha_s * x0 + sigma_s * eps

        def corrected():
            # alpha_s (σ̃_s − σ̃_t) times half the change of slope
            return euler + (sigma_s - sigma_t * alpha_s / alpha_t) / 2 * (denoise(euler, s).eps - eps)

        return jax.lax.cond((sigma_s > 0) & (alpha_t > 0), corrected, lambda: euler), carry

    return Sampler(step)
