"""GIFs read back frame by frame."""

import io

import numpy as np
import pytest
from PIL import Image, ImageSequence

from jaxgen.report import animate
from jaxgen.report.pixels import FRAME


def frames_of(gif):
    """Returns the frames (n, height, width, 3), their durations in ms and the number of loops, 0 for endless."""
    with Image.open(io.BytesIO(gif)) as image:
        assert image.format == "GIF"
        frames = [(np.asarray(frame.convert("RGB")), frame.info["duration"]) for frame in ImageSequence.Iterator(image)]
        return np.stack([pixels for pixels, _ in frames]), [duration for _, duration in frames], image.info["loop"]


def trajectory(steps, b=3, side=4):
    """Each step of each image is one flat colour of its own."""
    colour = 10 + 2 * np.arange(steps * b, dtype=np.uint8).reshape(steps, b, 1, 1, 1)
    return np.broadcast_to(colour, (steps, b, side, side, 3)).copy()


def test_every_frame_and_pixel_is_exact():
    steps = trajectory(5)
    frames, durations, loop = frames_of(animate(steps, columns=3, scale=2, frame_ms=50, hold_ms=700))
    assert frames.shape == (5, 8 + 2 * FRAME, 3 * 8 + 4 * FRAME, 3)
    assert durations == [50, 50, 50, 50, 700]
    assert loop == 0
    for column in range(3):
        x = FRAME + column * (8 + FRAME)
        cells = frames[:, FRAME:-FRAME, x : x + 8]
        np.testing.assert_array_equal(cells, np.broadcast_to(steps[:, column, :1, :1], cells.shape))


def test_pixel_art_keeps_its_colours_and_squares():
    art = np.random.default_rng(0).integers(0, 256, (2, 1, 6, 6, 3), np.uint8)
    frames, _, _ = frames_of(animate(art, scale=5))
    expected = art[:, 0].repeat(5, axis=1).repeat(5, axis=2)
    np.testing.assert_array_equal(frames[:, FRAME:-FRAME, FRAME:-FRAME], expected)


def test_a_frame_of_too_many_colours_is_not_dithered():
    noise = np.random.default_rng(0).integers(0, 256, (2, 1, 20, 20, 3), np.uint8)
    frames, _, _ = frames_of(animate(noise, scale=4))
    squares = frames[:, FRAME:-FRAME, FRAME:-FRAME].reshape(2, 20, 4, 20, 4, 3)
    assert np.ptp(squares, axis=(2, 4)).max() == 0


def test_long_trajectories_are_thinned_from_first_to_last():
    frames, durations, _ = frames_of(animate(trajectory(40, b=1), scale=1, frames=7))
    shown = frames[:, FRAME, FRAME, 0]
    assert len(shown) == len(durations) == 7
    assert (shown[0], shown[-1]) == (10, 10 + 2 * 39)
    assert np.ptp(np.diff(shown.astype(int))) <= 2  # even, to a step


def test_refusals():
    steps = trajectory(5)
    for images, options, message in [
        (steps[0], {}, "\\(steps, b, h, w, c\\)"),
        (steps, {"frames": 1}, "frames must be at least 2"),
        *(
            (steps, options, "multiples of 10 ms")
            for options in ({"frame_ms": 15}, {"frame_ms": 10}, {"hold_ms": 1005})
        ),
        *((steps, options, "at least 1") for options in ({"columns": 0}, {"scale": 0})),
        (steps.astype(np.float32), {}, "as uint8"),
    ]:
        with pytest.raises(ValueError, match=message):
            animate(images, **options)
