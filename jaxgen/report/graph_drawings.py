"""Drawings of graphs: named nodes with edges or arrows."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import FancyArrowPatch

from jaxgen.report.style import INK, PALETTE, SOFT_INK, WIDTH, house_style, inches

EdgeStyle = Literal["plain", "added", "marked"]
"""plain: a grey line; added: dashed; marked: thick."""

_RADIUS = 13  # points, of a node with its name inside
_DOT = 6  # points, of a node with its name below
_INSIDE = 2  # letters that fit inside
_LINES = {
    "plain": {"color": SOFT_INK, "linewidth": 1.3},
    "added": {"color": PALETTE[1], "linewidth": 1.8, "linestyle": (0, (4, 2.5))},
    "marked": {"color": PALETTE[0], "linewidth": 3.0},
}


@dataclass(frozen=True)
class GraphPanel:
    """A graph to draw.

    Args:
        title: title of the panel.
        positions: the place (x, y) of each node by its name, x to the right and y upwards, in any unit.
        edges: pairs of nodes, each with its style.
        directed: whether edges are arrows from the first node to the second.
        marked: nodes that are filled in colour.
    """

    title: str
    positions: Mapping[str, tuple[float | int, float | int]]
    edges: Mapping[tuple[str, str], EdgeStyle] = field(default_factory=dict)
    directed: bool = False
    marked: Collection[str] = ()


@house_style
def graph_panels(
    panels: Sequence[GraphPanel], *, labels: Mapping[EdgeStyle, str] | None = None, height: int = 280
) -> Figure:
    """Draw graphs side by side.

    Args:
        panels: the graphs.
        labels: what edges of a style mean, for the legend.
        height: height in CSS pixels.

    Returns:
        The figure, 732 CSS pixels wide. Names of one or two letters stand within their nodes, longer ones below.

    Raises:
        ValueError: if there are no panels, a panel has no nodes, or an edge or a marked node has no position.
    """
    if not panels:
        raise ValueError("there is no graph to draw")
    for panel in panels:
        _check(panel)
    figure = Figure(figsize=(inches(WIDTH), inches(height)), layout="constrained")
    for axes, panel in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        _draw(axes, panel)
    if labels:
        handles = [Line2D([], [], label=label, **_LINES[style]) for style, label in labels.items()]
        figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), handlelength=2.6)
    return figure


def _check(panel: GraphPanel) -> None:
    if not panel.positions:
        raise ValueError(f"the graph {panel.title!r} has no nodes")
    for name in [*panel.marked, *(name for edge in panel.edges for name in edge)]:
        if name not in panel.positions:
            raise ValueError(f"the graph {panel.title!r} has no position of {name!r}")


def _draw(axes: Axes, panel: GraphPanel) -> None:
    axes.set_axis_off()
    axes.set_title(panel.title)
    inside = all(len(name) <= _INSIDE for name in panel.positions)
    radius = _RADIUS if inside else _DOT
    for (tail, head), style in panel.edges.items():
        axes.add_patch(
            FancyArrowPatch(
                panel.positions[tail],
                panel.positions[head],
                shrinkA=radius,
                shrinkB=radius + panel.directed,
                arrowstyle="-|>" if panel.directed else "-",
                mutation_scale=11,
                zorder=2 + (style != "plain"),
                capstyle="butt",
                joinstyle="miter",
                **_LINES[style],
            )
        )
    for name, (x, y) in panel.positions.items():
        marked = name in panel.marked
        face = PALETTE[0] if marked else "white"
        axes.scatter(x, y, s=(2 * radius) ** 2, facecolor=face, edgecolor=INK, linewidth=1.2, zorder=4)
        if inside:
            color = "white" if marked else INK
            axes.annotate(name, (x, y), ha="center", va="center_baseline", fontsize=10, color=color, zorder=5)
        else:
            axes.annotate(
                name, (x, y), (0, -radius - 2), textcoords="offset points", ha="center", va="top", fontsize=8.5,
                zorder=5, bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.8, "alpha": 0.8},
            )  # fmt: skip
    xs, ys = zip(*panel.positions.values(), strict=True)
    wide, high = max(max(xs) - min(xs), 1e-9), max(max(ys) - min(ys), 1e-9)
    axes.set(xlim=(min(xs) - 0.14 * wide, max(xs) + 0.14 * wide), ylim=(min(ys) - 0.2 * high, max(ys) + 0.2 * high))
