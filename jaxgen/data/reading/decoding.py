"""Image files as arrays of bytes, whoever made them."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO

import numpy as np

from jaxgen.data.reading.untrusted import RefusedFileError, refuse_errors
from jaxgen.data.resizing import import_pillow

# Of what Pillow reads, these alone are tried: it hands an EPS, for one, to the ghostscript of the system.
FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF", "PPM")
MAX_PIXELS = 2**26  # of an image, 8192 × 8192, which may take a GiB while its colours are converted
_MAX_SCANS = 256  # of a JPEG, which is decoded anew in each; progressive ones have about ten


def decode_image(read: Callable[[], bytes], name: str, sides: tuple[int, int] | None = None) -> np.ndarray:
    """Return (H, W, 1) for a grey image and (H, W, 3) for a coloured one, transparent pixels laid on white.

    The first frame of an animation is taken, and pixels lie as they are stored: a camera's note on how it was held is
    not followed.

    Raises:
        RefusedFileError: an unreadable image, none of `FORMATS`, one of 16 bits or of more than `MAX_PIXELS`, or a
            side below `sides[0]` or above `sides[1]` pixels: sizes are found out before any pixel is decoded.
    """
    pillow = import_pillow()
    content = read()
    if content.startswith(b"\xff\xd8") and (scans := content.count(b"\xff\xda")) > _MAX_SCANS:
        raise RefusedFileError(f"{name} is a JPEG of {scans} scans; expected at most {_MAX_SCANS}: save it again.")
    if content.startswith((b"P1", b"P2", b"P3")):
        # Pillow's time for the comments in one grows with the square of their length
        raise RefusedFileError(f"{name} is a PPM in plain text; save it as a binary one, or as PNG.")
    remedy = "remove or replace it"
    with refuse_errors(name, "image", remedy):
        try:
            opened = pillow.open(BytesIO(content), formats=FORMATS)
        except pillow.UnidentifiedImageError as error:
            raise RefusedFileError(f"{name} is not a readable image, as {_list(FORMATS)} are: {remedy}.") from error
        except pillow.DecompressionBombError as error:
            raise RefusedFileError(f"{name} has more than {MAX_PIXELS:,} pixels: shrink or remove it.") from error
        with opened:
            _checksize_of(opened.size[::-1], name, sides)
            opened.load()
            return _pixels(opened, name)


def _pixels(image, name: str) -> np.ndarray:
    pillow = import_pillow()
    if image.mode.startswith(("I", "F")):
        raise RefusedFileError(f"{name} has 16 or 32 bits per value (mode {image.mode}); convert it to 8 bits.")
    grey = image.mode in ("1", "L", "LA")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = pillow.alpha_composite(pillow.new("RGBA", image.size, "white"), image)
    mode = "L" if grey else "RGB"
    pixels = np.asarray(image if image.mode == mode else image.convert(mode))
    return pixels[..., None] if grey else pixels


def _checksize_of(shape: tuple[int, int], name: str, sides: tuple[int, int] | None) -> None:
    if sides and not sides[0] <= min(shape) <= max(shape) <= sides[1]:
        raise RefusedFileError(
            f"{name} has {size_of(shape)} pixels; expected sides of {sides[0]} to {sides[1]}: remove or resize it."
        )
    if not 1 <= shape[0] * shape[1] <= MAX_PIXELS:
        raise RefusedFileError(
            f"{name} has {size_of(shape)} pixels; expected 1 to {MAX_PIXELS:,} in all: shrink or remove it."
        )


def _list(words: tuple[str, ...]) -> str:
    return f"{', '.join(words[:-1])} and {words[-1]}"


def size_of(shape: tuple[int, ...]) -> str:
    """Return the height and width of an array as text."""
    return f"{shape[0]}×{shape[1]}"
