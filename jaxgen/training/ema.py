"""Exponential moving averages of parameters: how fast to forget, and the update."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PyTree

Ema = Callable[[Int[Array, ""]], Float[Array, ""]]
"""n -> decay in [0, 1), where n = 1, 2, … counts the updates, this one included."""


def warmup_ema(decay: float = 0.9999) -> Ema:
    """Constant `decay` in [0, 1), reached from below as min(decay, (1+n)/(10+n)): the start is soon forgotten."""
    if not 0 <= decay < 1:
        raise ValueError(f"EMA decay must be in [0, 1), got {decay}; 0.999 or 0.9999 are usual")
    return lambda n: jnp.minimum(decay, (1.0 + n) / (10.0 + n))


def power_ema(gamma: float) -> Ema:
    """Power-function EMA, β = (1 − 1/n)^{γ+1}: parameters of step t weigh ∝ t^γ, γ ≥ 0 (Karras et al. 2024, eq. 2)."""
    if gamma < 0:
        raise ValueError(f"power_ema needs gamma >= 0, got {gamma}; power_gamma(0.05) = 16.97 is the paper's 5 % width")
    # exp-log1p: 1 - 1/n rounds away the digits that matter once n is large
    return lambda n: jnp.exp((gamma + 1) * jnp.log1p(-1.0 / n))


def power_gamma(width: float) -> float:
    """The γ whose profile t^γ on [0, 1] has standard deviation `width` in (0, 12^−½) (Karras et al. 2024, Alg. 2)."""
    if not 0 < width < 12**-0.5:
        raise ValueError(f"width must be in (0, {12**-0.5:.4f}), the width of a uniform average, got {width}")
    # width² = (γ+1) / ((γ+2)² (γ+3)), a cubic in γ with one non-negative root
    inverse = width**-2
    return float(np.roots([1, 7, 16 - inverse, 12 - inverse]).real.max())


def update_ema(ema: PyTree, params: PyTree, decay: Float[Array, ""] | float) -> PyTree:
    """One step ema ← ema + (1 − decay)(params − ema), in the dtypes of `ema`; leaves that are not floats are copied."""

    def blend(average: Array, value: Array) -> Array:
        if not jnp.issubdtype(average.dtype, jnp.inexact):
            return value
        return average + ((1 - decay) * (value - average)).astype(average.dtype)

    return jax.tree.map(blend, ema, params)
