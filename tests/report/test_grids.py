"""Image grids read back from the rendered figure, pixel by pixel."""

import io
import itertools

import matplotlib
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from PIL import Image

from jaxgen.report import image_grid, strip
from jaxgen.report.pixels import FRAME, FRAME_COLOR

IMAGES = np.random.default_rng(0).integers(0, 256, (6, 5, 4, 3), np.uint8)


def rendered(figure):
    """Returns the figure's pixels as its PNG holds them."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=figure.dpi)
    return np.asarray(Image.open(buffer).convert("RGB"))


def expected_grid(images, columns, side, frame):
    """The same picture by Kronecker products and padding."""
    rows = []
    for start in range(0, len(images), columns):
        cells = [np.kron(image, np.ones((side, side, 1), np.uint8)) for image in images[start : start + columns]]
        bar = np.full((cells[0].shape[0], frame, 3), FRAME_COLOR, np.uint8)
        rows.append(np.concatenate([part for cell in cells for part in (bar, cell)] + [bar], axis=1))
    bar = np.full((frame, rows[0].shape[1], 3), FRAME_COLOR, np.uint8)
    return np.concatenate([part for row in rows for part in (bar, row)] + [bar], axis=0)


@pytest.mark.parametrize(("columns", "scale"), [(3, 1), (2, 3), (6, 7)])
def test_every_screen_pixel_is_exact(columns, scale):
    picture = rendered(image_grid(IMAGES, columns, scale=scale))
    np.testing.assert_array_equal(picture, expected_grid(IMAGES, columns, 2 * scale, 2 * FRAME))


def test_pixels_stay_sharp_at_another_resolution():
    figure, buffer = image_grid(IMAGES, 3, scale=2), io.BytesIO()
    figure.savefig(buffer, format="png", dpi=2 * figure.dpi)
    picture = np.asarray(Image.open(buffer).convert("RGB"))
    np.testing.assert_array_equal(picture, expected_grid(IMAGES, 3, 8, 4 * FRAME))


def test_labels_move_the_grid_but_do_not_touch_it():
    plain = rendered(image_grid(IMAGES, 3, scale=8))
    labelled = rendered(image_grid(IMAGES, 3, scale=8, titles=["a", "b", "c"], row_labels=["first", "second"]))
    height, width, _ = plain.shape
    np.testing.assert_array_equal(labelled[-height:, -width:], plain)
    assert (labelled[:-height, -width:] < 200).any()  # titles above the grid
    assert (labelled[-height:, :-width] < 200).any()  # row labels on its left
    assert (labelled[-height:, 0] == 255).all()  # and not cut off by the edge


@pytest.mark.parametrize("length", [1, 2, 7])
def test_labelled_grids_are_whole_css_pixels_wide(length):
    assert rendered(image_grid(IMAGES, 6, row_labels=["m" * length])).shape[1] % 2 == 0


def test_one_title_per_image_makes_room_above_every_row():
    plain = rendered(image_grid(IMAGES, 3, scale=8))
    by_column = rendered(image_grid(IMAGES, 3, scale=8, titles=list("abc")))
    by_image = rendered(image_grid(IMAGES, 3, scale=8, titles=list("abcdef")))
    header = len(by_column) - len(plain)
    assert header > 0
    assert len(by_image) == len(plain) + 2 * header


def test_long_titles_shrink_until_they_fit_their_column():
    figure = image_grid(IMAGES, 6, scale=8, titles=["short", "a title much longer than its image", *"cdef"])
    renderer = FigureCanvasAgg(figure).get_renderer()
    boxes = [text.get_window_extent(renderer) for text in figure.texts]
    assert max(box.width for box in boxes) < 2 * (8 * 4 + FRAME)
    assert all(left.x1 < right.x0 for left, right in itertools.pairwise(boxes))


def test_strip_puts_images_in_rows_and_time_in_columns():
    over_time = IMAGES.reshape(3, 2, 5, 4, 3)
    picture = rendered(strip(over_time, ["0", "1", "2"], scale=2))
    expected = expected_grid(np.concatenate([over_time[:, 0], over_time[:, 1]]), 3, 4, 2 * FRAME)
    np.testing.assert_array_equal(picture[-len(expected) :], expected)


def test_grids_ignore_and_leave_alone_matplotlibs_settings():
    before = rendered(image_grid(IMAGES, 3, titles=list("abc")))
    with matplotlib.rc_context({"font.family": "monospace", "image.interpolation": "bilinear", "savefig.dpi": 50}):
        settings = dict(matplotlib.rcParams)
        np.testing.assert_array_equal(rendered(image_grid(IMAGES, 3, titles=list("abc"))), before)
        assert dict(matplotlib.rcParams) == settings


def test_refusals():
    for draw, arguments, options, message in [
        (image_grid, (IMAGES,), {"columns": 0}, "columns must be at least 1"),
        (image_grid, (IMAGES,), {"scale": 0}, "scale must be at least 1"),
        (image_grid, (IMAGES, 3), {"titles": ["a", "b"]}, "3 columns or all 6 images, got 2"),
        (image_grid, (IMAGES, 3), {"row_labels": ["a"]}, "2 rows, got 1"),
        (image_grid, (IMAGES[0],), {}, "\\(n, h, w, c\\)"),
        (strip, (IMAGES, list("abcdef")), {}, "\\(steps, b, h, w, c\\)"),
        (strip, (IMAGES.reshape(3, 2, 5, 4, 3), ["a", "b"]), {}, "3 steps, 2 labels"),
    ]:
        with pytest.raises(ValueError, match=message):
            draw(*arguments, **options)
