"""Two-dimensional panels: vector fields, heat maps, samples and paths on equal axes."""

from collections.abc import Sequence
from dataclasses import dataclass

import matplotlib
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Float64
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Colormap, ListedColormap, LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator

from jaxgen.report.numbers import format_value
from jaxgen.report.style import INK, PALETTE, WIDTH, house_style, inches

_DEVIATIONS = (1, 2, 3)  # contours, in standard deviations of a Gaussian
_DECADES = 4  # largest range of a logarithmic colour scale
_TITLE, _TICKS, _GAP, _LEGEND, _BAR, _LABEL = 20, 24, 12, 26, 76, 18  # CSS pixels beside the panels

_ARROWS = {"angles": "xy", "scale_units": "xy", "scale": 1, "pivot": "mid", "units": "width", "width": 0.006}
_ARROWS |= {"headwidth": 3.6, "headlength": 3.8, "headaxislength": 3.4}
_PALE = "#b3b9c6"  # arrows behind paths


@dataclass(frozen=True)
class Panel2D:
    """The layers of one two-dimensional panel; None is not drawn.

    Args:
        title: title of the panel.
        arrows: positions (n, 2) and vectors (n, 2). All arrows have one length; colour may show the vectors'.
        heat: values (h, w) on equal cells of the whole panel, the first row at the bottom.
        density: a density (h, w) on such cells, drawn as contours at 1, 2 and 3 standard deviations of a Gaussian.
        points: (n, 2).
        groups: (n,) of 0, 1, …, which sets the colours of the points.
        paths: (steps, n, 2), from a ring to a dot.
    """

    title: str = ""
    arrows: tuple[ArrayLike, ArrayLike] | None = None
    heat: ArrayLike | None = None
    density: ArrayLike | None = None
    points: ArrayLike | None = None
    groups: ArrayLike | None = None
    paths: ArrayLike | None = None


@house_style
def panels_2d(
    rows: Sequence[Sequence[Panel2D]],
    limits: tuple[float, float],
    *,
    color_label: str = "",
    row_labels: Sequence[str] = (),
    group_labels: Sequence[str] = (),
    path_labels: Sequence[str] = (),
    axis_labels: tuple[str, str] = ("", ""),
    arrow_colors: bool = True,
    log_color: bool = True,
    color_limits: tuple[float, float] | None = None,
) -> Figure:
    """Draw rows of square panels with one colour scale.

    The colour scale covers all heat maps, or without any, the lengths of all arrows. Beside heat maps, arrows are dark.

    Args:
        rows: the panels of each row; a shorter row is filled up with empty space.
        limits: (low, high) of both axes.
        color_label: label of the colour scale.
        row_labels: one label per row.
        group_labels: names of the groups of points.
        path_labels: names of the paths, in the order in which every panel has them. Earlier paths are then wider, so
            that they show beneath later ones.
        axis_labels: labels of the horizontal and of the vertical axis.
        arrow_colors: whether the colour of arrows shows the length of their vectors; otherwise they are pale.
        log_color: make the colour scale logarithmic, over at most four decades; otherwise it starts at 0.
        color_limits: ends of the colour scale.

    Returns:
        The figure, at most 732 CSS pixels wide.

    Raises:
        ValueError: if there are no panels, an array has another shape or is not finite, limits do not ascend, the
            color_limits of a logarithmic scale are not positive, labels, groups or paths do not match, a density has
            no positive value, or a heat map has negative values.
    """
    rows = [list(row) for row in rows]
    _check(rows, limits, row_labels, group_labels, path_labels, color_limits, log_color)
    columns = max(map(len, rows))
    title_lines = max(panel.title.count("\n") + 1 if panel.title else 0 for row in rows for panel in row)
    values = _colored(rows, arrow_colors)
    labels = _LABEL * (bool(row_labels) + bool(axis_labels[1]))
    beside = _TICKS + (_BAR if values.size else 0) + labels + _GAP * columns
    side = min((WIDTH - beside) / columns, 330)
    legend = _LEGEND if group_labels or path_labels else 0
    height = len(rows) * (side + title_lines * _TITLE + _GAP) + _TICKS + legend + (_LABEL if axis_labels[0] else 0)
    size = inches(round(beside + side * columns)), inches(round(height))
    figure = Figure(figsize=size, layout="compressed")
    grid = figure.subplots(len(rows), columns, squeeze=False, sharex=True, sharey=True)
    norm = _norm(values, log_color, color_limits) if values.size else None
    heat = any(panel.heat is not None for row in rows for panel in row)
    colors = _colormap(heat)
    arrows = None if arrow_colors and not heat else INK if heat else _PALE
    for i, row in enumerate(rows):
        for j, axes in enumerate(grid[i]):
            if j < len(row):
                _draw(axes, row[j], limits, norm, colors, arrows, wider=bool(path_labels))
            else:
                axes.set_visible(False)
        names = [*row_labels[i : i + 1], *filter(None, axis_labels[1:])]
        if names:
            grid[i, 0].set_ylabel("\n".join(names), color=INK, fontsize=9)
    if axis_labels[0]:
        for j in range(columns):
            lowest = max(i for i, row in enumerate(rows) if j < len(row))
            grid[lowest, j].set_xlabel(axis_labels[0], color=INK, fontsize=9)
            grid[lowest, j].tick_params(labelbottom=True)
    if norm is not None:
        bar = figure.colorbar(ScalarMappable(norm, colors), ax=grid, fraction=0.05, pad=0.015, aspect=28 * len(rows))
        bar.set_label(color_label)
        bar.outline.set_visible(False)
        bar.ax.tick_params(length=0)
        if log_color:
            # A scale of few decades needs labels between the powers of ten.
            wide = norm.vmax > 300 * norm.vmin
            bar.ax.yaxis.set_major_locator(LogLocator(subs=(1,) if wide else (1, 3)))
            bar.ax.yaxis.set_major_formatter(lambda x, _: format_value(float(x), 1).removeprefix("1×"))
        bar.ax.minorticks_off()
    if group_labels or path_labels:
        handles = [
            matplotlib.lines.Line2D([], [], color=PALETTE[i % len(PALETTE)], **style)
            for names, style in ((group_labels, {"linestyle": "", "marker": "o", "markersize": 5}), (path_labels, {}))
            for i in range(len(names))
        ]
        names = [*group_labels, *path_labels]
        figure.legend(handles, names, loc="outside upper left", ncols=len(names))
    return figure


def _draw(
    axes: Axes,
    panel: Panel2D,
    limits: tuple[float, float],
    norm: Normalize | None,
    colors: Colormap,
    arrow_color: str | None,
    *,
    wider: bool,
) -> None:
    """Draw the layers, from the heat map at the bottom to the paths on top; None colours arrows by their lengths."""
    extent, (low, high) = (*limits, *limits), limits
    if panel.heat is not None:
        heat = np.asarray(panel.heat)
        shown = np.maximum(heat, norm.vmin)
        axes.imshow(shown, origin="lower", extent=extent, norm=norm, cmap=colors, interpolation="bilinear")
    if panel.points is not None:
        points = np.asarray(panel.points)
        tint = PALETTE[5] if panel.groups is None else [PALETTE[i % len(PALETTE)] for i in np.asarray(panel.groups)]
        # Many points are transparent, so that their density shows.
        alpha = float(np.clip(12 / np.sqrt(len(points)), 0.15, 0.9))
        axes.scatter(*points.T, s=7, c=tint, alpha=alpha, linewidths=0)
    if panel.density is not None:
        density = np.asarray(panel.density)
        x, y = (low + (high - low) * (np.arange(n) + 0.5) / n for n in density.shape[::-1])
        levels = sorted(density.max() * np.exp(-0.5 * np.square(_DEVIATIONS)))
        if panel.heat is not None:  # a light edge makes contours visible on dark colours
            axes.contour(x, y, density, levels=levels, colors="white", linewidths=2.2, alpha=0.75)
        axes.contour(x, y, density, levels=levels, colors=INK, linewidths=0.7, alpha=0.7)
    if panel.arrows is not None:
        positions, vectors, lengths = _arrows(panel, limits)
        color = colors(norm(np.maximum(lengths, norm.vmin))) if arrow_color is None else arrow_color
        axes.quiver(*positions.T, *vectors.T, color=color, **_ARROWS)
    if panel.paths is not None:
        paths = np.asarray(panel.paths)
        style = {"linewidth": 1.2, "alpha": 0.9} if len(paths) < 40 else {"linewidth": 0.7, "alpha": 0.75}
        for i in range(paths.shape[1]):
            color = PALETTE[i % len(PALETTE)]
            own = {"linewidth": 0.9 * (paths.shape[1] - i), "alpha": 1} if wider else style
            axes.plot(*paths[:, i].T, color=color, **own)
            axes.plot(*paths[0, i], color=color, marker="o", markersize=4.5, markerfacecolor="white", zorder=4)
            axes.plot(*paths[-1, i], color=color, marker="o", markersize=4.5, markeredgecolor="white", zorder=5)
    axes.set(xlim=limits, ylim=limits, aspect="equal", title=panel.title)
    axes.title.set_fontsize(8.5)
    axes.grid(False)
    axes.tick_params(length=0, labelsize=7.5)
    axes.spines[:].set_visible(True)


def _arrows(panel: Panel2D, limits: tuple[float, float]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the positions, the vectors scaled to one length, and their own lengths."""
    positions, vectors = (np.asarray(part, np.float64) for part in panel.arrows)
    lengths = np.linalg.norm(vectors, axis=-1)
    unit = np.divide(vectors, lengths[:, None], out=np.zeros_like(vectors), where=lengths[:, None] > 0)
    # slightly shorter than the distance between evenly spread positions
    length = 0.85 * (limits[1] - limits[0]) / max(1, round(np.sqrt(len(positions))))
    return positions, length * unit, lengths


def _colored(rows: Sequence[Sequence[Panel2D]], arrow_colors: bool) -> Float64[np.ndarray, " n"]:
    """Return all values that colour shows: those of the heat maps, or else the lengths of the arrows."""
    panels = [panel for row in rows for panel in row]
    heats = [np.ravel(np.asarray(panel.heat, np.float64)) for panel in panels if panel.heat is not None]
    arrows = [np.linalg.norm(of.arrows[1], axis=-1) for of in panels if of.arrows is not None and arrow_colors]
    return np.concatenate(heats or [np.asarray(lengths, np.float64) for lengths in arrows] or [np.empty(0)])


def _norm(values: Float64[np.ndarray, " n"], log: bool, limits: tuple[float, float] | None) -> Normalize:
    if (values < 0).any():
        raise ValueError(f"a map's values are magnitudes, got {values.min()}: give their absolute values")
    low, high = limits or (0.0, float(values.max()) or 1.0)
    if not log:
        return Normalize(low, high, clip=True)
    if limits is None:
        positive = values[values > 0]
        low = max(float(positive.min()) if positive.size else 0.0, high / 10**_DECADES)
        low = min(low, high / 1.001)
    return LogNorm(low, high, clip=True)


def _colormap(heat: bool) -> Colormap:
    """Return a colour map from light to dark; arrows leave out the lightest colours, invisible on white."""
    source = matplotlib.colormaps["magma_r" if heat else "viridis_r"]
    return ListedColormap(source(np.linspace(0.0, 0.92, 256) if heat else np.linspace(0.12, 1, 256)))


def _check(
    rows: Sequence[Sequence[Panel2D]],
    limits: tuple[float, float],
    row_labels: Sequence[str],
    group_labels: Sequence[str],
    path_labels: Sequence[str],
    color_limits: tuple[float, float] | None,
    log_color: bool,
) -> None:
    if not rows or not any(rows):
        raise ValueError("there are no panels to draw: expected rows of Panel2D")
    if row_labels and len(row_labels) != len(rows):
        raise ValueError(f"row_labels must name the {len(rows)} rows, got {len(row_labels)}")
    for name, ends in (("limits", limits), ("color_limits", color_limits)):
        if ends is not None and not (len(ends) == 2 and np.isfinite(ends).all() and ends[0] < ends[1]):
            raise ValueError(f"{name} must be finite and ascend, got {ends}")
    if log_color and color_limits is not None and color_limits[0] <= 0:
        raise ValueError(f"color_limits must be positive on a logarithmic scale, got {color_limits}")
    for panel in (panel for row in rows for panel in row):
        name = f"panel {panel.title!r}"
        if panel.arrows is not None:
            positions, vectors = map(np.asarray, panel.arrows)
            if positions.ndim != 2 or positions.shape[1] != 2 or positions.shape != vectors.shape or not len(positions):
                raise ValueError(f"{name}: arrows are (n, 2) and (n, 2), got {positions.shape} and {vectors.shape}")
        for what, expected in (("heat", "(h, w)"), ("density", "(h, w)"), ("points", "(n, 2)"), ("paths", "(t, n, 2)")):
            layer = getattr(panel, what)
            if layer is None:
                continue
            shape = np.shape(layer)
            fits = len(shape) == expected.count(",") + 1 and 0 not in shape
            if not fits or (expected.endswith("2)") and shape[-1] != 2):
                raise ValueError(f"{name}: {what} must have shape {expected}, got {shape}")
        if path_labels and panel.paths is not None and np.shape(panel.paths)[1] != len(path_labels):
            raise ValueError(f"{name}: path_labels name {len(path_labels)} paths, got {np.shape(panel.paths)[1]}")
        if panel.groups is not None:
            groups, of = np.asarray(panel.groups), np.shape(panel.points)[:1]
            if groups.shape != of or groups.dtype.kind not in "iub" or groups.min() < 0:
                raise ValueError(f"{name}: groups are 0, 1, … for each of the points {of}, got {groups!r}")
            if group_labels and groups.max() >= len(group_labels):
                raise ValueError(f"{name}: group {groups.max()} has no name among group_labels {list(group_labels)}")
        layers = (panel.heat, panel.density, panel.points, panel.paths, *(panel.arrows or ()))
        if not all(np.isfinite(np.asarray(layer)).all() for layer in layers if layer is not None):
            raise ValueError(f"{name} holds values that are not finite: leave out what has no place")
        if panel.density is not None and not np.max(panel.density) > 0:
            raise ValueError(f"{name}: a density needs a positive value for its contours")
