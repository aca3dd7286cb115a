"""DPM-Solver++: exponential integrators in the data prediction (Lu et al. 2022b)."""

import jax
import jax.numpy as jnp

from jaxgen.core import noise
from jaxgen.diffusion import log_snr_step, posterior_coefficients
from jaxgen.samplers.driver import Sampler


def dpmpp_1() -> Sampler:
    """DPM-Solver++(1), the same as `ddim()`: order 1, one call a step.

        x_s = (sigma_s/sigma_t) x − alpha_s (e^(−h) − 1) x̂0,    h = log(alpha_s/sigma_s) − log(alpha_t/sigma_t)

    Returns:
        The sampler, deterministic and without history.

    Reference:
        Lu et al. 2022b, eq. 9 with k = 1.
    """

    def step(key, process, denoise, t, s, x, carry):
        return _first_order(process, t, s, x, denoise(x, t).x0), carry

    return Sampler(step)


def dpmpp_2s() -> Sampler:
    """DPM-Solver++(2S), single-step: order 2, two calls a step.

    The prediction is extrapolated from t through the time halfway in log-SNR. A step from alpha = 0 or to sigma = 0 has
    no such time and is of order 1. So is a step of a discrete process whose nearest time to the middle is t itself.

    Returns:
        The sampler, deterministic and without history.

    Reference:
        Lu et al. 2022b, algorithm 1 with r = ½.
    """

    def step(key, process, denoise, t, s, x, carry):
        denoised = denoise(x, t).x0
        x_first = _first_order(process, t, s, x, denoised)

        def second_order():
            middle = process.time_at_log_snr((process.log_snr(t) + process.log_snr(s)) / 2)
            # ½, unless a discrete process has no such time
            r = log_snr_step(process, middle, t) / log_snr_step(process, s, t)
            denoised_middle = denoise(_first_order(process, t, middle, x, denoised), middle).x0
            # D = x̂0 + (x̂0_middle − x̂0)/2r
            denoised_d = denoised + jnp.where(r > 0, 1 / (2 * r), 0) * (denoised_middle - denoised)
            return jnp.where(r > 0, _first_order(process, t, s, x, denoised_d), x_first)

        return jax.lax.cond(jnp.isfinite(log_snr_step(process, s, t)), second_order, lambda: x_first), carry

    return Sampler(step)


def dpmpp_2m() -> Sampler:
    """DPM-Solver++(2M), multistep: order 2, one call a step.

        D = (1 + 1/2r) x̂0 − 1/2r x̂0_last,    r = h_last/h;    x_s = (sigma_s/sigma_t) x − alpha_s (e^(−h) − 1) D

    The first step, and one to sigma = 0, is of order 1.

    Returns:
        The sampler, deterministic; its history is the last x̂0 and h.

    Reference:
        Lu et al. 2022b, algorithm 2.
    """

    def step(key, process, denoise, t, s, x, carry):
        denoised_d, carry = _extrapolate(process, t, s, denoise(x, t).x0.astype(x.dtype), carry)
        return _first_order(process, t, s, x, denoised_d), carry

    return Sampler(step, _no_history)


def dpmpp_2m_sde() -> Sampler:
    """SDE-DPM-Solver++(2M): a draw from the posterior q(x_s | x_t, x0 = D), with D as in `dpmpp_2m`.

    One call a step. With D = x̂0 it would be `ddim(1.0)`. The first step, and one to sigma = 0, is of order 1.

    Returns:
        The sampler; its history is the last x̂0 and h.

    Reference:
        Lu et al. 2022b, eq. 19.
    """

    def step(key, process, denoise, t, s, x, carry):
        denoised_d, carry = _extrapolate(process, t, s, denoise(x, t).x0.astype(x.dtype), carry)
        coef_xt, coef_x0, variance = posterior_coefficients(process, s, t)
        z = noise(key, x.shape[1:], x.dtype)
        return coef_xt * x + coef_x0 * denoised_d + jnp.sqrt(variance) * z, carry

    return Sampler(step, _no_history)


def _extrapolate(process, t, s, denoised, carry):
    """D of the multistep solvers, and the next carry."""
    denoised_last, h_last = carry
    h = (-log_snr_step(process, s, t) / 2).astype(denoised.dtype)
    # r = h_last/h; 1/2r is 0 in the first step, where h_last is infinite, and in one to sigma = 0, where h is
    half_inverse_r = jnp.where(jnp.isfinite(h), h / (2 * h_last), 0)
    return denoised + half_inverse_r * (denoised - denoised_last), (denoised, h)


def _first_order(process, t, s, x, denoised):
    """x_s = (sigma_s/sigma_t) x − alpha_s (e^(−h) − 1) x̂0."""
    minus_h = log_snr_step(process, s, t) / 2
    return process.sigma(s) / process.sigma(t) * x - process.alpha(s) * jnp.expm1(minus_h) * denoised


def _no_history(x):
    """The carry (x̂0_last, h_last); an infinite h_last gives x̂0_last no weight."""
    return jnp.zeros_like(x), jnp.asarray(jnp.inf, x.dtype)
