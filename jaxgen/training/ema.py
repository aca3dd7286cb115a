"""Exponential moving averages of parameters."""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PyTree

from jaxgen.training.finite import is_inexact

Ema = Callable[[Int[Array, ""]], Float[Array, ""]]
"""n -> decay in [0, 1), where n = 1, 2, … counts the updates, the current one included."""


def warmup_ema(decay: float = 0.9999) -> Ema:
    """Return the decay min(decay, (1+n)/(10+n)), which forgets the initial parameters quickly.

    Args:
        decay: the limit, in [0, 1).

    Returns:
        The function n -> decay.

    Raises:
        ValueError: unless 0 ≤ decay < 1.
    """
    if not 0 <= decay < 1:
        raise ValueError(f"EMA decay must be in [0, 1), got {decay}; 0.999 or 0.9999 are usual")
    return lambda n: jnp.minimum(decay, (1.0 + n) / (10.0 + n))


def power_ema(gamma: float) -> Ema:
    """Return the decay (1 − 1/n)^{γ+1}, under which the parameters of step t have a weight ∝ t^γ.

    Args:
        gamma: the exponent γ ≥ 0; `power_gamma` computes it from the width of the average.

    Returns:
        The function n -> decay.

    Raises:
        ValueError: if gamma is negative or not finite.

    Reference:
        Karras et al. 2024, "Analyzing and Improving the Training Dynamics of Diffusion Models", eq. 2.
    """
    if not 0 <= gamma < math.inf:
        raise ValueError(f"power_ema needs gamma >= 0, got {gamma}; power_gamma(0.05) = 16.97 is the paper's 5 % width")
    # 1 - 1/n in float32 loses the digits that matter for large n
    return lambda n: jnp.exp((gamma + 1) * jnp.log1p(-1.0 / n))


def power_gamma(width: float) -> float:
    """Return the γ for which the profile t^γ on [0, 1] has the standard deviation `width`.

    Args:
        width: relative to the length of the training, in (0, 12^−½).

    Returns:
        The exponent γ, for `power_ema`.

    Raises:
        ValueError: unless the width lies in that range.

    Reference:
        Karras et al. 2024, algorithm 2.
    """
    if not 0 < width < 12**-0.5:
        raise ValueError(f"width must be in (0, {12**-0.5:.4f}), the width of a uniform average, got {width}")
    # width² = (γ+1) / ((γ+2)² (γ+3)), a cubic in γ with one non-negative root
    inverse = width**-2
    return float(np.roots([1, 7, 16 - inverse, 12 - inverse]).real.max())


def update_ema(ema: PyTree, params: PyTree, decay: Float[Array, ""] | float) -> PyTree:
    """Return ema + (1 − decay)(params − ema); leaves of integers, booleans or keys come from `params`.

    Args:
        ema: the average, any pytree of arrays.
        params: the parameters, with the structure and shapes of `ema`.
        decay: a number in [0, 1], ().

    Returns:
        The new average, in the dtypes of `ema`.
    """

    def blend(average: Array, value: Array) -> Array:
        return average + ((1 - decay) * (value - average)).astype(average.dtype) if is_inexact(average) else value

    return jax.tree.map(blend, ema, params)
