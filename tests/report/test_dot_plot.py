"""Dots with their spread: each in its row, each bar from low to high."""

import numpy as np
import pytest

from jaxgen.report import dot_plot


def test_rows_dots_bars_and_levels_are_there():
    figure = dot_plot(
        {"ours": {"ddim": (1.0, 0.5, 2.0), "heun": (np.float32(4), 3, 5)}, "theirs": {"heun": (6, 6, 7)}},
        x_label="seconds",
        levels={"bound": 3.0},
        log_x=True,
    )
    (axes,) = figure.axes
    assert [text.get_text() for text in axes.get_yticklabels()] == ["ddim", "heun"]
    assert axes.get_ylim()[0] > axes.get_ylim()[1], "the first name is at the top"
    drawn = [line.get_xydata() for line in axes.lines if line.get_marker() == "o"]
    assert [points[:, 0].tolist() for points in drawn] == [[1, 4], [6]]
    assert [np.round(points[:, 1]).tolist() for points in drawn] == [[0, 1], [1]]
    assert drawn[0][1, 1] != drawn[1][0, 1], "the groups' dots of one name stand apart"
    bars = [segment[:, 0].tolist() for bars in axes.collections for segment in bars.get_segments()]
    assert bars == [[0.5, 2], [3, 5], [6, 7]]
    assert [3.0, 3.0] in [list(line.get_xdata()) for line in axes.lines]
    assert [text.get_text() for text in axes.texts] == ["bound"]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["ours", "theirs"]
    assert (axes.get_xlabel(), axes.get_xscale()) == ("seconds", "log")


@pytest.mark.parametrize(
    ("groups", "options", "message"),
    [
        ({}, {}, "no dots"),
        ({"a": {}}, {}, "no dots"),
        ({"a": {"p": (1.0, 2.0, 3.0)}}, {}, "'p' needs finite low <= value <= high"),
        ({"a": {"p": (1.0, 0.0, float("nan"))}}, {}, "'p' needs finite"),
        ({"a": {"p": (1.0, 0.0, 2.0)}}, {"log_x": True}, "no place on a log axis"),
        ({"a": {"p": (1.0, 1.0, 2.0)}}, {"levels": {"bound": float("inf")}}, "'bound'"),
    ],
)
def test_refuses_dots_without_a_place(groups, options, message):
    with pytest.raises(ValueError, match=message):
        dot_plot(groups, x_label="seconds", **options)
