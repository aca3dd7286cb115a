"""DPM-Solver++: exponential integrators in the data prediction (Lu et al. 2022b).

Between t and s, with h the step in log(alpha/sigma), the probability flow is
x_s = (sigma_s/sigma_t) x − alpha_s (e^{−h} − 1) D for a prediction D that does not change; the methods differ in D.
"""

import jax
import jax.numpy as jnp

from jaxgen.core import noise
from jaxgen.diffusion import log_snr_step, posterior_coefficients
from jaxgen.samplers.driver import Sampler


def dpmpp_1() -> Sampler:
    """DPM-Solver++(1), D = x̂0 : DDIM by another name (Lu et al. 2022b), order 1, one call a step."""

    def step(key, process, denoise, t, s, x, carry):
        return _advance(process, t, s, x, denoise(x, t).x0), carry

    return Sampler(step)


def dpmpp_2s() -> Sampler:
    """DPM-Solver++(2S): D taken halfway in log-SNR (Lu et al. 2022b, algorithm 1, r = ½), order 2, two calls a step.

    A step from alpha = 0 or to sigma = 0, which has no middle, is of order 1; so is one of a table on which the time
    nearest to the middle is t itself.
    """

    def step(key, process, denoise, t, s, x, carry):
        x0 = denoise(x, t).x0
        first = _advance(process, t, s, x, x0)

        def corrected():
            middle = process.time_at_log_snr((process.log_snr(t) + process.log_snr(s)) / 2)
            # on a table the nearest time stands for the middle
            r = log_snr_step(process, middle, t) / log_snr_step(process, s, t)
            later = denoise(_advance(process, t, middle, x, x0), middle).x0
            second = _advance(process, t, s, x, x0 + jnp.where(r > 0, 1 / (2 * r), 0) * (later - x0))
            return jnp.where(r > 0, second, first)

        return jax.lax.cond(jnp.isfinite(log_snr_step(process, s, t)), corrected, lambda: first), carry

    return Sampler(step)


def dpmpp_2m() -> Sampler:
    """DPM-Solver++(2M): D from this step's x̂0 and the last one's (Lu et al. 2022b, algorithm 2), order 2, one call.

    The first step, and one to sigma = 0, is of order 1.
    """
    return _multistep(lambda key, process, t, s, x, x0: _advance(process, t, s, x, x0))


def dpmpp_2m_sde() -> Sampler:
    """SDE-DPM-Solver++(2M): D as in `dpmpp_2m` in the posterior q(x_s | x_t, D), with its noise (Lu et al. 2022b).

    One call a step; with D = x̂0 it would be `ddim(1.0)`. The first step, and one to sigma = 0, is of order 1.
    """

    def advance(key, process, t, s, x, x0):
        of_x, coef_x0, variance = posterior_coefficients(process, s, t)
        return of_x * x + coef_x0 * x0 + jnp.sqrt(variance) * noise(key, x.shape[1:], x.dtype)

    return _multistep(advance)


def _advance(process, t, s, x, x0):
    decay = log_snr_step(process, s, t) / 2  # −h
    return process.sigma(s) / process.sigma(t) * x - process.alpha(s) * jnp.expm1(decay) * x0


def _multistep(advance):
    """A step with D = (1 + 1/2r) x̂0 − 1/2r x̂0_last, r = h_last/h; the carry is (x̂0_last, h_last)."""

    def init(x):
        # an infinite last step gives its x̂0 no weight
        return jnp.zeros_like(x), jnp.asarray(jnp.inf, x.dtype)

    def step(key, process, denoise, t, s, x, carry):
        x0 = denoise(x, t).x0.astype(x.dtype)
        last, h_last = carry
        h = (-log_snr_step(process, s, t) / 2).astype(x.dtype)
        weight = jnp.where(jnp.isfinite(h), h / (2 * h_last), 0)
        return advance(key, process, t, s, x, x0 + weight * (x0 - last)), (x0, h)

    return Sampler(step, init)
