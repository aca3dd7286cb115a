"""Images as exact screen pixels: 8-bit colours, enlargement and tiling."""

import math

import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import UInt8

from jaxgen.report.style import WIDTH

FRAME_COLOR = (233, 235, 240)
FRAME = 3  # CSS pixels between images
NOT_FINITE_COLOR = (255, 0, 255)


def to_uint8(images: ArrayLike) -> UInt8[np.ndarray, "*b h w 3"]:
    """Convert images to 8-bit RGB.

    A float x becomes round(127.5 (x + 1)) after clipping. Pixels that are not finite become magenta, so that samples
    that diverged show in the report.

    Args:
        images: shape (*b, h, w, c), uint8 or floats in [-1, 1], with one or three channels.

    Raises:
        ValueError: if images have another shape or type, or floats look like 0..255.
    """
    images = np.asarray(images)
    if images.ndim < 3 or images.shape[-1] not in (1, 3) or 0 in images.shape:
        raise ValueError(f"images must have shape (*batch, height, width, 1 or 3 channels), got {images.shape}")
    diverged = np.zeros(images.shape[:-1], bool)
    if images.dtype != np.uint8:
        if not jnp.issubdtype(images.dtype, jnp.floating):
            raise ValueError(f"images must be uint8 or floats in [-1, 1], got {images.dtype}")
        images = images.astype(np.float32)
        diverged = ~np.isfinite(images).all(-1)
        images = np.nan_to_num(images, posinf=0, neginf=0)
        if images.min() >= 0 and images.max() > 8:
            raise ValueError(f"float images lie in [-1, 1], got up to {images.max():g}: give images of 0..255 as uint8")
        images = np.round(127.5 * (np.clip(images, -1, 1) + 1)).astype(np.uint8)
    rgb = np.broadcast_to(images, (*images.shape[:-1], 3)).copy()
    rgb[diverged] = NOT_FINITE_COLOR
    return rgb


def default_columns(n: int) -> int:
    """Choose the number of columns for n square images: a grid about twice as wide as high."""
    return min(n, math.ceil(math.sqrt(2 * n)))


def default_scale(image_width: int, columns: int, room: int = WIDTH) -> int:
    """Choose the largest integer scale, from 1 to 8, at which a row of images fits `room` CSS pixels."""
    return int(np.clip((room - FRAME * (columns + 1)) // (columns * image_width), 1, 8))


def tile(
    images: UInt8[np.ndarray, "n h w 3"], columns: int, *, scale: int, frame: int, headers: tuple[int, ...] = ()
) -> UInt8[np.ndarray, "height width 3"]:
    """Tile n images with frames into one picture, in rows of `columns`.

    Every image pixel becomes a square of side `scale`; neighbours share a frame of width `frame`. `headers[row]` is the
    height of the white space above a row, 0 by default.
    """
    n, h, w, _ = images.shape
    tops = row_tops(math.ceil(n / columns), scale * h, frame, headers)
    canvas = np.full((tops[-1] + scale * h + frame, columns * (scale * w + frame) + frame, 3), 255, np.uint8)
    for i, image in enumerate(images.repeat(scale, axis=1).repeat(scale, axis=2)):
        y, x = tops[i // columns], i % columns * (scale * w + frame) + frame
        canvas[y - frame : y + scale * h + frame, x - frame : x + scale * w + frame] = FRAME_COLOR
        canvas[y : y + scale * h, x : x + scale * w] = image
    return canvas


def row_tops(rows: int, height: int, frame: int, headers: tuple[int, ...] = ()) -> list[int]:
    """Return the first pixel line of the images of each row."""
    headers = headers or (0,) * rows
    return [sum(headers[: row + 1]) + row * (height + frame) + frame for row in range(rows)]
