"""Panels of the plane: what is drawn is what was given, on equal axes and one scale of colour."""

import numpy as np
import pytest
from matplotlib.colors import LogNorm, to_rgba
from matplotlib.quiver import Quiver

from experiments.kit.plane import lattice
from jaxgen.report import Panel2D, panels_2d
from jaxgen.report.style import INK, PALETTE

LIMITS = (-2.0, 2.0)
PLACES = lattice(LIMITS, 5).reshape(-1, 2)
GAUSSIAN = np.exp(-0.5 * np.sum(lattice(LIMITS, 40) ** 2, -1) / 0.25)


def panels_of(figure):
    return [axes for axes in figure.axes if axes.get_label() != "<colorbar>" and axes.get_visible()]


def quiver(axes):
    (arrows,) = [child for child in axes.get_children() if isinstance(child, Quiver)]
    return arrows


def test_arrows_stand_where_given_point_right_and_tell_their_length_by_colour():
    short, long = PLACES / 100, PLACES * 100
    figure = panels_2d(
        [[Panel2D("a", arrows=(PLACES, short)), Panel2D("b", arrows=(PLACES, long))]], LIMITS, color_label="m"
    )
    first, second = map(quiver, panels_of(figure))
    np.testing.assert_allclose(first.XY, PLACES)
    directions = np.stack([second.U, second.V], -1)
    away = np.linalg.norm(PLACES, axis=-1) > 0
    lengths = np.linalg.norm(directions, axis=-1)
    np.testing.assert_allclose(lengths[away], lengths[away][0])
    np.testing.assert_allclose(
        directions[away] / lengths[away][:, None], PLACES[away] / np.linalg.norm(PLACES[away], axis=-1)[:, None]
    )
    assert lengths[away][0] < (LIMITS[1] - LIMITS[0]) / 5, "arrows of neighbours do not meet"
    # one scale: fields that differ only in length must not look alike
    assert not np.allclose(first.get_facecolor()[0], second.get_facecolor()[0])
    (bar,) = [axes for axes in figure.axes if axes.get_label() == "<colorbar>"]
    assert bar.get_ylabel() == "m"


def test_beside_heat_arrows_are_ink_and_alone_they_are_not():
    arrows, heat = Panel2D(arrows=(PLACES, PLACES)), Panel2D(heat=np.ones((4, 4)))
    for rows, ink in (([[arrows, heat]], True), ([[arrows]], False)):
        colors = quiver(panels_of(panels_2d(rows, LIMITS))[0]).get_facecolor()
        assert np.allclose(colors, to_rgba(INK)) == ink


def test_axes_are_equal_and_shared():
    figure = panels_2d([[Panel2D("a", points=PLACES), Panel2D("b")], [Panel2D("c")]], LIMITS, row_labels=["up", "down"])
    panels = panels_of(figure)
    assert [axes.get_title("left") for axes in panels] == ["a", "b", "c"]
    assert all(axes.get_aspect() == 1 and axes.get_xlim() == axes.get_ylim() == LIMITS for axes in panels)
    assert [panels[0].get_ylabel(), panels[2].get_ylabel()] == ["up", "down"]
    figure.draw_without_rendering()
    boxes = [axes.get_window_extent() for axes in panels]
    np.testing.assert_allclose([box.width for box in boxes], boxes[0].width, rtol=0.02)
    np.testing.assert_allclose([box.height for box in boxes], boxes[0].width, rtol=0.02)


def test_maps_share_one_logarithmic_scale_of_at_most_four_decades():
    low, high = np.full((4, 4), 1e-9), np.full((4, 4), 7.0)
    low[1, 2] = 0.5
    figure = panels_2d([[Panel2D("a", heat=low), Panel2D("b", heat=high)]], LIMITS)
    images = [axes.images[0] for axes in panels_of(figure)]
    assert images[0].norm is images[1].norm
    assert isinstance(images[0].norm, LogNorm)
    assert (images[0].norm.vmin, images[0].norm.vmax) == pytest.approx((7e-4, 7))
    assert images[0].get_array()[1, 2] == 0.5
    assert images[0].origin == "lower"
    assert tuple(images[0].get_extent()) == (*LIMITS, *LIMITS)
    plain = panels_2d([[Panel2D(heat=high)]], LIMITS, log_color=False, color_limits=(0.0, 9.0))
    assert (plain.axes[0].images[0].norm.vmin, plain.axes[0].images[0].norm.vmax) == (0, 9)


def test_contours_stand_at_whole_deviations_of_a_gaussian():
    figure = panels_2d([[Panel2D(density=GAUSSIAN)]], LIMITS)
    (contours,) = panels_of(figure)[0].collections
    radii = []
    for path in contours.get_paths():
        vertices = path.vertices[~np.isnan(path.vertices).any(-1)]
        radii.append(np.linalg.norm(vertices, axis=-1))
    for radius, deviations in zip(radii, (3, 2, 1), strict=True):
        np.testing.assert_allclose(radius, 0.5 * deviations, atol=0.03)


def test_points_take_their_groups_colour_and_paths_run_from_ring_to_dot():
    paths = np.stack([np.zeros((3, 2)), np.ones((3, 2))]).swapaxes(0, 1) + np.arange(3)[:, None, None]
    figure = panels_2d(
        [[Panel2D(points=PLACES, groups=np.arange(25) % 2, paths=paths)]], LIMITS, group_labels=["left", "right"]
    )
    (axes,) = panels_of(figure)
    (scatter,) = axes.collections
    np.testing.assert_allclose(scatter.get_offsets(), PLACES)
    for i in (0, 1):
        np.testing.assert_allclose(scatter.get_facecolors()[i, :3], to_rgba(PALETTE[i])[:3])
    line, ring, dot = axes.lines[:3]
    np.testing.assert_allclose(line.get_xydata(), paths[:, 0])
    np.testing.assert_allclose(ring.get_xydata(), paths[:1, 0])
    np.testing.assert_allclose(dot.get_xydata(), paths[-1:, 0])
    assert ring.get_markerfacecolor() == "white"
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["left", "right"]


def test_paths_are_named_in_their_colours_over_pale_arrows_and_axes_have_labels():
    panel = Panel2D("a", arrows=(PLACES, PLACES), paths=np.arange(12.0).reshape(3, 2, 2))
    figure = panels_2d(
        [[panel, panel], [panel]], LIMITS, path_labels=["flow", "steps"], axis_labels=("θ", "ψ"), arrow_colors=False
    )
    panels = panels_of(figure)
    assert len(figure.axes) == 4, "there is no colour scale"
    colors = quiver(panels[0]).get_facecolor()
    assert len(np.unique(colors, axis=0)) == 1
    assert colors[0, :3].min() > 0.6
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["flow", "steps"]
    for name, path in zip(legend.get_lines(), panels[0].lines[::3], strict=True):
        assert to_rgba(name.get_color())[:3] == to_rgba(path.get_color())[:3]
    below, above = panels[0].lines[::3]
    assert below.get_linewidth() > 1.5 * above.get_linewidth()
    assert [axes.get_xlabel() for axes in panels] == ["", "θ", "θ"], "below the lowest panel of each column"
    assert [axes.get_ylabel() for axes in panels] == ["ψ", "", "ψ"]


@pytest.mark.parametrize(
    ("rows", "options", "message"),
    [
        ([], {}, "no panels"),
        ([[]], {}, "no panels"),
        ([[Panel2D()]], {"limits": (1.0, 1.0)}, "limits must be finite and ascend"),
        ([[Panel2D()]], {"color_limits": (2.0, 1.0)}, "color_limits"),
        ([[Panel2D()]], {"row_labels": ["a", "b"]}, "row_labels must name the 1 rows"),
        ([[Panel2D("p", arrows=(PLACES, PLACES[1:]))]], {}, r"'p': arrows .* \(25, 2\) and \(24, 2\)"),
        ([[Panel2D("p", heat=np.ones(3))]], {}, r"heat must have shape \(h, w\), got \(3,\)"),
        ([[Panel2D("p", heat=-np.ones((3, 3)))]], {}, "magnitudes"),
        ([[Panel2D("p", points=np.ones((3, 3)))]], {}, r"points must have shape \(n, 2\)"),
        ([[Panel2D("p", points=PLACES, groups=np.ones(1, int))]], {}, "groups are 0, 1, … for each"),
        ([[Panel2D("p", points=PLACES, groups=np.ones(25))]], {}, "groups are 0, 1, … for each"),
        ([[Panel2D("p", points=PLACES, groups=np.full(25, -1))]], {}, "groups are 0, 1, … for each"),
        ([[Panel2D("p", groups=np.ones(1, int))]], {}, "groups are 0, 1, … for each"),
        ([[Panel2D("p", points=PLACES, groups=np.arange(25) % 3)]], {"group_labels": ["a"]}, "group 2 has no name"),
        ([[Panel2D("p", heat=np.ones((3, 3)))]], {"color_limits": (0.0, 1.0)}, "color_limits must be positive"),
        ([[Panel2D("p", density=np.zeros((3, 3)))]], {}, "a density needs a positive value"),
        ([[Panel2D("p", points=np.full((2, 2), np.nan))]], {}, "not finite"),
        ([[Panel2D("p", paths=np.ones((3, 2, 2)))]], {"path_labels": ["a"]}, "path_labels name 1 paths, got 2"),
        ([[Panel2D("p", paths=np.ones((3, 2)))]], {}, r"paths must have shape \(t, n, 2\)"),
    ],
)
def test_refuses_what_cannot_be_drawn(rows, options, message):
    with pytest.raises(ValueError, match=message):
        panels_2d(rows, **{"limits": LIMITS} | options)
