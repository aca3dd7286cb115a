"""Text, palettes and bits: tokens that need no download."""

import itertools

import numpy as np
import pytest
from refusals import refuses

from jaxgen import data


def test_text_has_27_symbols():
    assert data.decode_symbols(data.encode_symbols("It's 2 o'clock:\n\tMIND—the   gap")) == "it s o clock mind the gap"
    np.testing.assert_array_equal(data.encode_symbols("az b"), [1, 26, 0, 2])
    windows = data.text_windows(np.arange(11), 4)
    np.testing.assert_array_equal(windows, [[0, 1, 2, 3], [4, 5, 6, 7]])
    refuses(
        ("symbols go from 0", lambda: data.decode_symbols(np.array([27]))),
        ("length must lie in 1 … 3", lambda: data.text_windows(np.zeros(3, int), 4)),
    )


@pytest.mark.slow
def test_the_documentation_of_python_is_english():
    symbols = data.encode_symbols(data.documentation_text())
    assert len(symbols) > 1_000_000
    share = np.bincount(symbols, minlength=27) / len(symbols)
    # the commonest symbols of English, and its rarest letters
    assert list(np.argsort(-share)[:2]) == list(data.encode_symbols(" e"))
    assert set(data.encode_symbols("etaoinsr")) <= set(np.argsort(-share)[:10])
    assert set(data.encode_symbols("qjz")) <= set(np.argsort(share)[:4])
    assert "the namespace" in data.decode_symbols(symbols)
    words = data.decode_symbols(symbols).split()
    assert words.count("the") / len(words) > 0.03


def images():
    """Three colours, each with a little noise, and how often each occurs."""
    rng = np.random.default_rng(0)
    centres = np.array([[250, 250, 250], [20, 20, 20], [200, 40, 40]])
    index = rng.choice(3, (4, 6, 6), p=[0.6, 0.3, 0.1])
    return (centres[index] + rng.integers(-5, 6, (4, 6, 6, 3))).clip(0, 255).astype(np.uint8), index


def test_a_palette_finds_the_colours_and_sorts_them_by_brightness():
    found, index = images()
    palette = data.fit_palette(found, 3)
    means = np.stack([found[index == k].mean(0) for k in (1, 2, 0)])  # from dark to bright
    np.testing.assert_allclose(palette, means, atol=1)
    tokens = data.to_palette(found, palette)
    np.testing.assert_array_equal(tokens, np.array([2, 0, 1])[index])
    again = data.from_palette(tokens, palette)
    assert np.abs(again.astype(int) - found).max() <= 11
    # the nearest colour of all, by brute force
    sprites = data.render_sprites(10).images
    palette = data.fit_palette(sprites, 8)
    tokens = data.to_palette(sprites, palette)
    for place in itertools.product(range(10), (3, 9), (4, 12)):
        gaps = ((sprites[place].astype(int) - palette.astype(int)) ** 2).sum(1)
        assert gaps[tokens[place]] == gaps.min()


def test_bits():
    grey = np.array([0, 64, 127, 128, 255], np.uint8).reshape(1, 1, 5, 1)
    np.testing.assert_array_equal(data.binarise(grey)[0, 0], [0, 0, 0, 1, 1])
    drawn = data.binarise(np.tile(grey, (20_000, 1, 1, 1)), seed=1)
    share, exact = drawn.mean((0, 1)), grey[0, 0, :, 0] / 255
    assert np.all(np.abs(share - exact) <= 4 * np.sqrt(exact * (1 - exact) / 20_000))


def test_bad_images_are_refused(unchecked):
    found, _ = images()
    palette = data.fit_palette(found, 2)
    refuses(
        ("2 to 256 colours", lambda: data.fit_palette(found, 1)),
        ("have 1 different colours", lambda: data.fit_palette(found[:1, :1, :1], 2)),
        ("colours of as many", lambda: data.to_palette(found[..., :1], palette)),
        ("go from 0 to 1", lambda: data.from_palette(np.array([[[2]]]), palette)),
        ("grey images", lambda: data.binarise(found)),
        ("threshold must lie", lambda: data.binarise(found[..., :1], threshold=0)),
    )
