"""Layers for images: squeezing pixels into channels, and latents that leave at several scales."""

import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxgen.core import check_at_least
from jaxgen.flows.bijections import Bijection, as_batch, no_change


def squeeze(factor: int = 2) -> Bijection:
    """The map of each block of factor × factor pixels into the channels of one pixel.

    Args:
        factor: side of a block, at least 1.

    Returns:
        The bijection, from (B, h, w, c) to (B, h/factor, w/factor, factor² · c), of log-determinant 0.

    Raises:
        ValueError: if factor < 1; when called, if x is no image, or the factor does not divide its sides (of z: its
            channels).

    Reference:
        Dinh et al. 2017, "Density estimation using Real NVP", §3.6.
    """
    check_at_least(1, factor=factor)

    def forward(x: Float[Array, "b *event"]) -> tuple[Array, Array]:
        x = as_batch(x)
        if x.ndim != 4 or x.shape[1] % factor or x.shape[2] % factor:
            raise ValueError(f"squeeze needs images (B, h, w, c) with sides divisible by {factor}, got {x.shape}")
        batch, height, width, channels = x.shape
        blocks = x.reshape(batch, height // factor, factor, width // factor, factor, channels)
        z = blocks.transpose(0, 1, 3, 2, 4, 5).reshape(batch, height // factor, width // factor, -1)
        return z, no_change(x)

    def inverse(z: Float[Array, "b *event"]) -> tuple[Array, Array]:
        z = as_batch(z)
        if z.ndim != 4 or z.shape[3] % factor**2:
            raise ValueError(f"need (B, h, w, c) with channels divisible by {factor**2}, got {z.shape}")
        batch, height, width, channels = z.shape
        blocks = z.reshape(batch, height, width, factor, factor, channels // factor**2)
        x = blocks.transpose(0, 1, 3, 2, 4, 5).reshape(batch, height * factor, width * factor, -1)
        return x, no_change(z)

    return Bijection(forward, inverse)


def multi_scale(levels: Sequence[Bijection], event: tuple[int, ...]) -> Bijection:
    """Levels after each of which half of the channels leave as latents.

    After every level but the last, the second half of the channels is part of z, and the first goes on. z is flat,
    (B, d), with the latents of the first level first.

    Args:
        levels: a bijection for each level, one or more. It may change the shape, as `squeeze` does.
        event: shape of the examples, (*space, c).

    Returns:
        The bijection, from (B, *event) to (B, d).

    Raises:
        ValueError: if there are no levels; when called, if x or z have another shape, or a level that is not the last
            ends with fewer than two channels.

    Reference:
        Dinh et al. 2017, "Density estimation using Real NVP", §3.6.
    """
    levels, event = tuple(levels), tuple(event)
    if not levels:
        raise ValueError("multi_scale needs at least one level")
    size = math.prod(event)

    def check_split(i: int, shape: tuple[int, ...]) -> None:
        if i + 1 < len(levels) and shape[-1] < 2:
            raise ValueError(f"level {i} ends with shape {shape}: a split needs two channels, so squeeze in it")

    def shapes(dtype: jnp.dtype) -> list[tuple[int, ...]]:
        """Shape of an example as it leaves each level."""
        found, shape = [], event
        for i, level in enumerate(levels):
            shape = jax.eval_shape(level.forward, jax.ShapeDtypeStruct((1, *shape), dtype))[0].shape[1:]
            check_split(i, shape)
            found.append(shape)
            shape = (*shape[:-1], shape[-1] // 2)
        return found

    def forward(x: Float[Array, "b *event"]) -> tuple[Array, Array]:
        x = as_batch(x)
        if x.shape[1:] != event:
            raise ValueError(f"examples must have shape {event}, got {x.shape[1:]}")
        latents, total = [], no_change(x)
        for i, level in enumerate(levels):
            x, log_det = level.forward(x)
            check_split(i, x.shape[1:])
            total = total + log_det
            kept = x.shape[-1] // 2 if i + 1 < len(levels) else 0
            latents.append(x[..., kept:].reshape(x.shape[0], -1))
            x = x[..., :kept]
        return jnp.concatenate(latents, axis=-1), total

    def inverse(z: Float[Array, "b *event"]) -> tuple[Array, Array]:
        z = as_batch(z)
        if z.shape[1:] != (size,):
            raise ValueError(f"latents must have shape ({size},), got {z.shape[1:]}")
        found, parts, begin = shapes(z.dtype), [], 0
        for i, shape in enumerate(found):
            channels = shape[-1] - (shape[-1] // 2 if i + 1 < len(levels) else 0)
            end = begin + math.prod(shape[:-1]) * channels
            parts.append(z[:, begin:end].reshape(z.shape[0], *shape[:-1], channels))
            begin = end
        x, total = parts[-1], no_change(z)
        for i in reversed(range(len(levels))):
            if i + 1 < len(levels):
                x = jnp.concatenate([x, parts[i]], axis=-1)
            x, log_det = levels[i].inverse(x)
            total = total + log_det
        return x, total

    return Bijection(forward, inverse)
