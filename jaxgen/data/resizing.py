"""Square crops and resizing with a named filter."""

import numpy as np
from jaxtyping import Shaped

FILTERS = ("nearest", "box", "bilinear", "bicubic", "lanczos")


class SquareResize:
    """Crop an image to its central square and resize that to `size`×`size` pixels.

    The filters are Pillow's: "nearest" picks pixels, the others average over what shrinks into a pixel. "box" keeps
    pixel art crisp at whole factors, "bicubic" is the usual choice for photographs.
    """

    def __init__(self, size: int, resize_filter: str):
        """Take the size in pixels and the filter.

        Raises:
            ValueError: size below 1, or an unknown filter.
            ImportError: Pillow is not installed.
        """
        if size < 1:
            raise ValueError(f"resize is {size}; expected a height and width of at least 1 pixel.")
        if resize_filter not in FILTERS:
            raise ValueError(f"resize_filter is {resize_filter!r}; expected one of {FILTERS}.")
        self._pillow = import_pillow()
        self._size = size
        self._filter = self._pillow.Resampling[resize_filter.upper()]

    def __call__(self, image: Shaped[np.ndarray, "h w c"]) -> Shaped[np.ndarray, "size size c"]:
        """Resize one image of uint8 or floats, keeping its dtype."""
        height, width = image.shape[:2]
        side = min(height, width)
        top, left = (height - side) // 2, (width - side) // 2
        square = image[top : top + side, left : left + side]
        return np.stack([self._resize_plane(square[..., c]) for c in range(square.shape[-1])], axis=-1)

    def _resize_plane(self, plane: np.ndarray) -> np.ndarray:
        values = np.ascontiguousarray(plane if plane.dtype == np.uint8 else plane.astype(np.float32))
        resized = np.asarray(self._pillow.fromarray(values).resize((self._size, self._size), self._filter))
        # Bicubic and Lanczos overshoot at edges; Pillow clips that for uint8 alone.
        return np.clip(resized, values.min(), values.max()).astype(plane.dtype)


def import_pillow():
    """Return `PIL.Image`, or raise an ImportError that says how to install it."""
    try:
        from PIL import Image
    except ImportError as error:
        raise ImportError("image files need Pillow: pip install jaxgen[experiments]") from error
    return Image
