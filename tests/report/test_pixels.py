"""Colours and tiling, compared with colours and positions worked by hand."""

import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.report.pixels import FRAME_COLOR, NOT_FINITE_COLOR, default_columns, default_scale, tile, to_uint8
from jaxgen.report.style import WIDTH


def test_floats_map_minus_one_to_black_and_one_to_white():
    images = np.array([-1.0, -0.5, 0.0, 1.0, -7.0, 7.0]).reshape(1, 1, 2, 3)
    assert to_uint8(images).ravel().tolist() == [0, 64, 128, 255, 0, 255]


def test_bytes_pass_unchanged_and_every_byte_survives_the_round_trip():
    image = np.arange(256, dtype=np.uint8).reshape(16, 16, 1)
    grey = np.repeat(image, 3, axis=-1)
    np.testing.assert_array_equal(to_uint8(image), grey)
    np.testing.assert_array_equal(to_uint8(image / 127.5 - 1), grey)
    np.testing.assert_array_equal(to_uint8(jnp.asarray(image / 127.5 - 1)), grey)


def test_low_precision_floats_are_floats():
    np.testing.assert_array_equal(to_uint8(jnp.full((1, 1, 3), -1, jnp.bfloat16)), np.zeros((1, 1, 3)))


def test_pixels_that_are_not_finite_are_magenta_and_leave_the_others_alone():
    image = np.array([[[np.nan, 1, 1], [1, 1, np.inf], [1, 1, 1]]])
    assert to_uint8(image).tolist() == [[list(NOT_FINITE_COLOR), list(NOT_FINITE_COLOR), [255, 255, 255]]]
    assert (to_uint8(np.full((2, 2, 1), np.nan)) == NOT_FINITE_COLOR).all()


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (np.zeros((4, 4)), "shape"),
        (np.zeros((2, 4, 4, 2)), "1 or 3 channels"),
        (np.zeros((0, 4, 4, 3)), "shape"),
        (np.zeros((4, 4, 3), np.int32), "got int32"),
        (np.zeros((4, 4, 3), bool), "got bool"),
        (np.full((4, 4, 3), 255.0), "0..255 as uint8"),
    ],
)
def test_refuses_what_is_no_image(images, message):
    with pytest.raises(ValueError, match=message):
        to_uint8(images)


def test_tiles_stand_where_they_should():
    images = np.arange(3, dtype=np.uint8)[:, None, None, None] * np.ones((3, 1, 2, 3), np.uint8) * 100
    picture = tile(images, 2, scale=2, frame=1, headers=(3, 0))
    frame, white = FRAME_COLOR, (255, 255, 255)
    assert picture.shape == (3 + 2 * 2 + 3, 2 * 4 + 3, 3)
    row = [frame, *[(0, 0, 0)] * 4, frame, *[(100, 100, 100)] * 4, frame]
    last = [frame, *[(200, 200, 200)] * 4, frame, *[white] * 5]
    edge, last_edge = [frame] * 11, [*[frame] * 6, *[white] * 5]
    expected = [[white] * 11] * 3 + [edge, row, row, edge, last, last, last_edge]
    np.testing.assert_array_equal(picture, expected)


def test_default_grids_fit_the_page():
    assert default_columns(50) == 10
    assert default_columns(1) == 1
    assert default_columns(3) == 3
    for width, columns in [(16, 10), (28, 8), (64, 5), (8, 2)]:
        scale = default_scale(width, columns)
        assert 1 <= scale <= 8
        assert scale * width * columns < WIDTH
    assert default_scale(256, 10) == 1
