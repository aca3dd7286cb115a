"""Langevin dynamics of `mcmc` in a denoiser's score. A step runs at time t, and its result is taken as x at s."""

import jax
import jax.numpy as jnp

from jaxgen import mcmc
from jaxgen.core import check_at_least, check_not_negative, check_positive, fold_in
from jaxgen.diffusion import score
from jaxgen.samplers.driver import Sampler


def langevin(step_size: float, steps: int = 1, noise_scale: float = 1.0) -> Sampler:
    """Langevin dynamics at t: samples q_t as ε → 0.

        x ← x + (ε/2) score + noise_scale · √ε z

    It makes one call per Langevin step and needs sigma(t) > 0. To sample one q_t, give `sample` a start and the two
    times (t, s).

    Args:
        step_size: ε > 0.
        steps: Langevin steps ≥ 0 at each time.
        noise_scale: factor ≥ 0 of the noise; 0 climbs to the modes.

    Returns:
        The sampler, without history; its step keeps the noise level of x.

    Raises:
        ValueError: unless step_size > 0 and noise_scale ≥ 0 are finite, and steps ≥ 0.

    Reference:
        Song & Ermon 2019, eq. 4.
    """
    check_positive(step_size=step_size)
    check_not_negative(noise_scale=noise_scale)
    check_at_least(0, steps=steps)

    def step(key, process, denoise, t, s, x, carry):
        chain = mcmc.langevin(_score_at(process, denoise, t), step_size, noise_scale)
        return mcmc.advance(key, chain, x, steps), carry

    return Sampler(step)


def annealed_langevin(step_size: float, sigma_last: float, steps: int, final_denoising: bool = False) -> Sampler:
    """Langevin dynamics at every noise level of the grid, with ε_i = ε σ_i²/σ_L².

    The levels are all times of the grid but its end. The end is one too where it is t = 0 and has the noise sigma_last,
    as for `ve`. So a ladder of sigmas is `diffusion.noise_grid(process, sigmas)`.

    Args:
        step_size: ε in (0, 4 σ_L²), the step at the last level; see `mcmc.check_annealed_step`.
        sigma_last: noise σ_L > 0 of the last level.
        steps: Langevin steps ≥ 1 at each level, of one call each.
        final_denoising: whether to end with x̂0 = x + σ_L² score, by one more call (Song & Ermon 2020, algorithm 1).

    Returns:
        The sampler, without history.

    Raises:
        ValueError: unless 0 < step_size < 4 σ_L² and steps ≥ 1.

    Reference:
        Song & Ermon 2019, algorithm 1.
    """
    mcmc.check_annealed_step(step_size, sigma_last)
    check_at_least(1, steps=steps)

    def step(key, process, denoise, t, s, x, carry):
        def at_level(key, time, x):
            epsilon = step_size * (process.sigma(time) / sigma_last) ** 2
            return mcmc.advance(key, mcmc.langevin(_score_at(process, denoise, time), epsilon), x, steps)

        x = at_level(key, t, x)
        end_is_level = (t > s) & (jnp.abs(process.sigma(s) / sigma_last - 1) < 1e-4) & (s == 0)
        # the Langevin steps at t folded the key with 0 … steps − 1
        x = jax.lax.cond(end_is_level, lambda: at_level(fold_in(key, steps), s, x), lambda: x)
        if final_denoising:
            last = jnp.where(end_is_level, s, t)
            x = jax.lax.cond(s == 0, lambda: denoise(x, last).x0.astype(x.dtype), lambda: x)
        return x, carry

    return Sampler(step)


def langevin_corrector(snr: float = 0.16, steps: int = 1, norms: mcmc.Norms = "sample") -> Sampler:
    """Langevin steps sized so that ‖(ε/2)·score‖ = snr · ‖√ε z‖, by `mcmc.snr_step_size`; one call each.

    The factor alpha_i = 1 − β_i ≈ 1 that the paper puts into the step on vp belongs to a table and is left out.

    Args:
        snr: signal-to-noise ratio r > 0; about .16 for images.
        steps: Langevin steps ≥ 0.
        norms: "sample", or "batch" as in the reference, which makes a sample depend on the others.

    Returns:
        The sampler, without history; its step keeps the noise level of x.

    Raises:
        ValueError: unless snr is positive and finite, steps ≥ 0, and norms is "sample" or "batch".

    Reference:
        Song et al. 2021, algorithms 4 and 5.
    """
    step_size = mcmc.snr_step_size(snr, norms)
    check_at_least(0, steps=steps)

    def step(key, process, denoise, t, s, x, carry):
        return mcmc.advance(key, mcmc.langevin(_score_at(process, denoise, t), step_size), x, steps), carry

    return Sampler(step)


def _score_at(process, denoise, t):
    return lambda x: score(process, denoise(x, t), t)
