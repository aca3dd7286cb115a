"""Figures as bytes of image files."""

import base64
import io
from typing import NamedTuple

from matplotlib.figure import Figure
from PIL import Image, UnidentifiedImageError


class EncodedFigure(NamedTuple):
    """A file's bytes, its kind (png or gif), the size in CSS pixels at which to show it, and its CSS class."""

    content: bytes
    kind: str
    size: tuple[int, int]
    look: str

    @property
    def source(self) -> str:
        """The file as a data URL."""
        return f"data:image/{self.kind};base64,{base64.b64encode(self.content).decode()}"


def encode_figure(image: Figure | bytes) -> EncodedFigure:
    """Encode a matplotlib figure as PNG; keep the bytes of a PNG or GIF.

    Raises:
        ValueError: if bytes are no PNG or GIF.
    """
    if isinstance(image, Figure):
        buffer = io.BytesIO()
        image.savefig(buffer, format="png", dpi=image.dpi)
        size = round(96 * image.get_figwidth()), round(96 * image.get_figheight())
        look = "plot" if any(axes.axison for axes in image.axes) else "grid"
        return EncodedFigure(buffer.getvalue(), "png", size, look)
    try:
        with Image.open(io.BytesIO(image), formats=("PNG", "GIF")) as picture:
            return EncodedFigure(image, picture.format.lower(), picture.size, "pixels")
    except UnidentifiedImageError as error:
        raise ValueError("a figure must be a matplotlib Figure or the bytes of a PNG or GIF file") from error
