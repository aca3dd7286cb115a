"""Resizing as the published feature extractors do it, as products with fixed matrices."""

from typing import Literal

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, UInt8

HalfPixel = Literal["half_pixel", "asymmetric"]


def resize_bilinear(
    images: Float[Array, "b h w c"], side: int, *, align: HalfPixel = "half_pixel", antialias: bool = False
) -> Float[Array, "b side side c"]:
    """Resize images to side × side by bilinear interpolation.

    Args:
        images: (b, h, w, c).
        side: height and width of the result.
        align: "half_pixel" puts the centre of output pixel i at (i + ½) in/out − ½, as PyTorch does with
            align_corners=False. "asymmetric" puts it at i in/out, as TensorFlow 1 does.
        antialias: widen the triangle of the interpolation where images shrink; otherwise pixels are skipped.

    Returns:
        The images, (b, side, side, c).
    """
    rows, columns = (jnp.asarray(_weights(size, side, align, antialias), images.dtype) for size in images.shape[1:3])
    return jnp.einsum("yh,xw,bhwc->byxc", rows, columns, images, precision="highest")


def as_rgb(images: UInt8[Array, "b h w c"]) -> Float[Array, "b h w 3"]:
    """Images of one or three channels as three channels in 0 … 255, float32."""
    images = jnp.asarray(images)
    if images.ndim != 4 or images.shape[-1] not in (1, 3) or images.dtype != jnp.uint8:
        raise ValueError(
            f"expected uint8 images (b, h, w, c) of 1 or 3 channels, got {images.dtype} of shape {images.shape}: "
            "distances are comparable only if all images are rounded alike, for instance by data.to_uint8"
        )
    return jnp.broadcast_to(images, (*images.shape[:3], 3)).astype(jnp.float32)


def central_square(images: Float[Array, "b h w c"]) -> Float[Array, "b side side c"]:
    """The largest square in the middle of images."""
    height, width = images.shape[1:3]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return images[:, top : top + side, left : left + side]


def _weights(size: int, side: int, align: HalfPixel, antialias: bool) -> np.ndarray:
    """The matrix (side, size) of one axis."""
    ratio = size / side
    half = 0.5 if align == "half_pixel" else 0.0
    centre = (np.arange(side) + half) * ratio - half
    if antialias and ratio > 1:
        weights = np.maximum(0, 1 - np.abs(np.arange(size) - centre[:, None]) / ratio)
        return weights / weights.sum(1, keepdims=True)
    centre = np.clip(centre, 0, size - 1)
    low = np.floor(centre).astype(int)
    weights = np.zeros((side, size))
    np.add.at(weights, (np.arange(side), low), 1 - (centre - low))
    np.add.at(weights, (np.arange(side), np.minimum(low + 1, size - 1)), centre - low)
    return weights
