"""Drawings of graphs."""

import numpy as np
import pytest
from matplotlib.patches import FancyArrowPatch

from jaxgen.report import GraphPanel, encode_figure, graph_panels

PLACES = {"A": (0, 0), "B": (1, 0), "C": (0.5, 1)}


def test_every_node_and_edge_is_drawn_where_it_belongs():
    edges = {("A", "B"): "plain", ("B", "C"): "added", ("C", "A"): "marked"}
    arrows = GraphPanel("arrows", PLACES, edges, directed=True, marked={"B"})
    figure = graph_panels([arrows, GraphPanel("lines", PLACES, edges)], labels={"added": "added edge"})
    assert encode_figure(figure).content.startswith(b"\x89PNG")
    first, second = figure.axes
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["arrows", "lines"]
    for axes, style in ((first, "CurveFilledB"), (second, "Curve")):
        places = {text.get_text(): text.xy for text in axes.texts}
        assert places == PLACES
        patches = [patch for patch in axes.patches if isinstance(patch, FancyArrowPatch)]
        ends = {tuple(map(tuple, patch._posA_posB)) for patch in patches}
        assert ends == {(PLACES[a], PLACES[b]) for a, b in edges}
        assert {type(patch.get_arrowstyle()).__name__ for patch in patches} == {style}
        assert len({patch.get_linewidth() for patch in patches}) == 3
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["added edge"]


def test_long_names_stand_below_and_nodes_do_not_leave_the_panel():
    figure = graph_panels([GraphPanel("", {"rain": (0, 0), "wet grass": (3, 0)}, {("rain", "wet grass"): "plain"})])
    figure.draw_without_rendering()
    (axes,) = figure.axes
    box = axes.get_window_extent()
    for text in axes.texts:
        assert text.xyann[1] < 0
        assert box.x0 - 1 <= text.get_window_extent().x0
        assert text.get_window_extent().x1 <= box.x1 + 1
    low, high = axes.get_xlim()
    assert low < 0
    assert high > 3
    assert np.isfinite(axes.get_ylim()).all()
    assert axes.get_ylim()[0] < axes.get_ylim()[1]


@pytest.mark.parametrize(
    ("panels", "message"),
    [
        ([], "there is no graph to draw"),
        ([GraphPanel("empty", {})], "the graph 'empty' has no nodes"),
        ([GraphPanel("open", PLACES, {("A", "Q"): "plain"})], "the graph 'open' has no position of 'Q'"),
        ([GraphPanel("open", PLACES, marked=["Z"])], "no position of 'Z'"),
    ],
)
def test_bad_input_is_named(panels, message):
    with pytest.raises(ValueError, match=message):
        graph_panels(panels)
