"""Random keys of a batch, one for each of its examples."""

from typing import Any

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Key


def fold_in(key: Key[Array, "..."], index: ArrayLike) -> Key[Array, "..."]:
    """A fresh key for each of key, () or (B,), and an index."""
    return jax.vmap(jax.random.fold_in, (0, None))(key, index) if key.ndim else jax.random.fold_in(key, index)


def noise(keys: Key[Array, " b"], shape: tuple[int, ...], dtype: Any = jnp.float32) -> Float[Array, "b *event"]:
    """Standard normal noise (B, *shape), row b from keys[b] alone."""
    return jax.vmap(lambda key: jax.random.normal(key, shape, dtype))(keys)


def check_keys(keys: Array) -> None:
    """Raise ValueError for keys that are not typed and of shape (B,)."""
    if not (isinstance(keys, jax.Array) and jnp.issubdtype(keys.dtype, jax.dtypes.prng_key) and keys.ndim == 1):
        raise ValueError(
            "keys must be typed keys of shape (B,), one per sample: jax.random.split(jax.random.key(seed), B)"
        )
