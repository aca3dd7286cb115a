"""Curves and panels: the data in the figure are the data given, smoothed as the formula says."""

import matplotlib
import numpy as np
import pytest
from matplotlib.colors import to_hex

from jaxgen.report import curves, panels
from jaxgen.report.line_plots import smoothed

LABELS = {"x_label": "step", "y_label": "loss"}
STEPS = np.arange(100)
LOSS = 1 / (1 + STEPS) + 0.01


def test_the_lines_hold_the_data_and_the_axes_their_names():
    figure = curves({"training": (STEPS, LOSS), "held-out": ([0, 99], [1.0, 0.5])}, **LABELS)
    (axes,) = figure.axes
    first, second = axes.lines
    np.testing.assert_array_equal(first.get_xydata(), np.stack([STEPS, LOSS], 1))
    np.testing.assert_array_equal(second.get_xydata(), [[0, 1], [99, 0.5]])
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("step", "loss")
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["training", "held-out"]
    assert second.get_marker() == "o"
    assert first.get_marker() == "None"


def test_a_single_curve_needs_no_legend():
    assert curves({"training": (STEPS, LOSS)}, **LABELS).legends == []


def test_levels_are_dashed_named_and_no_curves():
    figure = curves({"training": (STEPS, LOSS)}, levels={"bound": 0.01}, log_y=True, **LABELS)
    (axes,) = figure.axes
    curve, level = axes.lines
    assert set(level.get_ydata()) == {0.01}
    assert level.get_linestyle() == "--" != curve.get_linestyle()
    assert level.get_zorder() > curve.get_zorder()
    assert [(text.get_text(), text.xy[1]) for text in axes.texts] == [("bound", 0.01)]
    assert figure.legends == []


def test_smoothing_keeps_the_raw_curve_faint_behind():
    figure = curves({"a": (STEPS, LOSS), "b": (STEPS, LOSS)}, smooth={"a": 9}, **LABELS)
    raw, smooth, untouched = figure.axes[0].lines
    np.testing.assert_array_equal(raw.get_ydata(), LOSS)
    assert raw.get_alpha() < 0.5
    np.testing.assert_allclose(smooth.get_ydata(), smoothed(LOSS, 9))
    assert smooth.get_color() == raw.get_color() != untouched.get_color()
    np.testing.assert_array_equal(untouched.get_ydata(), LOSS)


@pytest.mark.parametrize("window", [1, 2, 7, 10, 500])
def test_smoothing_is_a_weighted_mean_of_the_window(window):
    y = np.random.default_rng(0).normal(size=50)
    y[20] = np.nan
    weights = np.hanning(min(window, 50) + 2)[1:-1]
    for i, value in enumerate(smoothed(y, window)):
        # np.convolve(..., "same") centres an even window half a point to the left.
        at = i + len(weights) // 2 - np.arange(len(weights)) - (1 - len(weights) % 2)
        inside = (at >= 0) & (at < 50)
        values, mass = y[at[inside]], weights[inside]
        known = np.isfinite(values)
        expected = np.sum(values[known] * mass[known]) / mass[known].sum() if known.any() else np.nan
        np.testing.assert_allclose(value, expected, rtol=1e-10)


def test_smoothing_keeps_a_constant_and_lowers_noise():
    np.testing.assert_allclose(smoothed(np.full(30, 2.5), 11), 2.5)
    noise = np.random.default_rng(0).normal(size=2000)
    # Hann weights of w points keep a variance of Σw²/(Σw)² = 1.5/(w+1).
    assert np.var(smoothed(noise, 29)[30:-30]) == pytest.approx(1.5 / 30, rel=0.3)


def test_log_axes_are_labelled_with_plain_numbers():
    figure = curves({"loss": (STEPS + 1, LOSS)}, log_x=True, log_y=True, **LABELS)
    (axes,) = figure.axes
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")
    figure.draw_without_rendering()
    shown = {text.get_text() for text in axes.get_yticklabels(which="both")} - {""}
    assert {"0.1", "1"} <= shown
    assert not any("$" in text for text in shown)


@pytest.mark.parametrize(("low", "high"), [(0.9965, 1.0022), (51.2, 52.9), (1234.0, 1236.0)])
def test_neighbouring_ticks_of_a_narrow_log_axis_have_labels_of_their_own(low, high):
    figure = curves({"loss": (STEPS + 1, np.linspace(low, high, 100))}, log_y=True, **LABELS)
    figure.draw_without_rendering()
    (axes,) = figure.axes
    labels = axes.yaxis.get_ticklabels(which="both")
    places = [*axes.yaxis.get_majorticklocs(), *axes.yaxis.get_minorticklocs()]
    shown = {place: text.get_text() for place, text in zip(places, labels, strict=True) if text.get_text()}
    assert len(set(shown.values())) == len(shown) >= 3
    for place, text in shown.items():
        assert float(text.replace(",", "")) == pytest.approx(place, rel=1e-9)


@pytest.mark.parametrize(("decades", "powers"), [(4, {"1", "0.1", "0.01"}), (10, {"0.01", "10⁻⁶", "10⁻⁸"})])
def test_log_axes_over_many_decades_name_the_powers_only(decades, powers):
    figure = curves({"loss": (STEPS + 1, 10.0 ** (-STEPS / 99 * decades))}, log_y=True, **LABELS)
    figure.draw_without_rendering()
    axis = figure.axes[0].yaxis
    assert powers <= {text.get_text() for text in axis.get_ticklabels(minor=False)}
    assert {text.get_text() for text in axis.get_ticklabels(minor=True)} <= {""}


def test_panels_share_colours_and_name_every_quantity():
    t = np.linspace(0.01, 1, 50)
    figure = panels(
        {"alpha": {"linear": (t, 1 - t), "cosine": (t, 1 - t**2)}, "snr": {"cosine": (t, 1 / t)}},
        x_label="t",
        log_y=["snr"],
    )
    alpha, snr = figure.axes
    assert [axes.get_title("left") for axes in figure.axes] == ["alpha", "snr"]
    assert [axes.get_xlabel() for axes in figure.axes] == ["t", "t"]
    assert (alpha.get_yscale(), snr.get_yscale()) == ("linear", "log")
    assert snr.lines[0].get_color() == alpha.lines[1].get_color() != alpha.lines[0].get_color()
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["linear", "cosine"]


def test_the_house_style_holds_whatever_is_set_outside():
    with matplotlib.rc_context({"xtick.color": "red", "axes.spines.top": True, "axes.grid": False}):
        figure = curves({"loss": (STEPS, LOSS)}, **LABELS)
    figure.draw_without_rendering()
    (axes,) = figure.axes
    assert not axes.spines["top"].get_visible()
    assert all(line.get_visible() for line in axes.get_xgridlines())
    assert {to_hex(tick.tick1line.get_color()) for tick in axes.xaxis.get_major_ticks()} == {"#c9cdd6"}


@pytest.mark.parametrize(
    ("series", "options", "message"),
    [
        ({}, {}, "no curves"),
        ({"a": (STEPS, LOSS[:-1])}, {}, "\\(100,\\) and \\(99,\\)"),
        ({"a": ([], [])}, {}, "n >= 1"),
        ({"a": (LOSS[None], LOSS[None])}, {}, "one length \\(n,\\)"),
        ({"a": (STEPS, LOSS)}, {"smooth": 0}, "at least 1 point, got 0"),
        ({"a": (STEPS, LOSS)}, {"smooth": {"b": 3}}, "\\['b'\\], which are not among"),
        ({"a": (STEPS, LOSS)}, {"log_x": True}, "'a' has x values at or below zero"),
        ({"a": (STEPS, LOSS - 1)}, {"log_y": True}, "'a' has y values at or below zero"),
        ({"a": (STEPS, LOSS)}, {"levels": {"l": 0.0}, "log_y": True}, "'l' needs a finite y, above zero on a log axis"),
        ({"a": (STEPS, LOSS)}, {"levels": {"l": np.nan}}, "'l' needs a finite y"),
    ],
)
def test_refuses_what_cannot_be_drawn(series, options, message):
    with pytest.raises(ValueError, match=message):
        curves(series, **LABELS, **options)


def test_panels_refuse_what_cannot_be_drawn():
    one = {"alpha": {"linear": (STEPS, LOSS)}}
    for quantities, options, message in [
        ({}, {}, "no quantities"),
        (one, {"log_y": ["beta"]}, "log_y names \\['beta'\\]"),
        (one, {"smooth": {"cosine": 3}}, "smooth names \\['cosine'\\]"),
        ({"beta": {"linear": (STEPS, LOSS - 1)}}, {"log_y": ["beta"]}, "'linear' has y values at or below zero"),
        ({"alpha": {}}, {}, "no curves"),
        (one, {"columns": 0}, "columns must be at least 1, got 0"),
    ]:
        with pytest.raises(ValueError, match=message):
            panels(quantities, x_label="t", **options)


def test_nan_leaves_a_gap_and_is_no_error():
    y = np.where(STEPS == 5, np.nan, LOSS)
    line = curves({"a": (STEPS, y)}, log_y=True, **LABELS).axes[0].lines[0]
    assert np.isnan(line.get_ydata()[5])
