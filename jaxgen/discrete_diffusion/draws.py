"""Draws that keep rare events, each row from its own key."""

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Bool, Float, Int, Key

from jaxgen.core import per_example, threefry_key


def bernoulli(keys: Key[Array, " b"], p: ArrayLike, shape: tuple[int, ...]) -> Bool[Array, "b *event"]:
    """True with probability p, which is () or (B,) or (B, *shape)."""
    p = jnp.asarray(p)
    if p.ndim <= 1:
        p = per_example(p, jnp.empty((len(keys), *shape)))
    p = jnp.broadcast_to(p, (len(keys), *shape))
    return jax.vmap(lambda key, p: jax.random.bernoulli(key, p, mode="high"))(threefry_key(keys), p)


def categorical(keys: Key[Array, " b"], log_p: Float[Array, "b *event k"]) -> Int[Array, "b *event"]:
    """Categories by their log-probabilities.

    JAX's default Gumbel noise has 23 random bits and cannot exceed 16, so that many rare categories together are drawn
    too seldom. This one has twice the bits.
    """
    draw = jax.vmap(lambda key, log_p: jax.random.categorical(key, log_p, mode="high"))
    return draw(threefry_key(keys), log_p).astype(jnp.int32)
