"""Sampler -> sampler, to condition an unconditional model on an observation: replacement and RePaint."""

from typing import Any

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from jaxgen.core import check_at_least, fold_in, noise
from jaxgen.diffusion import inverse, transition
from jaxgen.samplers.driver import Sampler, check_sampler

# Folds beyond those that samplers draw their own noise with, and of each other.
_REPEAT, _FORWARD, _REPLACEMENT = 2**28, 2**29, 2**30


def replacement(sampler: Sampler, operator: inverse.Operator, y: Float[ArrayLike, "..."]) -> Sampler:
    """After each step to s, replace the observed part of x_s by the observation at the noise level of s.

        x ← x + Aᵀ(y_s − A x)/c,    y_s = alpha_s y + sigma_s A z

    At s = 0, y_s is y itself, so A x = y. The result is biased: the noise on the observed part is drawn anew at each
    step and is independent of the noise on the rest. A finer grid does not remove the bias, `repaint` reduces it, and
    `pigdm` does not have it.

    A `predictor_corrector` may be wrapped as a whole, and so may its predictor or its corrector alone. The draws of the
    wrapped sampler do not change, because the step's key is folded once more for z.

    Args:
        sampler: the sampler of the unconditional model.
        operator: A, whose rows are orthogonal and of one length, A Aᵀ = c I on its range: `mask`, `grayscale`,
            `average_pool`.
        y: (B, *measured) or (*measured), without noise. For a mask, entries outside it are ignored.

    Returns:
        The sampler, with the history of `sampler`.

    Raises:
        ValueError: if sampler is no sampler; in the first step, if y has another shape or the operator is of another
            kind, as `tight_frame_constant` finds.

    Reference:
        Song et al. 2021, §5 and appendix I.2 (imputation) and I.3 (colourisation).
    """
    check_sampler(sampler)

    def step(key, process, denoise, t, s, x, carry):
        x, carry = sampler.step(key, process, denoise, t, s, x, carry)
        c = inverse.tight_frame_constant(operator, x.shape, x.dtype)
        back = inverse.transpose(operator, x.shape, x.dtype)
        sigma = jnp.where(s == 0, 0, process.sigma(s))
        z = noise(fold_in(key, _REPLACEMENT), x.shape[1:], x.dtype)
        y_s = process.alpha(s) * inverse.measurement_residual(operator, y, jnp.zeros_like(x)) + sigma * operator(z)
        # in this order a mask of ones removes x exactly
        return (x - back(operator(x)) / c) + back(y_s) / c, carry

    return Sampler(step, sampler.init)


def repaint(sampler: Sampler, repeats: int) -> Sampler:
    """Take each step from t to s several times, with noise of q(x_t | x_s) in between (RePaint).

    Each repeat brings the drawn part closer to the observed part, so the bias of `replacement` falls. A sampler
    whose steps are too narrow, such as ddpm("fixed_small") on a coarse grid, becomes narrower with each repeat:
    take "fixed_large" or many steps. A multistep sampler begins each repeat with the history that it had at t.

    Args:
        sampler: a sampler wrapped by `replacement`.
        repeats: how often each step is taken (U of the paper, there 10, with jumps of length 1). The number of calls
            grows by that factor, except for the step to s = 0, which is taken once. 1 is the sampler itself.

    Returns:
        The sampler, with the history of `sampler`.

    Raises:
        ValueError: if sampler is no sampler, or repeats < 1.

    Reference:
        Lugmayr et al. 2022, algorithm 1.
    """
    check_sampler(sampler)
    check_at_least(1, repeats=repeats)
    if repeats == 1:
        return sampler

    def step(key, process, denoise, t, s, x, carry):
        forward = transition(process, s, t)

        def once(i: ArrayLike, state: tuple[Array, Any]) -> tuple[Array, Any]:
            first = i == 0
            # x_s -> x_t, but for the first pass
            z = noise(fold_in(key, _FORWARD + i), x.shape[1:], x.dtype)
            x_t = jnp.where(first, x, forward.alpha * state[0] + jnp.sqrt(forward.variance) * z).astype(x.dtype)
            # x_t -> x_s
            step_key = jnp.where(first, key, fold_in(key, _REPEAT + i))
            x_s, history = sampler.step(step_key, process, denoise, t, s, x_t, carry)
            return x_s.astype(x.dtype), history

        def unless_last(i: ArrayLike, state: tuple[Array, Any]) -> tuple[Array, Any]:
            return jax.lax.cond((i == 0) | (s > 0), lambda: once(i, state), lambda: state)

        return jax.lax.fori_loop(0, repeats, unless_last, (x, carry))

    return Sampler(step, sampler.init)
