"""Examples of any shape as vectors."""

import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Shaped

from jaxgen.core import as_float


def flattened(x: Shaped[ArrayLike, "b *event"]) -> Float[Array, "b d"]:
    """x (b, d) in float32 or wider; raises ValueError unless x is a batch in floating point."""
    x = jnp.asarray(x)
    if x.ndim < 2 or not jnp.issubdtype(x.dtype, jnp.floating):
        raise ValueError(f"expected floating-point x (batch, *event), got {x.dtype} of shape {x.shape}")
    return as_float(x.reshape(len(x), -1))
