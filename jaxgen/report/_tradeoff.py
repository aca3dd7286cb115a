"""Scatter plots of two measures with named points, such as quality against time."""

from collections.abc import Mapping, Sequence

import numpy as np
from jax.typing import ArrayLike
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.transforms import Bbox

from jaxgen.report.style import LEVEL_LINE, PALETTE, SOFT_INK, WIDTH, house_style, inches, set_scales

Point = tuple[str, ArrayLike, ArrayLike]  # name, x, y

# Positions of a name around its point, in order of preference: (dx, dy) in points and the text's anchor.
_PLACES = (
    (6, 5, "left", "bottom"),
    (6, -5, "left", "top"),
    (-6, 5, "right", "bottom"),
    (-6, -5, "right", "top"),
    (8, 0, "left", "center"),
    (-8, 0, "right", "center"),
    (0, 9, "center", "bottom"),
    (0, -9, "center", "top"),
)


@house_style
def tradeoff(
    groups: Mapping[str, Sequence[Point]],
    *,
    x_label: str,
    y_label: str,
    levels: Mapping[str, ArrayLike] | None = None,
    log_x: bool = False,
    log_y: bool = False,
    height: int = 340,
) -> Figure:
    """Draw named points, and a faint line through each group.

    Args:
        groups: {group: [(name, x, y), …]}.
        x_label: label of the x axis.
        y_label: label of the y axis.
        levels: dashed horizontal lines {name: y}.
        log_x: make the x axis logarithmic.
        log_y: make the y axis logarithmic.
        height: height in CSS pixels.

    Returns:
        The figure, 732 CSS pixels wide.

    Raises:
        ValueError: if there are no points, or a value is not finite or is at or below zero on a logarithmic axis.
    """
    groups = {group: [(name, float(x), float(y)) for name, x, y in members] for group, members in groups.items()}
    levels = {name: float(y) for name, y in (levels or {}).items()}
    points = [point for members in groups.values() for point in members]
    if not points:
        raise ValueError("there are no points to draw: expected {group: [(name, x, y), …]}")
    for name, x, y in [*points, *((name, 1.0, y) for name, y in levels.items())]:
        if not np.isfinite([x, y]).all():
            raise ValueError(f"point {name!r} is at ({x}, {y}): leave out what has no finite place")
        if (log_x and x <= 0) or (log_y and y <= 0):
            raise ValueError(f"point {name!r} at ({x}, {y}) has no place on a log axis")

    figure = Figure(figsize=(inches(WIDTH), inches(height)), layout="constrained")
    axes = figure.add_subplot()
    set_scales(axes, log_x, log_y)
    for i, (group, members) in enumerate(groups.items()):
        color = PALETTE[i % len(PALETTE)]
        ordered = sorted(members, key=lambda point: point[1])
        x, y = [point[1] for point in ordered], [point[2] for point in ordered]
        axes.plot(x, y, color=color, alpha=0.3, linewidth=1.2)
        axes.plot(x, y, color=color, linestyle="", marker="o", markersize=7.5, markeredgecolor="white", label=group)
    axes.margins(x=0.12, y=0.15)
    axes.set(xlabel=x_label, ylabel=y_label)
    for name, y in levels.items():
        axes.axhline(y, zorder=1, **LEVEL_LINE)
        axes.annotate(
            name, (1, y), (-2, 3), xycoords=axes.get_yaxis_transform(), textcoords="offset points",
            ha="right", va="bottom", fontsize=8, color=SOFT_INK,
        )  # fmt: skip
    if len(groups) > 1:
        figure.legend(loc="outside upper left", ncols=min(len(groups), 5))
    figure.draw_without_rendering()  # overlaps are known only after the layout
    _name_points(axes, points)
    return figure


def _name_points(axes: Axes, points: Sequence[Point]) -> None:
    """Write each name where it overlaps no point and no earlier name, or else where it overlaps the fewest."""
    renderer = FigureCanvasAgg(axes.figure).get_renderer()
    centres = axes.transData.transform([(x, y) for _, x, y in points])
    radius = 3.75 * axes.figure.dpi / 72  # of a marker, in pixels
    taken = [Bbox([centre - radius, centre + radius]) for centre in centres]
    taken += [text.get_window_extent(renderer) for text in axes.texts]
    frame = axes.get_window_extent(renderer)
    for name, x, y in points:
        tries = []
        for dx, dy, ha, va in _PLACES:
            label = axes.annotate(
                name, (x, y), (dx, dy), textcoords="offset points", ha=ha, va=va, fontsize=8, color=SOFT_INK
            )
            box = label.get_window_extent(renderer)
            outside = box.x0 < frame.x0 or box.x1 > frame.x1 or box.y0 < frame.y0 or box.y1 > frame.y1
            tries.append((box.count_overlaps(taken) + outside, label, box))
        best = min(tries, key=lambda attempt: attempt[0])
        for attempt in tries:
            if attempt is not best:
                attempt[1].remove()
        taken.append(best[2])
