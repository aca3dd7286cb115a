"""Uniform dequantisation."""

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Key, UInt8

from jaxgen.core import is_traced, threefry_key


def dequantise(
    keys: Key[Array, " b"],
    images: UInt8[ArrayLike, "b *event"],
    levels: int = 256,
    low: float = -1.0,
    high: float = 1.0,
) -> Float[Array, "b *event"]:
    """Add uniform noise to integer images: low + (high − low)(x + u)/levels with u uniform in (0, 1), float32.

    A density fitted to the result bounds the log-probability of the integers. u lies on a grid fine enough that x + u
    is exact in float32, so ⌊levels (y − low)/(high − low)⌋ recovers x from y.

    Args:
        keys: (B,) typed keys. The noise of image b depends on keys[b] alone.
        images: (B, ...) uint8 in [0, levels).
        levels: number of grey levels, 2 to 256.
        low: the lower end of the range of y.
        high: its upper end.

    Returns:
        y, of the shape of `images`, in [low, high).

    Raises:
        ValueError: if `levels` is out of range, low ≥ high, or concrete images have values of `levels` or more.

    Reference:
        Uria et al. 2013, RNADE: The real-valued neural autoregressive density-estimator, §5.1.
    """
    if not 2 <= levels <= 256 or not low < high:
        raise ValueError(f"images of uint8 have 2 to 256 levels, and low < high: got {levels}, {low} and {high}")
    if levels < 256 and not is_traced(images) and np.any(np.asarray(images) >= levels):
        raise ValueError(f"images of {levels} levels have values 0 to {levels - 1}, got {np.max(images)}")
    cells = 2 ** (21 - (levels - 1).bit_length())

    def spread(key: Array, image: Array) -> Array:
        u = (jax.random.randint(key, image.shape, 0, cells) + jnp.float32(0.5)) / cells
        return low + (high - low) * ((image + u) / levels)

    return jax.vmap(spread)(threefry_key(keys), images)
