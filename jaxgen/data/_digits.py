"""The handwritten digits of scikit-learn: real images that need no download."""

import numpy as np

from jaxgen.data.dataset import ImageDataset
from jaxgen.data.resizing import Resize

SIDE = 8


def digits(size: int = SIDE, resize_filter: str = "bicubic") -> ImageDataset:
    """Load the 1,797 handwritten digits of scikit-learn, white on black.

    They are the test set of the UCI optical digits. Their grey levels k = 0 … 16 become round(255 k/16), from which k
    can be recovered.

    Args:
        size: height and width in pixels, at least 8, which is the original size.
        resize_filter: for larger sizes: "nearest", "box", "bilinear", "bicubic" or "lanczos".

    Returns:
        Images (1797, size, size, 1), uint8, with labels 0 to 9.

    Raises:
        ValueError: if size < 8, or size > 8 and the filter is unknown.
        ImportError: if scikit-learn is not installed, or size > 8 and Pillow is not.

    Reference:
        Alpaydin & Kaynak 1998, Optical recognition of handwritten digits.
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
