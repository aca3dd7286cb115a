"""Positions of tokens on a line or a grid: sines and cosines to add, and rotations of queries and keys."""

from collections.abc import Sequence

import jax.numpy as jnp
from jaxtyping import Array, Float


def position_angles(
    shape: Sequence[int], features: int, *, max_period: float = 10_000.0
) -> list[Float[Array, "n {features}"]]:
    """Compute for each axis of a grid the angles position · max_period^(−i/features), i < features.

    Args:
        shape: numbers of tokens along each axis.
        features: number of frequencies of an axis.
        max_period: the frequencies fall from 1 towards 1/max_period.

    Returns:
        For each axis the angles (n, features), float32, of all n tokens in row-major order.
    """
    frequencies = max_period ** (-jnp.arange(features, dtype=jnp.float32) / features)
    places = jnp.meshgrid(*(jnp.arange(size, dtype=jnp.float32) for size in shape), indexing="ij")
    return [place.reshape(-1, 1) * frequencies for place in places]


def sincos_positions(shape: Sequence[int], features: int) -> Float[Array, "n {features}"]:
    """Embed the positions of a grid as sines and cosines at geometric frequencies.

    Each axis has an equal share of the features: first the sines, then the cosines. The last axis comes first, so that
    in images the first half of the features is the column.

    Args:
        shape: numbers of tokens along each axis.
        features: number of features, a multiple of twice the number of axes.

    Returns:
        The embeddings (n, features), float32, of all n tokens in row-major order.

    Raises:
        ValueError: if `features` is no such multiple.

    Reference:
        Vaswani et al. 2017, §3.5; in two dimensions: Peebles & Xie 2023.
    """
    axes = len(shape)
    if features < 1 or features % (2 * axes):
        raise ValueError(
            f"sines and cosines along {axes} axes need a width that is a multiple of {2 * axes}, got {features}"
        )
    angles = reversed(position_angles(shape, features // (2 * axes)))
    return jnp.concatenate([wave(angle) for angle in angles for wave in (jnp.sin, jnp.cos)], axis=-1)


def rotary_angles(shape: Sequence[int], features: int) -> Float[Array, "n half"]:
    """Compute the angles by which queries and keys are rotated; each axis has an equal share of the planes.

    Args:
        shape: numbers of tokens along each axis.
        features: width of a head, a multiple of twice the number of axes.

    Returns:
        The angles (n, features/2), float32, of all n tokens in row-major order.

    Raises:
        ValueError: if `features` is no such multiple.

    Reference:
        Su et al. 2021, §3.2.2; in two dimensions: Heo et al. 2024, §3.2 (axial frequencies).
    """
    axes = len(shape)
    if features < 1 or features % (2 * axes):
        raise ValueError(
            f"rotary positions along {axes} axes need heads whose width is a multiple of {2 * axes}, got {features}"
        )
    return jnp.concatenate(position_angles(shape, features // (2 * axes)), axis=-1)


def rotate(x: Float[Array, "b n heads width"], angles: Float[Array, "n half"]) -> Float[Array, "b n heads width"]:
    """Rotate the plane of features i and i + width/2 of each head by the angle i of its token.

    The inner product of a rotated query with a rotated key depends on the difference of their angles alone.

    Args:
        x: queries or keys (b, n, heads, width).
        angles: angles (n, width/2).

    Returns:
        The rotated features, in the dtype of x. The arithmetic is float32.
    """
    cos, sin = jnp.cos(angles)[:, None], jnp.sin(angles)[:, None]
    first, second = jnp.split(x.astype(jnp.float32), 2, axis=-1)
    return jnp.concatenate([first * cos - second * sin, first * sin + second * cos], axis=-1).astype(x.dtype)
