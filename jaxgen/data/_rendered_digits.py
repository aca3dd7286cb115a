"""Digits rendered from fonts and normalised as those of MNIST are: data of its kind that need no download."""

import numpy as np
from jaxtyping import UInt8

from jaxgen.data.captcha.fonts import MATPLOTLIB_FONTS
from jaxgen.data.captcha.render import CaptchaStyle, render_captchas
from jaxgen.data.dataset import ImageDataset
from jaxgen.data.resizing import Resize

_BOX = 20 / 28  # of a side, in which MNIST's digits lie
_DRAWN = 48  # least pixels a side before normalisation
_INK = 32  # grey level above which a pixel belongs to the digit


def render_digits(n: int, size: int = 16, seed: int = 0) -> ImageDataset:
    """Render digits in 16 fonts, rotated and warped, white on black.

    Each is scaled to fill a box of 20/28 of the image's sides, keeps its aspect ratio, and is centred by its centre of
    mass, as MNIST's digits are. Image i depends on the size, the seed and i alone. The exact pixels also depend on the
    versions of Pillow and of the fonts, which come with matplotlib.

    Args:
        n: the number of images, at least 1.
        size: height and width in pixels, 8 to 512.
        seed: an integer from 0.

    Returns:
        Images (n, size, size, 1), uint8, with labels 0 to 9, each equally likely.

    Raises:
        ValueError: if n < 1, size is out of range, or seed < 0.
        ImportError: if matplotlib or Pillow is not installed.

    Reference:
        LeCun et al. 1998, "Gradient-based learning applied to document recognition", §III.A, for the normalisation.
    """
    if not 8 <= size <= 512:
        raise ValueError(f"size is {size}; expected 8 to 512 pixels.")
    drawn = max(_DRAWN, 2 * size)
    style = CaptchaStyle(
        length=1, size=(drawn, drawn), fonts=MATPLOTLIB_FONTS, dots=0, curves=0, rotation=15.0, warp=0.4, gaps=0.0
    )
    found = render_captchas(n, style, seed)
    images = np.stack([_normalised(255 - image[..., 0], size) for image in found.images])
    return ImageDataset(images[..., None], found.labels[:, 0], found.label_names)


def _normalised(image: UInt8[np.ndarray, "h w"], size: int) -> UInt8[np.ndarray, "size size"]:
    """Cut out the digit, scale it to the box, stretch its grey levels to 0 … 255, and centre it."""
    image = image - image.min()
    inside = [np.flatnonzero((image > _INK).any(1 - axis)) for axis in (0, 1)]
    digit = image[tuple(slice(of[0], of[-1] + 1) for of in inside)]
    factor = _BOX * size / max(digit.shape)
    height, width = (max(1, round(factor * side)) for side in digit.shape)
    digit = Resize(height, width, "box")(digit[..., None])[..., 0].astype(np.float64)
    digit *= 255 / digit.max()
    placed = np.zeros((size, size), np.uint8)
    corner = [_start(digit.sum(1 - axis), size) for axis in (0, 1)]
    placed[corner[0] : corner[0] + height, corner[1] : corner[1] + width] = np.rint(digit)
    return placed


def _start(mass: np.ndarray, size: int) -> int:
    """Where a profile of mass must start to have its centre in the middle, within the image."""
    centre = np.average(np.arange(len(mass)), weights=mass)
    return int(np.clip(round((size - 1) / 2 - centre), 0, size - len(mass)))
