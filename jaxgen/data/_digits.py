"""Handwritten digits that come with scikit-learn: a data set of real images that needs no download."""

import numpy as np

from jaxgen.data.dataset import ImageDataset
from jaxgen.data.resizing import Resize

SIDE = 8


def digits(size: int = SIDE, resize_filter: str = "bicubic") -> ImageDataset:
    """Return 1,797 handwritten digits, uint8 (1797, size, size, 1), ink bright on black, with labels 0 to 9.

    They are the test part of the UCI set of optical digits (Alpaydin & Kaynak 1998). Their 17 grey levels k = 0…16
    become 255 k/16, rounded (so 16 becomes 255, and 16 x/255, rounded, is k again); larger sizes are resized from that.

    Args:
        size: height and width in pixels, 8 or more.
        resize_filter: "nearest", "box", "bilinear", "bicubic" or "lanczos", for sizes above 8.

    Raises:
        ValueError: a size below 8, or an unknown filter.
        ImportError: scikit-learn is not installed, or, for sizes above 8, Pillow.
    """
    if size < SIDE:
        raise ValueError(f"size is {size}; the digits have {SIDE}×{SIDE} pixels: ask for {SIDE} or more.")
    resize = None if size == SIDE else Resize(size, size, resize_filter)
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise ImportError("the digits come with scikit-learn: pip install jaxgen[experiments]") from error
    stored = load_digits()
    images = np.rint(stored.images * (255 / 16)).astype(np.uint8)[..., None]
    if resize is not None:
        images = np.stack([resize(image) for image in images])
    return ImageDataset(images, stored.target.astype(np.int32), tuple(map(str, range(10))))
