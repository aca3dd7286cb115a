"""Decoding of untrusted image files."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO

import numpy as np

from jaxgen.data.reading.untrusted import RefusedFileError, refuse_errors
from jaxgen.data.resizing import import_pillow

# Pillow reads more formats, but hands an EPS, for one, to the system's ghostscript.
FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF", "PPM")
MAX_PIXELS = 2**26  # 8192², which can take a GiB during colour conversion
_MAX_SCANS = 256  # of a JPEG; each costs a pass over all pixels, and progressive JPEGs have about ten


def decode_image(read: Callable[[], bytes], name: str, sides: tuple[int, int] | None = None) -> np.ndarray:
    """Decode an image to uint8 (H, W, 1) if it is grey and (H, W, 3) if it has colour.

    Transparent pixels are blended with white. Of an animation the first frame is decoded. The orientation in EXIF is
    ignored.

    Args:
        read: returns the bytes of the file.
        name: the file's name in error messages.
        sides: the (least, greatest) height and width in pixels; None accepts any.
    """
    pillow = import_pillow()
    content = read()
    if content.startswith(b"\xff\xd8") and (scans := content.count(b"\xff\xda")) > _MAX_SCANS:
        raise RefusedFileError(f"{name} is a JPEG of {scans} scans; expected at most {_MAX_SCANS}: save it again.")
    if content.startswith((b"P1", b"P2", b"P3")):
        # Pillow's time is quadratic in the length of their comments.
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
            _check_size(opened.size[::-1], name, sides)
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


def _check_size(shape: tuple[int, int], name: str, sides: tuple[int, int] | None) -> None:
    if sides and not sides[0] <= min(shape) <= max(shape) <= sides[1]:
        raise RefusedFileError(f"{name} has {size_of(shape)} pixels; expected sides of {sides[0]} to {sides[1]}.")
    if not 1 <= shape[0] * shape[1] <= MAX_PIXELS:
        raise RefusedFileError(
            f"{name} has {size_of(shape)} pixels; expected 1 to {MAX_PIXELS:,} in all: shrink or remove it."
        )


def _list(words: tuple[str, ...]) -> str:
    return f"{', '.join(words[:-1])} and {words[-1]}"


def size_of(shape: tuple[int, ...]) -> str:
    """Return height×width as text."""
    return f"{shape[0]}×{shape[1]}"
