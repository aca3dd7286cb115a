"""Langevin dynamics at the noise level of t; x is then handed over to s unchanged."""

import math
from typing import Literal, get_args

import jax
import jax.numpy as jnp

from jaxgen.core import fold_in, noise, per_example, safe_divide
from jaxgen.diffusion import score
from jaxgen.samplers.driver import Sampler

Norms = Literal["sample", "batch"]


def langevin(step_size: float, steps: int = 1, noise_scale: float = 1.0) -> Sampler:
    """x ← x + (ε/2) score + √ε z, `steps` times at t (Song & Ermon 2019, eq. 4): samples q_t as ε → 0.

    step_size: ε > 0. noise_scale multiplies z; at 0 the steps climb to the modes. One call each; as a sampler of q_t
    itself give `sample` a start and the two times (t, s). It needs sigma(t) > 0.
    Raises ValueError unless step_size > 0, steps ≥ 0 and noise_scale ≥ 0.
    """
    _check(steps, step_size=step_size)
    if not 0 <= noise_scale < math.inf:
        raise ValueError(f"noise_scale must be finite and not negative, got {noise_scale}")
    return Sampler(_steps(steps, lambda process, t, gradient, z: step_size, noise_scale))


def annealed_langevin(step_size: float, sigma_last: float, steps: int, final_denoising: bool = False) -> Sampler:
    """`langevin` at every level of the grid with ε_i = ε σ_i²/σ_L² (Song & Ermon 2019, algorithm 1).

    step_size: ε, the step at the last level; sigma_last: its noise σ_L; steps: T per level. The levels are all times of
    the grid, but its end only where that has the noise sigma_last (t = 0 of `ve`), so a ladder of sigmas is
    `noise_grid(process, sigmas)`. final_denoising: at the end, x̂0 = x + σ_L² score by one more call (Song & Ermon 2020
    (NCSNv2), algorithm 1).
    Raises ValueError unless step_size and sigma_last are positive and steps ≥ 1.
    """
    _check(steps - 1, step_size=step_size, sigma_last=sigma_last)
    chain = _steps(steps, lambda process, t, gradient, z: step_size * (process.sigma(t) / sigma_last) ** 2)

    def step(key, process, denoise, t, s, x, carry):
        x, _ = chain(key, process, denoise, t, s, x, carry)
        further = fold_in(key, steps)  # beyond the keys of the moves at t
        a_level = (t > s) & (jnp.abs(process.sigma(s) / sigma_last - 1) < 1e-4) & (s == 0)

        def last_level():
            return chain(further, process, denoise, s, s, x, carry)[0]

        x = jax.lax.cond(a_level, last_level, lambda: x)
        if final_denoising:
            last = jnp.where(a_level, s, t)
            x = jax.lax.cond(s == 0, lambda: denoise(x, last).x0.astype(x.dtype), lambda: x)
        return x, carry

    return Sampler(step)


def langevin_corrector(snr: float = 0.16, steps: int = 1, norms: Norms = "sample") -> Sampler:
    """`langevin` with the step at which ‖(ε/2) score‖ is r times the noise ‖√ε z‖: ε = 4 (r ‖z‖/‖score‖)².

    Song et al. 2021, algorithms 4 and 5 (their ε is half of this one; their factor alpha_i of vp, 1 − β_i ≈ 1,
    belongs to a table and is left out). snr: r, about .16 for images. norms: of each sample, or their means over the
    batch as in the reference, which makes a sample depend on its neighbours. The step knows z and the gradient, which
    biases it: the variance of N(m, v I) in d dimensions settles at v (1 + r² + 4/d), without 4/d for batch norms.
    Raises ValueError unless snr > 0 and steps ≥ 0, or for other norms.
    """
    _check(steps, snr=snr)
    if norms not in get_args(Norms):
        raise ValueError(f"unknown norms {norms!r}: choose sample or batch")

    def step_size(process, t, gradient, z):
        lengths = [jnp.sqrt(jnp.sum(v**2, axis=tuple(range(1, v.ndim)))) for v in (z, gradient)]
        z_norm, gradient_norm = lengths if norms == "sample" else [length.mean() for length in lengths]
        return per_example(4 * (snr * safe_divide(z_norm, gradient_norm)) ** 2, z)

    return Sampler(_steps(steps, step_size))


def _steps(steps, step_size, noise_scale=1.0):
    def step(key, process, denoise, t, s, x, carry):
        def update(i, x):
            z = noise(fold_in(key, i), x.shape[1:], x.dtype)
            gradient = score(process, denoise(x, t), t)
            epsilon = step_size(process, t, gradient, z)
            return (x + epsilon / 2 * gradient + noise_scale * jnp.sqrt(epsilon) * z).astype(x.dtype)

        return jax.lax.fori_loop(0, steps, update, x), carry

    return step


def _check(steps, **positive):
    if steps < 0 or not all(0 < value < math.inf for value in positive.values()):
        given = ", ".join(f"{name}={value}" for name, value in positive.items())
        raise ValueError(f"Langevin steps need positive, finite {', '.join(positive)} and enough steps; got {given}")
