"""Integers spread over the reals, so that a density can be fitted to them."""

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Key, UInt8


def dequantise(
    keys: Key[Array, " b"],
    images: UInt8[ArrayLike, "b *event"],
    levels: int = 256,
    low: float = -1.0,
    high: float = 1.0,
) -> Float[Array, "b *event"]:
    """low + (high − low) (x + u)/levels with u uniform in (0, 1), float32: integers spread evenly over [low, high).

    Uria et al. 2013, §5.1. keys (B,): image b's u come from keys[b] alone. u lies on the middles of a grid so fine
    that x + u keeps all its digits, so that ⌊levels (y − low)/(high − low)⌋ gives x back.
    Raises ValueError unless 2 ≤ levels ≤ 256 and low < high, and for concrete images with values of `levels` or more.
    """
    if not 2 <= levels <= 256 or not low < high:
        raise ValueError(f"images of uint8 have 2 to 256 levels, and low < high: got {levels}, {low} and {high}")
    if levels < 256 and not isinstance(images, jax.core.Tracer) and np.any(np.asarray(images) >= levels):
        raise ValueError(f"images of {levels} levels have values 0 to {levels - 1}, got {np.max(images)}")
    cells = 2 ** (21 - (levels - 1).bit_length())

    def spread(key: Array, image: Array) -> Array:
        u = (jax.random.randint(key, image.shape, 0, cells) + jnp.float32(0.5)) / cells
        return low + (high - low) * ((image + u) / levels)

    return jax.vmap(spread)(keys, images)
