"""Floating-point precision."""

import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float


def as_float(x: ArrayLike) -> Float[Array, "..."]:
    """Convert x to float32 or wider, so that bfloat16 inputs do not lower the precision of what follows.

    Args:
        x: a number, or an array of any shape.

    Returns:
        The array, of x's shape.
    """
    x = jnp.asarray(x)
    return x.astype(jnp.promote_types(x.dtype, jnp.float32))
