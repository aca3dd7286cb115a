"""Named points: each at its place, no name over another."""

import itertools

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Annotation

from jaxgen.report import tradeoff

LABELS = {"x_label": "seconds", "y_label": "distance"}


def test_points_names_groups_and_levels_are_there():
    figure = tradeoff(
        {"DDIM": [("50", 2, 4.0), ("10", np.float32(0.5), 13.0)], "DDPM": [("500", 12.0, 3.9)]},
        levels={"real": 3.0},
        log_x=True,
        **LABELS,
    )
    (axes,) = figure.axes
    points = [line.get_xydata().tolist() for line in axes.lines if line.get_marker() == "o"]
    assert points == [[[0.5, 13], [2, 4]], [[12, 3.9]]]
    assert sorted(text.get_text() for text in axes.texts) == ["10", "50", "500", "real"]
    assert [3.0, 3.0] in [list(line.get_ydata()) for line in axes.lines]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["DDIM", "DDPM"]
    assert (axes.get_xlabel(), axes.get_ylabel(), axes.get_xscale()) == ("seconds", "distance", "log")


def test_names_of_crowded_points_do_not_overlap():
    names = [(f"sampler {i}", 1 + 0.02 * (i % 3), 1 + 0.05 * (i // 3)) for i in range(6)]
    figure = tradeoff({"all": [*names, ("far", 2.0, 2.0)]}, **LABELS)
    renderer = FigureCanvasAgg(figure).get_renderer()
    texts = [text for text in figure.axes[0].texts if isinstance(text, Annotation)]
    boxes = [text.get_window_extent(renderer) for text in texts]
    assert len(boxes) == 7
    assert not any(a.overlaps(b) for a, b in itertools.combinations(boxes, 2))


def test_names_stay_inside_the_axes():
    figure = tradeoff({"all": [("a", 0.0, 0.0), ("a very long name that must turn to the left", 1.0, 1.0)]}, **LABELS)
    renderer = FigureCanvasAgg(figure).get_renderer()
    frame = figure.axes[0].get_window_extent(renderer)
    for text in figure.axes[0].texts:
        box = text.get_window_extent(renderer)
        assert frame.x0 <= box.x0
        assert box.x1 <= frame.x1


@pytest.mark.parametrize(
    ("groups", "options", "message"),
    [
        ({}, {}, "no points"),
        ({"a": []}, {}, "no points"),
        ({"a": [("p", 1.0, float("nan"))]}, {}, "'p' is at \\(1.0, nan\\)"),
        ({"a": [("p", 0.0, 1.0)]}, {"log_x": True}, "no place on a log axis"),
        ({"a": [("p", 1.0, -1.0)]}, {"log_y": True}, "no place on a log axis"),
        ({"a": [("p", 1.0, 1.0)]}, {"log_y": True, "levels": {"floor": 0.0}}, "'floor'"),
    ],
)
def test_refuses_points_without_a_place(groups, options, message):
    with pytest.raises(ValueError, match=message):
        tradeoff(groups, **LABELS, **options)
