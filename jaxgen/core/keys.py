"""Random keys of a batch, one for each of its examples."""

from typing import Any

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Key


def fold_in(key: Key[Array, "..."], index: ArrayLike) -> Key[Array, "..."]:
    """Derive a fresh key from each key and an index.

    Args:
        key: one key () or keys (B,).
        index: a whole number, (), the same for all keys.

    Returns:
        The fresh keys, of key's shape.
    """
    return jax.vmap(jax.random.fold_in, (0, None))(key, index) if key.ndim else jax.random.fold_in(key, index)


def noise(keys: Key[Array, " b"], shape: tuple[int, ...], dtype: Any = jnp.float32) -> Float[Array, "b *event"]:
    """Draw standard normal noise, row b from keys[b] alone.

    Args:
        keys: keys (B,). Those that are not threefry go through `threefry_key`.
        shape: event shape.
        dtype: dtype of the noise.

    Returns:
        The noise (B, *shape).
    """
    return jax.vmap(lambda key: jax.random.normal(key, shape, dtype))(threefry_key(keys))


def threefry_key(key: Key[Array, "..."]) -> Key[Array, "..."]:
    """Derive a threefry key from each key of another kind; threefry keys come back unchanged.

    Under `vmap`, a draw by an rbg or unsafe_rbg key depends on the batch's first key and on its place in the batch, not
    on its own key. A draw by a threefry key depends on that key alone.

    Args:
        key: typed keys of any kind and shape.

    Returns:
        Threefry keys of the same shape.
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
    """Check the keys of a batch, and make each a key from which its sample can draw alone by `threefry_key`.

    Args:
        keys: typed keys (B,), one per sample.

    Returns:
        Threefry keys (B,).

    Raises:
        ValueError: if the keys are not typed or not of shape (B,).
    """
    if not (isinstance(keys, jax.Array) and jnp.issubdtype(keys.dtype, jax.dtypes.prng_key) and keys.ndim == 1):
        raise ValueError("need typed keys of shape (B,), one per sample: jax.random.split(jax.random.key(seed), B)")
    return threefry_key(keys)
