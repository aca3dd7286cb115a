"""Square crops and resizing with a named filter."""

import numpy as np
from jaxtyping import Shaped

FILTERS = ("nearest", "box", "bilinear", "bicubic", "lanczos")


class Resize:
    """Resize images to (height, width), ignoring their aspect ratio, with a filter of Pillow's.

    All filters but "nearest" antialias when shrinking. "box" keeps pixel art sharp at integer factors; "bicubic" is
    usual for photographs.
    """

    def __init__(self, height: int, width: int, resize_filter: str):
        """Set the size in pixels and the filter, one of `FILTERS`."""
        if min(height, width) < 1:
            size = height if height == width else f"{height}×{width}"
            raise ValueError(f"resize is {size}; expected a height and width of at least 1 pixel.")
        if resize_filter not in FILTERS:
            raise ValueError(f"resize_filter is {resize_filter!r}; expected one of {FILTERS}.")
        self._pillow = import_pillow()
        self._size = height, width
        self._filter = self._pillow.Resampling[resize_filter.upper()]

    def __call__(self, image: Shaped[np.ndarray, "h w c"]) -> Shaped[np.ndarray, "height width c"]:
        """Resize an image, uint8 or floating point, and keep its dtype."""
        return np.stack([self._resize_plane(image[..., c]) for c in range(image.shape[-1])], axis=-1)

    def _resize_plane(self, plane: np.ndarray) -> np.ndarray:
        values = np.ascontiguousarray(plane if plane.dtype == np.uint8 else plane.astype(np.float32))
        resized = np.asarray(self._pillow.fromarray(values).resize(self._size[::-1], self._filter))
        # Bicubic and Lanczos overshoot at edges; Pillow clips uint8 only.
        return np.clip(resized, values.min(), values.max()).astype(plane.dtype)


class SquareResize:
    """Crop images to their central square and resize it to `size`×`size` pixels, as `Resize` does."""

    def __init__(self, size: int, resize_filter: str):
        """Set the size in pixels and the filter; raises as `Resize` does."""
        self._resize = Resize(size, size, resize_filter)

    def __call__(self, image: Shaped[np.ndarray, "h w c"]) -> Shaped[np.ndarray, "size size c"]:
        """Crop and resize an image, uint8 or floating point, and keep its dtype."""
        height, width = image.shape[:2]
        side = min(height, width)
        top, left = (height - side) // 2, (width - side) // 2
        return self._resize(image[top : top + side, left : left + side])


def import_pillow():
    """Return `PIL.Image`, or raise an ImportError that says how to install it."""
    try:
        from PIL import Image
    except ImportError as error:
        raise ImportError("image files need Pillow: pip install jaxgen[experiments]") from error
    return Image
