"""Rendering of dSprites by index, on the host or on the device."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int, UInt8

from jaxgen.core import is_traced
from jaxgen.data.dsprites.lattice import DSPRITES_FACTORS, check_index, unravel

SIDE = 64
_BLOCK = 32  # images that NumPy draws at once, few enough for the cache

_SCALE, _ANGLE = np.meshgrid(DSPRITES_FACTORS["scale"], DSPRITES_FACTORS["orientation"], indexing="ij")
_COS, _SIN = np.cos(_ANGLE) / _SCALE, np.sin(_ANGLE) / _SCALE  # (6, 40)
_CENTRES = 16 + 32 * DSPRITES_FACTORS["x"]  # in pixels, of x and of y


def render_dsprites(
    index: Int[np.ndarray, " n"] | Int[Array, " n"], size: int = SIDE, average: bool = False
) -> UInt8[np.ndarray, "n size size 1"] | UInt8[Array, "n size size 1"]:
    """Draw images of the dSprites lattice by their index: 0 outside the shape, 255 inside.

    Let (u, v) be the offset from the position in pixels. At scale 1 and orientation 0 the square is |u|, |v| ≤ 9.599,
    the ellipse is (u/12.77)² + (v/7.2125)² ≤ 1, and the heart's outline is the curve (u, v) =
    (9.594 sin³τ, −1.4365 − .6622 (13 cos τ − 5 cos 2τ − 2 cos 3τ − cos 4τ)). A pixel is inside if its centre is. These
    constants reproduce the published images in nearly all pixels; `load_dsprites` reads the published images.

    A NumPy index is drawn by NumPy in float64, a JAX index by JAX in float32, also under jit. The two can differ where
    the centre of a pixel lies on an outline.

    Args:
        index: integers (n,) in [0, 737280), y fastest. Traced values are not checked.
        size: height and width in pixels: 64, 32 or 16.
        average: for sizes below 64, give the mean of the 64×64 image over boxes of pixels, rounded, instead of testing
            the centre of the larger pixel. Averages are not binary.

    Returns:
        Images (n, size, size, 1), uint8, of the same array type as `index`.

    Raises:
        ValueError: if the size is none of these, or a concrete index lies outside [0, 737280).

    Reference:
        Matthey et al. 2017, dSprites: disentanglement testing sprites dataset.
    """
    check_size(size)
    if not is_traced(index):
        check_index(np.asarray(index))
    if isinstance(index, jax.Array):
        return _render_on_device(index, size, average)
    return _render_on_host(index, size, average)


def check_size(size: int) -> None:
    """Raise a ValueError for a size other than 64, 32 and 16."""
    if size not in (64, 32, 16):
        raise ValueError(f"size is {size}; dSprites are drawn on 64, 32 or 16 pixels.")


def box_average(xp, images, size: int):
    """Shrink uint8 images (n, 64, 64, 1) by the mean over boxes of pixels, halves rounded up; xp is numpy or jnp."""
    factor = SIDE // size
    if factor == 1:
        return images
    total = images.reshape(-1, size, factor, size, factor, 1).sum((2, 4), dtype=xp.int32)
    return ((2 * total + factor**2) // (2 * factor**2)).astype(xp.uint8)


def _render_on_host(index: np.ndarray, size: int, average: bool) -> np.ndarray:
    drawn = SIDE if average else size
    images = np.empty((len(index), size, size, 1), np.uint8)
    shape = unravel(index)[1]
    for number, outline in enumerate(_OUTLINES):
        members = np.flatnonzero(shape == number)
        for start in range(0, len(members), _BLOCK):
            rows = members[start : start + _BLOCK]
            inside = outline(np, *_coordinates(np, index[rows], drawn, np.float64))
            images[rows] = _as_image(np, inside, size, average)
    return images


@functools.partial(jax.jit, static_argnums=(1, 2))
def _render_on_device(index: Array, size: int, average: bool) -> Array:
    u, v = _coordinates(jnp, index, SIDE if average else size, np.float32)
    shape = unravel(index)[1][:, None, None]
    square, ellipse, heart = (outline(jnp, u, v) for outline in _OUTLINES)
    inside = jnp.where(shape == 0, square, jnp.where(shape == 1, ellipse, heart))
    return _as_image(jnp, inside, size, average)


def _as_image(xp, inside, size: int, average: bool):
    image = xp.where(inside, xp.uint8(255), xp.uint8(0))[..., None]
    return box_average(xp, image, size) if average else image


def _coordinates(xp, index, size: int, dtype):
    """Pixel centres in the frame of the shape, which is rotated and scaled: u and v, each (n, size, size)."""
    _, _, scale, orientation, x, y = unravel(index)
    pixels = (np.arange(size) + 0.5) * (SIDE / size)
    offsets = xp.asarray((pixels - _CENTRES[:, None]).astype(dtype))  # (32, size), taken in float64
    cos, sin = (xp.asarray(table.astype(dtype))[scale, orientation][:, None] for table in (_COS, _SIN))
    across, down = offsets[x], offsets[y]
    u = (across * cos)[:, None, :] - (down * sin)[:, :, None]
    v = (across * sin)[:, None, :] + (down * cos)[:, :, None]
    return u, v


def _square(xp, u, v):
    return xp.maximum(xp.abs(u), xp.abs(v)) <= 9.599


def _ellipse(xp, u, v):
    return u * u * (1 / 12.77**2) + v * v * (1 / 7.2125**2) <= 1


def _heart(xp, u, v):
    # At each u the outline has two points, at cos τ = ±√(1 − sin²τ), and the heart lies between them. There
    # 13 cos τ − 5 cos 2τ − 2 cos 3τ − cos 4τ = (4 − 2 cos²τ − 8 cos⁴τ) + (19 − 8 cos²τ) cos τ.
    cos2 = xp.maximum(1 - xp.cbrt(u * u * (1 / 9.594**2)), 0)
    return xp.abs((v + 1.4365) * (1 / 0.6622) + 4 - 2 * cos2 - 8 * cos2 * cos2) < (19 - 8 * cos2) * xp.sqrt(cos2)


_OUTLINES = (_square, _ellipse, _heart)
