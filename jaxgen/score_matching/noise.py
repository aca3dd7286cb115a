"""Checks of noise levels."""

import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from jaxgen.core import is_traced


def check_noise_level(name: str, value: ArrayLike, dtype: jnp.dtype) -> None:
    """Raise ValueError for a concrete value that is not a positive, finite, normal number of dtype.

    Subnormal numbers are flushed to 0, and the caller divides by the value.
    """
    if is_traced(value):
        return
    smallest, largest = (float(end) for end in (jnp.finfo(dtype).tiny, jnp.finfo(dtype).max))
    wide = np.asarray(value, np.float64)
    if not np.all((smallest <= wide) & (wide <= largest)):
        raise ValueError(
            f"{name} must be positive and finite, from {smallest:.2g} to {largest:.2g} in {dtype}, got {value}: it is "
            "a standard deviation of noise"
        )


def noise_level(sigma: ArrayLike, x: Array, dtype: jnp.dtype) -> Float[Array, "..."]:
    """sigma in `dtype`, of shape () or (B,); raises ValueError for another shape or value."""
    check_noise_level("sigma", sigma, dtype)
    sigma = jnp.asarray(sigma, dtype)
    if sigma.shape not in ((), x.shape[:1]):
        raise ValueError(f"sigma must be one number or one per example, () or {x.shape[:1]}, got {sigma.shape}")
    return sigma
