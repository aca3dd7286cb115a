"""Sampler -> sampler, for conditioning an unconditional model: the observation put in place, and resampling."""

from typing import Any

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from jaxgen.core import fold_in, noise
from jaxgen.diffusion import transition
from jaxgen.diffusion.denoisers.inverse import Operator, measurement_residual, tight_frame_constant, transpose
from jaxgen.samplers.driver import Sampler

# Folds beyond those that samplers draw their own noise with, and of each other.
_RESAMPLING, _FORWARD, _PROJECTION = 2**28, 2**29, 2**30


def replacement(sampler: Sampler, operator: Operator, y: Float[ArrayLike, "..."]) -> Sampler:
    """After each step of `sampler` to s, what is observed of x_s becomes what s makes of y: x + Aᵀ(y_s − A x)/c.

    y_s = alpha_s y + sigma_s A z with fresh z (Song et al. 2021, §5 and appendix I.2: imputation; I.3: colourisation);
    at s = 0 it is y itself, so A x = y and a mask of ones returns the observation. Within predictor_corrector either
    may be so wrapped, or the pair. The step's key is folded once more, so the sampler's own draws stay what they were.

    operator: of orthogonal rows of one length, A Aᵀ = c I on its range: `inverse.mask`, `grayscale`, `average_pool`.
    y: (B, *measured) or (*measured), without noise; for a mask, what lies outside it is not looked at.
    It is biased, for the noise on the observed part is drawn anew at each step and tells nothing of the noise on the
    rest. Of two standard normal numbers of correlation .8 the first is seen to be 1 (vp, ddpm("fixed_large"), 100 steps): the
    second has mean .49 and variance .51 in place of .80 and .36, and no finer grid mends it (.50 and .50 in 1000
    steps). `repaint` does, `inverse.pigdm` has no such error.

    Raises ValueError, in the first step, for y of another shape and an operator that is not so, see `tight_frame_constant`.
    """

    def step(key, process, denoise, t, s, x, carry):
        x, carry = sampler.step(key, process, denoise, t, s, x, carry)
        c, back = tight_frame_constant(operator, x.shape, x.dtype), transpose(operator, x.shape, x.dtype)
        zero = jnp.zeros_like(x)
        sigma = jnp.where(s == 0, 0, process.sigma(s))
        z = noise(fold_in(key, _PROJECTION), x.shape[1:], x.dtype)
        wanted = process.alpha(s) * measurement_residual(operator, y, zero) + sigma * operator(z)
        # in this order a mask of ones leaves nothing of x, to the last digit
        return (x - back(operator(x)) / c) + back(wanted) / c, carry

    return Sampler(step, sampler.init)


def repaint(sampler: Sampler, repeats: int) -> Sampler:
    """Each step from t to s, but the last, `repeats` times, with noise q(x_t | x_s) in between (RePaint).

    Lugmayr et al. 2022, algorithm 1, whose U is `repeats` (10 in the paper) with jumps of length 1; `sampler` is a
    `replacement` one, and what it observes has time to agree with what it draws. Costs `repeats` times the calls, but for
    the step to s = 0, which is taken once. A multistep sampler begins each repeat with the history it had at t.
    The bias falls: in the setting of `replacement`, mean and variance are .73 and .39 for 5 repeats, .78 and .37 for 20
    (.80 and .36 are exact). But a sampler whose steps are too narrow is the more so the more it repeats: with
    ddpm("fixed_small") they are .73 and .32, then .78 and .27, so take "fixed_large", or many steps.
    With `repeats` = 1 it is the sampler itself. Raises ValueError unless repeats ≥ 1.
    """
    if repeats < 1:
        raise ValueError(f"need at least one pass, got repeats={repeats}")
    if repeats == 1:
        return sampler

    def step(key, process, denoise, t, s, x, carry):
        forward = transition(process, s, t)

        def once(i: ArrayLike, state: tuple[Array, Any]) -> tuple[Array, Any]:
            z = noise(fold_in(key, _FORWARD + i), x.shape[1:], x.dtype)
            back = forward.alpha * state[0] + jnp.sqrt(forward.variance) * z
            first = i == 0
            own = jnp.where(first, key, fold_in(key, _RESAMPLING + i))
            after, history = sampler.step(own, process, denoise, t, s, jnp.where(first, x, back).astype(x.dtype), carry)
            return after.astype(x.dtype), history

        def unless_last(i: ArrayLike, state: tuple[Array, Any]) -> tuple[Array, Any]:
            return jax.lax.cond((i == 0) | (s > 0), lambda: once(i, state), lambda: state)

        return jax.lax.fori_loop(0, repeats, unless_last, (x, carry))

    return Sampler(step, sampler.init)
