"""Keys of a batch, or of every example of it."""

import jax
from jax.typing import ArrayLike
from jaxtyping import Array, Key


def fold_in(key: Key[Array, "..."], index: ArrayLike) -> Key[Array, "..."]:
    """A fresh key for each of key, () or (B,), and an index."""
    return jax.vmap(jax.random.fold_in, (0, None))(key, index) if key.ndim else jax.random.fold_in(key, index)
