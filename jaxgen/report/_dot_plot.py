"""Dot plots: one value with its range for each of many names."""

from collections.abc import Mapping

import numpy as np
from jax.typing import ArrayLike
from matplotlib.figure import Figure

from jaxgen.report.style import INK, LEVEL_LINE, PALETTE, SOFT_INK, WIDTH, house_style, inches, set_scales

Spread = tuple[ArrayLike, ArrayLike, ArrayLike]  # value, low, high

_SHIFT = 0.22  # distance in rows between the dots of two groups


@house_style
def dot_plot(
    groups: Mapping[str, Mapping[str, Spread]],
    *,
    x_label: str,
    levels: Mapping[str, ArrayLike] | None = None,
    log_x: bool = False,
    row_height: int = 25,
) -> Figure:
    """Draw one row per name, with one dot per group and a bar from low to high.

    Names stand in the order in which they first appear, from the top.

    Args:
        groups: {group: {name: (value, low, high)}}.
        x_label: label of the x axis.
        levels: dashed vertical lines {name: x}.
        log_x: make the x axis logarithmic.
        row_height: height of a row in CSS pixels.

    Returns:
        The figure, 732 CSS pixels wide.

    Raises:
        ValueError: if there are no dots, a value is not finite, low <= value <= high does not hold, or a value is at or
            below zero on a logarithmic axis.
    """
    groups = {group: {name: tuple(map(float, of)) for name, of in dots.items()} for group, dots in groups.items()}
    levels = {name: float(x) for name, x in (levels or {}).items()}
    names = list(dict.fromkeys(name for dots in groups.values() for name in dots))
    if not names:
        raise ValueError("there are no dots to draw: expected {group: {name: (value, low, high)}}")
    spreads = [(name, spread) for dots in groups.values() for name, spread in dots.items()]
    for name, (value, low, high) in [*spreads, *((name, (x, x, x)) for name, x in levels.items())]:
        if not (np.isfinite([value, low, high]).all() and low <= value <= high):
            raise ValueError(f"dot {name!r} needs finite low <= value <= high, got {low}, {value}, {high}")
        if log_x and low <= 0:
            raise ValueError(f"dot {name!r} reaches {low}, which has no place on a log axis")

    figure = Figure(figsize=(inches(WIDTH), inches(row_height * len(names) + 78)), layout="constrained")
    axes = figure.add_subplot()
    set_scales(axes, log_x, False)
    for i, (group, members) in enumerate(groups.items()):
        color = PALETTE[i % len(PALETTE)]
        x, low, high = np.array(list(members.values())).T if members else np.empty((3, 0))
        rows = [names.index(name) + _SHIFT * (i - (len(groups) - 1) / 2) for name in members]
        axes.hlines(rows, low, high, color=color, alpha=0.45, linewidth=2.4)
        axes.plot(x, rows, color=color, linestyle="", marker="o", markersize=6, markeredgecolor="white", label=group)
    for name, x in levels.items():
        axes.axvline(x, zorder=1, **LEVEL_LINE)
        # The outermost names are aligned outwards, so that names of close levels do not overlap.
        side = "center" if len(levels) == 1 else {min(levels.values()): "right", max(levels.values()): "left"}.get(x)
        axes.annotate(
            name, (x, 1), (0, 3), xycoords=axes.get_xaxis_transform(), textcoords="offset points",
            ha=side or "center", va="bottom", fontsize=8, color=SOFT_INK,
        )  # fmt: skip
    axes.set(xlabel=x_label, ylim=(len(names) - 0.4, -0.6))
    axes.set_yticks(range(len(names)), names, color=INK, fontsize=8.5)
    axes.tick_params(axis="y", length=0)
    if len(groups) > 1:
        figure.legend(loc="outside upper left", ncols=min(len(groups), 5))
    return figure
