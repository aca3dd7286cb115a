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
    """Standard normal noise (B, *shape), row b from keys[b] alone; keys of another kind go through `threefry_key`."""
    return jax.vmap(lambda key: jax.random.normal(key, shape, dtype))(threefry_key(keys))


def threefry_key(key: Key[Array, "..."]) -> Key[Array, "..."]:
    """A threefry key for each key, (...), of another kind; threefry keys themselves come back unchanged.

    Under `vmap`, rbg and unsafe_rbg keys all draw from the first key. Only threefry keys draw independently.
    """
    if str(jax.random.key_impl(key)) == "threefry2x32":
        return key
    words = jax.random.key_data(key).reshape(key.size, -1)
    pair = jnp.pad(words, ((0, 0), (0, max(0, 2 - words.shape[1]))))[:, :2]
    derived = jax.random.wrap_key_data(pair, impl="threefry2x32")
    for word in words.T[2:]:  # XOR would cancel the two equal halves of a seeded rbg key
        derived = jax.vmap(jax.random.fold_in)(derived, word)
    return derived.reshape(key.shape)


def per_sample_keys(keys: Array) -> Key[Array, " b"]:
    """Keys (B,) from which each sample of a batch can draw alone: `threefry_key` of each.

    Raises:
        ValueError: for keys that are not typed and of shape (B,).
    """
    if not (isinstance(keys, jax.Array) and jnp.issubdtype(keys.dtype, jax.dtypes.prng_key) and keys.ndim == 1):
        raise ValueError(
            "keys must be typed keys of shape (B,), one per sample: jax.random.split(jax.random.key(seed), B)"
        )
    return threefry_key(keys)
