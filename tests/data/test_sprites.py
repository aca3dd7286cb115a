import numpy as np
import pytest
from sklearn.neighbors import KNeighborsClassifier

from jaxgen.data import render_sprites, split_by_content
from jaxgen.data.sprites.palette import ramps, rgb
from jaxgen.data.sprites.render import render_template, sprite_templates
from jaxgen.data.sprites.sheet import LETTERS, NUM_INKS, Layer, SpriteTemplate, draw, ink, parse_sheet


def test_shape_dtype_and_balanced_classes():
    sprites = render_sprites(52, seed=1)
    assert sprites.images.shape == (52, 16, 16, 3)
    assert sprites.images.dtype == np.uint8
    assert sprites.label_names == ("hero", "non-hero", "food", "spell", "side-facing")
    assert sorted(np.bincount(sprites.labels)) == [10, 10, 10, 11, 11]


def test_the_seed_decides_and_prefixes_are_stable():
    whole, again, other = (render_sprites(60, seed=seed).images for seed in (7, 7, 8))
    np.testing.assert_array_equal(whole, again)
    assert (whole != other).any(axis=(1, 2, 3)).all()
    for k in (1, 7, 59):
        np.testing.assert_array_equal(render_sprites(k, seed=7).images, whole[:k])


def test_larger_sizes_repeat_pixels():
    small, large = render_sprites(5).images, render_sprites(5, size=48).images
    assert large.shape == (5, 48, 48, 3)
    for i, j in np.ndindex(3, 3):
        np.testing.assert_array_equal(large[:, i::3, j::3], small)


@pytest.mark.parametrize("n", [4000, pytest.param(40_000, marks=pytest.mark.slow)])
def test_thousands_are_distinct(n):
    images = render_sprites(n).images
    assert len({image.tobytes() for image in images}) > 0.95 * len(images)


@pytest.fixture(scope="module")
def sprites():
    return render_sprites(4000)


def test_the_background_is_white_and_the_sprite_fills_the_picture(sprites):
    white = (sprites.images == 255).all(axis=-1)
    assert white[:, 0].mean() > 0.7  # of the top row, where only hats and sparks reach
    drawn = (~white).mean(axis=(1, 2))
    assert drawn.min() > 0.08
    assert drawn.max() < 0.97


def test_front_facing_classes_are_the_symmetric_ones(sprites):
    dark = sprites.images.mean(axis=-1) < 80
    agreement = (dark == dark[:, :, ::-1]).mean(axis=(1, 2))
    by_class = {name: agreement[sprites.labels == label].mean() for label, name in enumerate(sprites.label_names)}
    assert min(by_class["hero"], by_class["non-hero"]) > by_class["side-facing"] + 0.1


def test_side_facing_figures_look_both_ways(sprites):
    side = sprites.images[sprites.labels == 4].astype(float)
    seen, mirrored = side.mean(axis=0), side[:, :, ::-1].mean(axis=0)
    spread = side.std(axis=0).max() / np.sqrt(len(side))
    assert np.abs(seen - mirrored).max() < 8 * spread


def test_the_classes_can_be_told_apart(sprites):
    train, test = split_by_content(sprites.take(slice(2000)), 0.2)
    neighbour = KNeighborsClassifier(1).fit(train.images.reshape(len(train), -1), train.labels)
    assert neighbour.score(test.images.reshape(len(test), -1), test.labels) > 0.95


@pytest.mark.parametrize("name", sprite_templates())
def test_every_template_varies_and_uses_known_colours(name):
    draws = np.random.default_rng(0).random((64, 63))
    for template in sprite_templates()[name]:
        images = render_template(template, draws)
        assert len({image.tobytes() for image in images}) > 48
        # Black is what an ink without a colour would show.
        assert not (images == 0).all(axis=-1).any()


def test_bad_arguments_are_refused():
    for arguments in ({"n": 0}, {"n": 5, "seed": -1}, {"n": 5, "size": 24}, {"n": 5, "size": 0}):
        with pytest.raises(ValueError, match=r"n is 0|seed is -1|multiple of 16"):
            render_sprites(**arguments)


def test_a_drawing_reads_as_it_looks():
    drawing = draw(["........", ".#oeaA+b"], row=3)
    left = [0, 1, 2, 3, ink("a", 1), ink("a", 0), ink("b", 2), ink("b", 1)]
    np.testing.assert_array_equal(drawing[4], left + left[::-1])
    assert not drawing[[*range(4), *range(5, 16)]].any()
    np.testing.assert_array_equal(draw(["a" + "." * 14 + "+"])[0, [0, 15]], [ink("a", 1), ink("a", 2)])


SHEET = """; A sheet.
palette warm d04648 e0a030
sprite one
layer eyes none
layer eyes@7 other
dropout dots
colours c warm 000000
flips
weight 2.5
sprite two
layer dots

drawing eyes @2
eeeeeeee
drawing eyes @3
oooooooo
drawing dots
c.......
"""


def test_a_sheet_says_what_its_templates_hold():
    other = draw(["#" * 16])
    one, two = parse_sheet(SHEET, "x.txt", {"other": (other,)})
    eyes = ["eeeeeeee"], ["oooooooo"]
    dots = draw(["c......."])
    expected = (
        Layer((draw(eyes[0], 2), draw(eyes[1], 3), draw([]))),
        Layer((draw(eyes[0], 7), draw(eyes[1], 7), other)),
        Layer((dots,), dropout=True),
    )
    for layer, wanted in zip(one.layers, expected, strict=True):
        np.testing.assert_array_equal(layer.drawings, wanted.drawings)
        assert layer.dropout == wanted.dropout
    assert one.colours == {"c": ("d04648", "e0a030", "000000")}
    assert (one.flips, one.weight, two.flips, two.weight) == (True, 2.5, False, 1.0)
    np.testing.assert_array_equal(two.layers[0].drawings, [dots])


def test_faulty_sheets_are_refused_with_their_line():
    good = "sprite one\nlayer eyes\ndrawing eyes\n........\n"
    for old, new, message in (
        ("........", "#####", r"x.txt, line 3: the row of pixels '#####' has 5 characters; expected 8 or 16"),
        ("........", "........\n" * 17, "line 3: 17 rows of pixels from row 0 do not fit on 16 rows"),
        ("drawing eyes", "drawing eyes @16", "line 3: 1 rows of pixels from row 16 do not fit"),
        ("drawing eyes", "drawing eyes @a", "line 3: invalid literal"),
        ("layer eyes", "layer ears", "line 2: there is no drawing 'ears' in this sheet"),
        ("layer eyes", "layer eyes@16", "line 2: 1 rows of pixels from row 16 do not fit"),
        ("layer eyes", "dropout eyes\ndrawing eyes\n........", "line 2: there are 2 drawings 'eyes'; dropout"),
        ("layer eyes", "colours a red", "line 2: 'red' is neither a colour of six hexadecimal digits nor a palette"),
        ("layer eyes", "weight heavy", "line 2: could not convert"),
        ("layer eyes", "weights 2", "line 2: 'weights 2' is no statement"),
        ("........", "+.......", "line 3: the drawing has a '.' but no material"),
        ("........", "abz.....", r"x.txt has no colours for the materials \['a', 'b', 'z'\]"),
        ("layer eyes", "flips", "x.txt has a sprite without layers"),
        ("sprite one", "flips", "line 1: 'flips' is no statement, or has no sprite above it"),
        ("sprite one", "sprite", "line 1: 'sprite' is no statement"),
    ):
        parse_sheet(good, "x.txt")
        with pytest.raises(ValueError, match=message):
            parse_sheet(good.replace(old, new), "x.txt")


def test_inks_are_distinct():
    inks = {ink(letter, tone) for letter in LETTERS for tone in range(3)}
    assert len(inks) == 78
    assert inks == set(range(5, NUM_INKS))


def test_dropout_keeps_each_pixel_half_the_time_independently():
    template = SpriteTemplate((Layer((draw([]),)), Layer((draw(["o.o.o.o.o.o.o.o."]),), dropout=True)))
    kept = render_template(template, np.random.default_rng(0).random((4000, 63)))[:, 0, ::2] < 255
    kept = kept.any(axis=-1).astype(float)
    error = 0.5 / np.sqrt(4000)
    np.testing.assert_allclose(kept.mean(axis=0), 0.5, atol=5 * error)
    np.testing.assert_allclose(np.corrcoef(kept.T), np.eye(8), atol=10 * error)


def test_ramps_darken_and_lighten():
    base = rgb(("d04648", "000000", "ffffff"))
    np.testing.assert_array_equal(base[0], [0xD0, 0x46, 0x48])
    shade, plain, light = np.moveaxis(ramps(base), 1, 0)
    np.testing.assert_array_equal(plain, base)
    assert (shade <= plain).all()
    assert (light >= plain).all()
    assert (light <= 255).all()
