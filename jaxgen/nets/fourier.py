"""Fourier features of the numbers of an example."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxgen.core import check_not_negative


def fourier_features(x: Float[Array, "b d"], frequencies: int, *, lowest: float = jnp.pi / 2) -> Float[Array, "b k"]:
    """Append to x the sines and cosines of its numbers at frequencies that double from `lowest` on.

    Layers learn smooth functions of their input first. With these features a small network also learns functions that
    change over a small part of its range.

    Args:
        x: numbers (b, d) of about unit size.
        frequencies: number of frequencies, 0 for x alone.
        lowest: the lowest frequency in radians per unit. π/2 has one period on [−2, 2].

    Returns:
        (b, d + 2·d·frequencies), of x's dtype.

    Raises:
        ValueError: if `frequencies` < 0.

    Reference:
        Tancik et al. 2020, "Fourier Features Let Networks Learn High Frequency Functions in Low Dimensional Domains",
        §6.2 (positional encoding).
    """
    check_not_negative(frequencies=frequencies)
    if frequencies == 0:
        return x
    angles = (x[:, :, None] * (lowest * 2.0 ** jnp.arange(frequencies))).reshape(len(x), -1)
    return jnp.concatenate([x, jnp.sin(angles), jnp.cos(angles)], axis=-1).astype(x.dtype)
