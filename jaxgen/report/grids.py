"""Grids of images in which every image pixel is an exact square of screen pixels."""

import math
from collections.abc import Sequence

import numpy as np
from jax.typing import ArrayLike
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import TextPath

from jaxgen.core import check_at_least
from jaxgen.report import pixels
from jaxgen.report.style import DPI, SOFT_INK, house_style

_PER_CSS_PIXEL = DPI // 96
_FRAME = pixels.FRAME * _PER_CSS_PIXEL
_HEADER = 17 * _PER_CSS_PIXEL
_MARGIN = 8 * _PER_CSS_PIXEL
_FONT_SIZE = 8.5


@house_style
def image_grid(
    images: ArrayLike,
    columns: int | None = None,
    *,
    titles: Sequence[str] = (),
    row_labels: Sequence[str] = (),
    scale: int | None = None,
) -> Figure:
    """Draw a grid of images with thin frames, row by row.

    The PNG of the figure has two device pixels per CSS pixel.

    Args:
        images: shape (n, h, w, c), uint8 or floats in [-1, 1], with one or three channels.
        columns: columns of the grid; by default it is about twice as wide as high.
        titles: titles of the columns or of every image.
        row_labels: labels of the rows.
        scale: side of an image pixel in CSS pixels; by default the largest of 1..8 that fits the page.

    Returns:
        The figure, in which each side of an image pixel has `scale` CSS pixels.

    Raises:
        ValueError: if images have another shape, type or range, columns or scale is below 1, or labels do not match.
    """
    images = pixels.to_uint8(images)
    if images.ndim != 4:
        raise ValueError(f"image_grid expects images of shape (n, h, w, c), got {images.shape}")
    n, height, width, _ = images.shape
    columns = pixels.default_columns(n) if columns is None else columns
    check_at_least(1, columns=columns, scale=1 if scale is None else scale)
    columns = min(columns, n)
    rows = math.ceil(n / columns)
    if titles and len(titles) not in (columns, n):
        raise ValueError(f"titles must name the {columns} columns or all {n} images, got {len(titles)}")
    if row_labels and len(row_labels) != rows:
        raise ValueError(f"row_labels must name the {rows} rows, got {len(row_labels)}")

    labels_width = max((_text_width(label, _FONT_SIZE) for label in row_labels), default=0)
    # Whole CSS pixels, so that a browser does not resample the picture.
    left = math.ceil(labels_width / _PER_CSS_PIXEL + 12) * _PER_CSS_PIXEL if row_labels else 0
    scale = scale or pixels.default_scale(width, columns, room=pixels.WIDTH - left // _PER_CSS_PIXEL)
    cell = scale * _PER_CSS_PIXEL
    headers = tuple(_HEADER if titles and (row == 0 or len(titles) > columns) else 0 for row in range(rows))
    canvas = pixels.tile(images, columns, scale=cell, frame=_FRAME, headers=headers)

    size = np.array([left + canvas.shape[1], canvas.shape[0]])
    figure = Figure(figsize=size / DPI, dpi=DPI)
    axes = figure.add_axes((left / size[0], 0, canvas.shape[1] / size[0], 1))
    axes.imshow(canvas, interpolation="nearest", aspect="auto")
    axes.set_axis_off()

    tops = pixels.row_tops(rows, cell * height, _FRAME, headers)
    step = cell * width + _FRAME
    style = {"color": SOFT_INK, "fontsize": _FONT_SIZE}
    for row, label in enumerate(row_labels):
        middle = tops[row] + cell * height / 2
        figure.text((left - _MARGIN) / size[0], 1 - middle / size[1], label, ha="right", va="center", **style)
    widest = max((_text_width(title, _FONT_SIZE) for title in titles), default=0)
    style["fontsize"] *= min(1, 0.95 * step / widest) if widest else 1  # shrink long titles
    for i, title in enumerate(titles):
        middle = left + i % columns * step + _FRAME + cell * width / 2
        baseline = tops[i // columns] - _FRAME - _HEADER * 0.3
        figure.text(middle / size[0], 1 - baseline / size[1], title, ha="center", va="baseline", **style)
    return figure


def strip(
    images_over_time: ArrayLike, labels: Sequence[str], *, row_labels: Sequence[str] = (), scale: int | None = None
) -> Figure:
    """Draw a batch over time: one row per image, one column per step.

    Args:
        images_over_time: shape (steps, b, h, w, c), as in `image_grid`.
        labels: one label per step.
        row_labels: labels of the rows.
        scale: as in `image_grid`.

    Returns:
        The figure, as `image_grid` draws it.

    Raises:
        ValueError: if images have another shape, or the labels are not one per step; and as `image_grid` does.
    """
    images = np.asarray(images_over_time)
    if images.ndim != 5:
        raise ValueError(f"strip expects images of shape (steps, b, h, w, c), got {images.shape}")
    if len(labels) != len(images):
        raise ValueError(f"strip needs one label per step: {len(images)} steps, {len(labels)} labels")
    flat = images.swapaxes(0, 1).reshape(-1, *images.shape[2:])
    return image_grid(flat, columns=len(images), titles=labels, row_labels=row_labels, scale=scale)


def _text_width(text: str, font_size: float) -> float:
    """Return the width of a text in device pixels."""
    font = FontProperties(family="DejaVu Sans", size=font_size)
    return TextPath((0, 0), text, prop=font).get_extents().width * DPI / 72 if text.strip() else 0.0
