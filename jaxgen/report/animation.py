"""Animated GIFs of samples over the steps of a sampler."""

import io

import numpy as np
from jax.typing import ArrayLike
from PIL import Image

from jaxgen.core import check_at_least
from jaxgen.report import pixels


def animate(
    trajectory: ArrayLike,
    columns: int | None = None,
    *,
    scale: int | None = None,
    frames: int = 30,
    frame_ms: int = 100,
    hold_ms: int = 2000,
) -> bytes:
    """Encode a trajectory as an endless GIF of image grids.

    Args:
        trajectory: shape (steps, b, h, w, c), uint8 or floats in [-1, 1].
        columns: columns of the grid; by default it is about twice as wide as high.
        scale: side of an image pixel in CSS pixels, as in `image_grid`.
        frames: largest number of steps shown, evenly spaced from the first to the last, at least 2.
        frame_ms: duration of each frame in milliseconds, a multiple of 10 from 20.
        hold_ms: duration of the last frame.

    Returns:
        The bytes of the GIF; a frame has at most 256 colours.

    Raises:
        ValueError: if images have another shape, type or range, frames < 2, columns or scale is below 1, or a duration
            is below 20 ms or no multiple of 10 ms.
    """
    trajectory = np.asarray(trajectory)
    if trajectory.ndim != 5:
        raise ValueError(f"animate expects a trajectory of shape (steps, b, h, w, c), got {trajectory.shape}")
    check_at_least(2, frames=frames)
    if any(ms < 20 or ms % 10 for ms in (frame_ms, hold_ms)):
        raise ValueError(f"GIF durations are multiples of 10 ms, from 20: got frame_ms={frame_ms}, hold_ms={hold_ms}")
    steps, b, _, width, _ = trajectory.shape
    columns = pixels.default_columns(b) if columns is None else columns
    check_at_least(1, columns=columns, scale=1 if scale is None else scale)
    columns = min(columns, b)
    scale = scale or pixels.default_scale(width, columns)

    shown = np.unique(np.linspace(0, steps - 1, min(frames, steps)).round().astype(int))
    images = [
        Image.fromarray(pixels.tile(batch, columns, scale=scale, frame=pixels.FRAME)).quantize()
        for batch in pixels.to_uint8(trajectory[shown])
    ]
    buffer = io.BytesIO()
    durations = [frame_ms] * (len(images) - 1) + [hold_ms]
    images[0].save(buffer, "GIF", save_all=True, append_images=images[1:], duration=durations, loop=0, disposal=1)
    return buffer.getvalue()
