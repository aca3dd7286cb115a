"""Drawing of one CAPTCHA, with the steps of the captcha package."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from jaxgen.data.captcha.fonts import Glyph
from jaxgen.data.resizing import import_pillow


class DistortedGlyph(NamedTuple):
    """A character or a gap, and its distortion.

    `corners` (x1, y1, x2, y2) are displacements of the corners of its box in pixels. `overlap` in [0, 1) is how far the
    next glyph moves over it, as a fraction of the maximum.
    """

    glyph: Glyph
    angle: float = 0.0  # degrees
    corners: tuple[int, int, int, int] = (0, 0, 0, 0)
    overlap: float = 0.0


def draw_ink(
    size: tuple[int, int],
    glyphs: Sequence[DistortedGlyph],
    dots: Sequence[Sequence[int]],
    curves: Sequence[tuple[tuple[int, int, int, int], int, int]],
    shrink: int = 1,
) -> np.ndarray:
    """Draw the ink of a CAPTCHA, uint8 (height, width): 0 is paper, 255 is ink.

    The steps are: the glyphs from left to right, compressed if they are wider than the image; dots (x, y); arcs
    ((left, top, right, bottom), start, end), angles in degrees; smoothing. Coordinates refer to an image `shrink` times
    as large as `size`, whose pixels are averaged at the end.
    """
    image_module = import_pillow()
    from PIL import ImageDraw, ImageFilter

    height, width = size[0] * shrink, size[1] * shrink
    images = [_distort(item) for item in glyphs]
    text_width = sum(item.glyph.width for item in glyphs)
    plane = image_module.new("L", (max(text_width, width), height))
    average = text_width // sum(item.glyph.ink is not None for item in glyphs)
    most, offset = int(0.25 * average), int(0.1 * average)
    for item, image in zip(glyphs, images, strict=True):
        if image is not None:
            plane.paste(255, (offset, int((height - item.glyph.height) / 2)), image)
        offset += item.glyph.width - int(item.overlap * (most + 1))
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


def _distort(item: DistortedGlyph):
    """Rotate the ink of a glyph, stretch it over its box, and move the corners of the box."""
    image_module = import_pillow()
    bilinear = image_module.Resampling.BILINEAR
    (image, width, height), (x1, y1, x2, y2) = item.glyph, item.corners
    if image is None:
        return None
    if item.angle:
        image = image.rotate(item.angle, bilinear, expand=True)
    wide, high = width + abs(x1) + abs(x2), height + abs(y1) + abs(y2)
    image = image.resize((wide, high), bilinear)
    if not any(item.corners):
        return image
    corners = (x1, y1, -x1, high - y2, wide + x2, high + y2, wide - x2, -y1)
    return image.transform((width, height), image_module.Transform.QUAD, corners, bilinear)
