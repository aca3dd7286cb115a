"""The trilemma as triangles: one for each way to draw images, whose corners are quality, coverage and speed."""

import math
from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from jaxgen.report.style import PALETTE, SOFT_INK, WIDTH, house_style, inches

PER_ROW, HEIGHT = 5, 168  # triangles in a row, CSS pixels of a row
DIRECTIONS = {"quality": 90, "coverage": 210, "speed": 330}  # degrees


@house_style
def triangles(reached: Mapping[str, tuple[float, float, float]]) -> Figure:
    """Draw triangles within a frame: from its centre, 0, to its corners, 1.

    Args:
        reached: how far each way comes towards quality, coverage and speed, in [0, 1].

    Returns:
        The figure, 732 CSS pixels wide.
    """
    angles = np.radians(list(DIRECTIONS.values()))
    corners = np.stack([np.cos(angles), np.sin(angles)], -1)
    columns = min(PER_ROW, len(reached))
    rows = math.ceil(len(reached) / columns)
    figure = Figure(figsize=(inches(WIDTH), inches(HEIGHT * rows)), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes in grid:
        axes.set(xlim=(-1.25, 1.25), ylim=(-0.85, 1.3), aspect="equal")
        axes.set_axis_off()
    for axes, (title, reach) in zip(grid, reached.items(), strict=False):
        for share in (1 / 3, 2 / 3, 1):
            axes.fill(*(share * corners).T, fill=False, edgecolor=SOFT_INK, linewidth=0.8 if share == 1 else 0.4)
        for corner in corners:
            axes.plot(*np.stack([0 * corner, corner]).T, color=SOFT_INK, linewidth=0.4)
        inner = np.array(reach)[:, None] * corners
        axes.fill(*inner.T, color=PALETTE[0], alpha=0.35, linewidth=0)
        axes.plot(*inner[[0, 1, 2, 0]].T, color=PALETTE[0], linewidth=1.4, marker="o", markersize=3.5)
        for name, (x, y) in zip(DIRECTIONS, corners, strict=True):
            place = (0, 4) if y > 0 else (0, -4)
            axes.annotate(
                name, (x, y), place, textcoords="offset points", ha="center", va="bottom" if y > 0 else "top",
                fontsize=7.5, color=SOFT_INK,
            )  # fmt: skip
        axes.set_title(title, fontsize=9)
    return figure
