"""Floating-point precision."""

import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float


def as_float(x: ArrayLike) -> Float[Array, "..."]:
    """Return x as an array of float32 or wider, so that bfloat16 inputs do not lower the precision of what follows."""
    x = jnp.asarray(x)
    return x.astype(jnp.promote_types(x.dtype, jnp.float32))
