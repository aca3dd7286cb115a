"""Curves over steps or time, such as losses and schedules."""

import math
from collections.abc import Collection, Mapping, Sequence

import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Float64
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from jaxgen.core import check_at_least
from jaxgen.report.style import LEVEL_LINE, PALETTE, SOFT_INK, WIDTH, house_style, inches, set_scales

Values = ArrayLike | Sequence
Series = Mapping[str, tuple[Values, Values]]

_FEW = 40  # curves of fewer points get a marker at each


@house_style
def curves(
    series: Series,
    *,
    x_label: str,
    y_label: str,
    smooth: int | Mapping[str, int] = 1,
    log_x: bool = False,
    log_y: bool = False,
    levels: Mapping[str, ArrayLike] | None = None,
    height: int = 300,
) -> Figure:
    """Draw named curves in one panel.

    Args:
        series: {name: (x, y)}, with x and y of one shape (n,). NaN makes a gap.
        x_label: label of the x axis.
        y_label: label of the y axis.
        smooth: width in points of a centred smoothing window, for all curves or by name. The raw curve is drawn faintly
            behind.
        log_x: make the x axis logarithmic.
        log_y: make the y axis logarithmic.
        levels: dashed horizontal lines {name: y}.
        height: height in CSS pixels.

    Returns:
        The figure, 732 CSS pixels wide.

    Raises:
        ValueError: if there are no curves, x and y differ in length or are empty, a window is below 1 or of an unknown
            name, a level is not finite, or a value is at or below zero on a logarithmic axis.
    """
    levels = {name: float(y) for name, y in (levels or {}).items()}
    _check(series, log_x, log_y)
    for name, y in levels.items():
        if not np.isfinite(y) or (log_y and y <= 0):
            raise ValueError(f"level {name!r} needs a finite y, above zero on a log axis, got {y}")
    figure = Figure(figsize=(inches(WIDTH), inches(height)), layout="constrained")
    axes = figure.add_subplot()
    _draw(axes, series, _colors(series), _windows(smooth, series), log_x, log_y)
    for name, y in levels.items():
        axes.axhline(y, zorder=3, **LEVEL_LINE)  # above the curves
        axes.annotate(
            name, (1, y), (0, 3), xycoords=axes.get_yaxis_transform(), textcoords="offset points",
            ha="right", va="bottom", fontsize=8, color=SOFT_INK,
        )  # fmt: skip
    axes.set(xlabel=x_label, ylabel=y_label)
    _legend(figure, series)
    return figure


@house_style
def panels(
    quantities: Mapping[str, Series],
    *,
    x_label: str,
    columns: int | None = None,
    smooth: int | Mapping[str, int] = 1,
    log_x: bool = False,
    log_y: Collection[str] = (),
    height: int = 230,
) -> Figure:
    """Draw one panel of curves per quantity; a name has one colour in all panels.

    Args:
        quantities: {quantity: {name: (x, y)}}, as in `curves`.
        x_label: label of the x axes.
        columns: number of panels in a row, by default up to 3.
        smooth: as in `curves`.
        log_x: make the x axes logarithmic.
        log_y: quantities whose y axis is logarithmic.
        height: height of one row in CSS pixels.

    Returns:
        The figure, 732 CSS pixels wide.

    Raises:
        ValueError: if there are no quantities, columns < 1, or `log_y` names an unknown quantity; and as `curves` does.
    """
    if not quantities:
        raise ValueError("panels got no quantities: expected {quantity: {name: (x, y)}}")
    if unknown := set(log_y) - set(quantities):
        raise ValueError(f"log_y names {sorted(unknown)}, which are not among the quantities {list(quantities)}")
    names = list(dict.fromkeys(name for series in quantities.values() for name in series))
    for quantity, series in quantities.items():
        _check(series, log_x, quantity in log_y)
    windows, colors = _windows(smooth, names), _colors(names)

    columns = min(3, len(quantities)) if columns is None else columns
    check_at_least(1, columns=columns)
    rows = math.ceil(len(quantities) / columns)
    figure = Figure(figsize=(inches(WIDTH), inches(height * rows)), layout="constrained")
    for i, (quantity, series) in enumerate(quantities.items()):
        axes = figure.add_subplot(rows, columns, i + 1)
        _draw(axes, series, colors, windows, log_x, quantity in log_y)
        axes.set(xlabel=x_label, title=quantity)
    _legend(figure, names)
    return figure


def _draw(
    axes: Axes, series: Series, colors: Mapping[str, str], windows: Mapping[str, int], log_x: bool, log_y: bool
) -> None:
    for name, (x, y) in series.items():
        x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
        window = windows.get(name, 1)
        marks = {"marker": "o", "markersize": 3.2} if len(x) < _FEW else {}
        if window > 1:
            axes.plot(x, y, color=colors[name], alpha=0.22, linewidth=0.8)
            y = smoothed(y, window)
        axes.plot(x, y, color=colors[name], label=name, **marks)
    set_scales(axes, log_x, log_y)
    axes.margins(x=0.02)


def smoothed(y: Float64[np.ndarray, " n"], window: int) -> Float64[np.ndarray, " n"]:
    """Smooth y with a centred Hann window of `window` points, cut off at the ends; NaN is left out."""
    weights = np.hanning(min(window, len(y)) + 2)[1:-1]
    known = np.isfinite(y)
    total = np.convolve(np.where(known, y, 0), weights, mode="same")
    mass = np.convolve(known, weights, mode="same")
    return np.divide(total, mass, out=np.full(len(y), np.nan), where=mass > 1e-12)


def _legend(figure: Figure, names: Collection[str]) -> None:
    """Put the legend above the panels, where it hides no data; a single curve needs none."""
    if len(names) > 1:
        handles = {}
        for panel in figure.axes:
            handles.update({label: handle for handle, label in zip(*panel.get_legend_handles_labels(), strict=True)})
        fit = max(1, 105 // (max(map(len, names)) + 4))  # entries that fit into one line
        figure.legend(handles.values(), handles, loc="outside upper left", ncols=min(len(names), 5, fit))


def _colors(names: Collection[str]) -> dict[str, str]:
    return {name: PALETTE[i % len(PALETTE)] for i, name in enumerate(names)}


def _windows(smooth: int | Mapping[str, int], names: Collection[str]) -> Mapping[str, int]:
    windows = dict.fromkeys(names, smooth) if isinstance(smooth, int) else smooth
    if unknown := set(windows) - set(names):
        raise ValueError(f"smooth names {sorted(unknown)}, which are not among the curves {list(names)}")
    if min(windows.values(), default=1) < 1:
        raise ValueError(f"smooth is a window of at least 1 point, got {min(windows.values())}")
    return windows


def _check(series: Series, log_x: bool, log_y: bool) -> None:
    if not series:
        raise ValueError("there are no curves to draw: expected {name: (x, y)}")
    for name, (x, y) in series.items():
        x, y = np.asarray(x), np.asarray(y)
        if x.ndim != 1 or x.shape != y.shape or not len(x):
            raise ValueError(f"curve {name!r} needs x and y of one length (n,), n >= 1, got {x.shape} and {y.shape}")
        for axis, values, log in (("x", x, log_x), ("y", y, log_y)):
            if log and (values <= 0).any():
                raise ValueError(f"curve {name!r} has {axis} values at or below zero: they have no place on a log axis")
