"""One CAPTCHA from numbers that say all about it, in the steps of the captcha package."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from jaxgen.data.captcha.fonts import Glyph
from jaxgen.data.resizing import import_pillow


class DistortedGlyph(NamedTuple):
    """A character, or a gap before one, and what becomes of it.

    `corners` (x1, y1, x2, y2) pull the corners of its box, in pixels; `overlap` in [0, 1) is how far the next piece
    moves over it, as a fraction of the most it may.
    """

    glyph: Glyph
    angle: float = 0.0  # degrees
    corners: tuple[int, int, int, int] = (0, 0, 0, 0)
    overlap: float = 0.0


def draw_ink(
    size: tuple[int, int],
    pieces: Sequence[DistortedGlyph],
    dots: Sequence[Sequence[int]],
    curves: Sequence[tuple[tuple[int, int, int, int], int, int]],
    shrink: int = 1,
) -> np.ndarray:
    """Draw where the ink of a CAPTCHA lies, uint8 of `size` (height, width): 0 is paper, 255 is ink.

    Characters one after another, squeezed if they are wider than the picture; then dots (x, y) and arcs
    ((left, top, right, bottom), start, end) in degrees; then smoothing. Everything is measured on a picture `shrink`
    times as large, whose pixels are averaged at last.
    """
    image_module = import_pillow()
    from PIL import ImageDraw, ImageFilter

    height, width = size[0] * shrink, size[1] * shrink
    images = [_distort(piece) for piece in pieces]
    text_width = sum(piece.glyph.width for piece in pieces)
    plane = image_module.new("L", (max(text_width, width), height))
    average = text_width // sum(piece.glyph.ink is not None for piece in pieces)
    most, offset = int(0.25 * average), int(0.1 * average)
    for piece, image in zip(pieces, images, strict=True):
        if image is not None:
            plane.paste(255, (offset, int((height - piece.glyph.height) / 2)), image)
        offset += piece.glyph.width - int(piece.overlap * (most + 1))
    if text_width > width:
        plane = plane.resize((width, height))

    brush = ImageDraw.Draw(plane)
    thick = max(1, round(height / 20))
    for x, y in dots:
        brush.line(((x, y), (x - 1, y - 1)), fill=255, width=thick)
    for box, start, end in curves:
        brush.arc(box, start, end, fill=255, width=max(1, round(height / 60)))
    plane = plane.filter(ImageFilter.SMOOTH)
    return np.asarray(plane if shrink == 1 else plane.reduce(shrink))


def _distort(piece: DistortedGlyph):
    """Rotate the ink of a glyph, stretch it over its box, and pull the corners of that."""
    image_module = import_pillow()
    bilinear = image_module.Resampling.BILINEAR
    (image, width, height), (x1, y1, x2, y2) = piece.glyph, piece.corners
    if image is None:
        return None
    if piece.angle:
        image = image.rotate(piece.angle, bilinear, expand=True)
    wide, high = width + abs(x1) + abs(x2), height + abs(y1) + abs(y2)
    image = image.resize((wide, high), bilinear)
    if not any(piece.corners):
        return image
    corners = (x1, y1, -x1, high - y2, wide + x2, high + y2, wide - x2, -y1)
    return image.transform((width, height), image_module.Transform.QUAD, corners, bilinear)
