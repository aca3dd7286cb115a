import hashlib
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFilter, ImageFont
from refusals import refuses
from scipy import ndimage, stats

from jaxgen.data import (
    CaptchaStyle,
    ImageDataset,
    decode_texts,
    encode_texts,
    held_out_texts,
    render_captchas,
    render_texts,
    split_by_content,
    split_by_text,
    to_float,
)
from jaxgen.data.captcha import fonts, render
from jaxgen.data.captcha.fonts import FONTS, font_file

LETTERS = "ACEHKX"  # each of one piece
BOLD = "DejaVuSans-Bold"
SMALL = CaptchaStyle(alphabet=LETTERS, length=3, size=(16, 48), fonts=(BOLD, "DejaVuSerif"), dots=8)
PLAIN = CaptchaStyle(
    alphabet=LETTERS, length=3, size=(60, 180), fonts=(BOLD,), dots=0, curves=0, rotation=0.0, warp=0.0, gaps=1.0
)


def ink(images):
    """How dark, 0 to 1, against the lightest and darkest of each image."""
    grey = images.astype(float).mean(-1)
    low, high = grey.min((1, 2), keepdims=True), grey.max((1, 2), keepdims=True)
    return (high - grey) / (high - low)


def digest(images):
    return hashlib.sha256(images.tobytes()).hexdigest()


class TestSeed:
    @pytest.mark.slow
    def test_the_same_bits_in_fresh_processes(self):
        program = (
            "import hashlib; from jaxgen.data import *;"
            f"d = render_captchas(12, CaptchaStyle({LETTERS!r}, 3, (16, 48), ({BOLD!r}, 'DejaVuSerif'), dots=8), 5);"
            "print(hashlib.sha256(d.images.tobytes()).hexdigest())"
        )
        here = digest(render_captchas(12, SMALL, 5).images)
        run = subprocess.run(
            [sys.executable, "-c", program], env={"PYTHONHASHSEED": "1"}, capture_output=True, text=True
        )
        assert run.stdout.strip() == here, run.stderr

    @pytest.mark.parametrize("held_out", [(), held_out_texts(100, LETTERS, 3)])
    def test_an_image_depends_on_the_seed_and_its_index_alone(self, held_out):
        whole = render_captchas(20, SMALL, 7, held_out=held_out)
        for n in (1, 13):
            part = render_captchas(n, SMALL, 7, held_out=held_out)
            np.testing.assert_array_equal(part.images, whole.images[:n])
            np.testing.assert_array_equal(part.labels, whole.labels[:n])

    def test_other_seeds_and_other_indices_give_other_images(self):
        images = np.concatenate([render_captchas(30, SMALL, seed).images for seed in (0, 1)])
        assert len({image.tobytes() for image in images}) == 60

    def test_threads_do_not_mix_their_draws(self):
        with ThreadPoolExecutor(4) as pool:
            found = list(pool.map(lambda seed: digest(render_captchas(20, SMALL, seed).images), range(4)))
        assert found == [digest(render_captchas(20, SMALL, seed).images) for seed in range(4)]

    def test_global_randomness_is_neither_used_nor_touched(self):
        state = np.random.get_state()[1].copy()  # noqa: NPY002
        render_captchas(5, SMALL)
        np.testing.assert_array_equal(np.random.get_state()[1], state)  # noqa: NPY002


class TestTexts:
    def test_form(self):
        data = render_captchas(10, SMALL)
        assert (data.images.shape, data.images.dtype) == ((10, 16, 48, 1), np.uint8)
        assert (data.labels.shape, data.num_classes) == ((10, 3), 6)
        assert "".join(data.label_names) == LETTERS
        assert -1 <= to_float(data.images).min() < -0.2
        assert render_captchas(2, replace(SMALL, size=(64, 192), color=True)).images.shape == (2, 64, 192, 3)

    def test_encode_and_decode(self):
        np.testing.assert_array_equal(encode_texts(["AXC", "KKE"], LETTERS), [[0, 5, 1], [4, 4, 2]])
        texts = held_out_texts(20, "aZ09", 4)
        assert decode_texts(encode_texts(texts, "aZ09"), tuple("aZ09")) == list(texts)

    def test_texts_are_uniform(self):
        tokens = render._draw_tokens(3000, SMALL, 3, ())
        counts = np.bincount(tokens @ [36, 6, 1], minlength=216)
        assert stats.chisquare(counts).pvalue > 1e-4

    def test_given_texts_are_drawn_as_the_seed_would(self):
        drawn = render_captchas(12, SMALL, 4)
        given = render_texts(decode_texts(drawn.labels, LETTERS), SMALL, 4)
        np.testing.assert_array_equal(given.images, drawn.images)
        np.testing.assert_array_equal(given.labels, drawn.labels)

    def test_held_out_texts_are_distinct_nested_and_never_drawn(self):
        held_out = held_out_texts(150, LETTERS, 3, seed=2)
        assert len(set(held_out)) == 150
        assert held_out_texts(40, LETTERS, 3, seed=2) == held_out[:40]
        assert held_out_texts(40, LETTERS, 3, seed=3) != held_out[:40]
        texts = decode_texts(render._draw_tokens(2000, SMALL, 1, held_out), LETTERS)
        assert not set(texts) & set(held_out)
        counts = np.unique(texts, return_counts=True)[1]
        assert len(counts) == 216 - 150
        assert stats.chisquare(counts).pvalue > 1e-4
        # What was not held out stays what it was, image by image, whatever becomes of the others.
        kept = render_captchas(60, SMALL, 1, held_out=held_out)
        assert decode_texts(kept.labels, LETTERS) == texts[:60]
        for fewer in ((), held_out[:50]):
            before = render_captchas(60, SMALL, 1, held_out=fewer)
            allowed = ~np.isin(decode_texts(before.labels, LETTERS), held_out)
            assert 0 < allowed.sum() < 60
            np.testing.assert_array_equal(kept.images[allowed], before.images[allowed])

    def test_more_texts_than_a_machine_integer_counts(self):
        alphabet = "".join(map(chr, range(0x41, 0x5B))) + "abcdefghijklmnopqrstuvwxyz0123456789"
        style = CaptchaStyle(alphabet, length=20, size=(12, 120), fonts=(BOLD,))
        held_out = decode_texts(render_captchas(3, style).labels, alphabet)
        assert not set(decode_texts(render_captchas(3, style, held_out=held_out).labels, alphabet)) & set(held_out)

    def test_split_by_text(self):
        tokens = np.random.default_rng(0).integers(0, 6, (1500, 3))
        data = ImageDataset(np.zeros((1500, 1, 1, 1), np.uint8), tokens, tuple(LETTERS))
        train, test = split_by_text(data, 0.2, seed=1)
        assert len(train) + len(test) == 1500
        seen, unseen = ({tuple(row) for row in part.labels} for part in (train, test))
        assert not seen & unseen
        assert abs(len(unseen) - 0.2 * 216) < 5 * np.sqrt(216 * 0.16)
        again, _ = split_by_text(data.take(slice(None, None, -1)), 0.2, seed=1)
        assert {tuple(row) for row in again.labels} == seen
        assert {tuple(row) for row in split_by_text(data, 0.2, seed=2)[1].labels} != unseen

    def test_split_by_image(self):
        data = render_captchas(60, SMALL)
        train, test = split_by_content(data, 0.25)
        by_image = {image.tobytes(): tuple(row) for image, row in zip(data.images, data.labels, strict=True)}
        for part in (train, test):
            assert all(by_image[i.tobytes()] == tuple(row) for i, row in zip(part.images, part.labels, strict=True))


class TestDrawing:
    def test_what_is_drawn_is_the_label(self):
        """Pieces from left to right, each compared with every letter as Pillow writes it."""
        font = ImageFont.truetype(str(font_file(BOLD)), 60)
        templates = []
        for letter in LETTERS:
            image = Image.new("L", (120, 120))
            ImageDraw.Draw(image).text((20, 20), letter, fill=255, font=font)
            templates.append(np.asarray(image.crop(image.getbbox()).resize((24, 24))).ravel())
        data = render_captchas(100, PLAIN)
        whole = 0
        for dark, label in zip(ink(data.images), data.labels, strict=True):
            pieces, count = ndimage.label(dark > 0.3, structure=np.ones((3, 3)))
            if count != 3:  # two that touch
                continue
            boxes = sorted(ndimage.find_objects(pieces), key=lambda box: box[1].start)
            crops = [Image.fromarray((255 * dark[box]).astype(np.uint8)).resize((24, 24)) for box in boxes]
            scores = np.corrcoef(np.stack([np.asarray(crop).ravel() for crop in crops]), np.stack(templates))[:3, 3:]
            np.testing.assert_array_equal(scores.argmax(1), label)
            whole += 1
        assert whole >= 50

    def test_without_noise_nothing_lies_beside_the_text(self):
        noisy = render_captchas(50, replace(PLAIN, dots=30))
        for image, dark in zip(ink(render_captchas(50, PLAIN).images), ink(noisy.images), strict=True):
            assert ndimage.label(image > 0.2, structure=np.ones((3, 3)))[1] <= 3
            assert ndimage.label(dark > 0.2, structure=np.ones((3, 3)))[1] > 3

    @pytest.mark.parametrize("noise", ["dots", "curves"])
    def test_dots_and_curves_only_add_ink(self, noise):
        style = replace(SMALL, dots=0, curves=0)
        without, with_noise = (
            render_captchas(30, s).images.astype(int) for s in (style, replace(style, **{noise: 10}))
        )
        assert (with_noise <= without).all()
        assert (with_noise < without).any((1, 2, 3)).all()
        assert ((with_noise == without).mean((1, 2, 3)) > 0.2).all()  # the letters stay where they are

    @pytest.mark.parametrize(
        "change",
        [{"dots": 20}, {"curves": 4}, {"rotation": 5.0}, {"warp": 0.0}, {"gaps": 0.0}, {"fonts": ("STIXGeneral",)}],
        ids=lambda change: next(iter(change)),
    )
    def test_an_option_changes_the_drawing_but_neither_text_nor_tones(self, change):
        first, second = render_captchas(40, SMALL, 2), render_captchas(40, replace(SMALL, **change), 2)
        np.testing.assert_array_equal(first.labels, second.labels)
        assert (first.images != second.images).any((1, 2, 3)).mean() > 0.8
        np.testing.assert_array_equal(first.images.max((1, 2, 3)), second.images.max((1, 2, 3)))

    def test_grey_is_the_luminance_of_colour(self):
        colour = render_captchas(30, replace(SMALL, color=True)).images
        grey = render_captchas(30, SMALL).images[..., 0]
        luminance = np.stack([np.asarray(Image.fromarray(image).convert("L")) for image in colour])
        assert np.abs(grey.astype(int) - luminance).max() <= 1
        assert (np.ptp(colour.astype(int), axis=-1).max((1, 2)) > 10).mean() > 0.9

    def test_each_letter_is_in_one_of_the_fonts(self):
        style = replace(SMALL, length=1, size=(16, 16), gaps=0.0)  # a gap has a font of its own
        both = render_captchas(60, style).images
        alone = [render_captchas(60, replace(style, fonts=(font,))).images for font in style.fonts]
        is_font = np.stack([(both == images).all((1, 2, 3)) for images in alone])
        assert (is_font.sum(0) == 1).all()
        assert is_font.sum(1).min() > 15

    def test_gaps_move_the_text(self):
        style = replace(PLAIN, length=1)
        starts = [(ink(render_captchas(40, replace(style, gaps=g)).images) > 0.3).any(1).argmax(1) for g in (0.0, 1.0)]
        # A space of DejaVuSans-Bold is 0.348 em, an em 42 to 56 pixels; the next letter may move over it by a third.
        assert starts[0].max() < 10
        assert np.mean(starts[1] - starts[0]) > 6

    def test_rotation_is_bounded_by_its_setting(self):
        """A bar's axis, from its second moments, turns as far as allowed and no farther."""

        def angles(rotation):
            style = replace(PLAIN, alphabet="I", length=1, gaps=0.0, rotation=rotation, size=(60, 60))
            tilts = []
            for dark in ink(render_captchas(60, style).images):
                y, x = np.nonzero(dark > 0.4)
                top, bottom = x[y < y.min() + 4].mean(), x[y > y.max() - 4].mean()
                tilts.append(bottom - top)
            return np.array(tilts)

        assert np.abs(angles(0.0)).max() < 1
        small, large = np.abs(angles(8.0)).max(), np.abs(angles(25.0)).max()
        assert 1 < small < large

    def test_wide_texts_are_squeezed_into_the_picture(self):
        """The stems of ten letters stay ten; a cut after 120 pixels would leave three or four of them."""
        style = replace(PLAIN, alphabet="T", length=10, gaps=0.0, size=(60, 120))
        dark = ink(render_captchas(30, style).images) > 0.5
        assert np.mean([ndimage.label(image[38])[1] for image in dark]) > 9.5

    @pytest.mark.parametrize("font", [font for font in FONTS if font != "DroidSansMono"])
    def test_every_font_draws(self, font):
        style = replace(PLAIN, fonts=(font,), alphabet="aB7", size=(24, 72))
        assert (ink(render_captchas(3, style).images) > 0.5).mean() > 0.02

    def test_a_font_by_its_path(self):
        named, by_path = (replace(SMALL, fonts=(font,)) for font in (BOLD, str(font_file(BOLD))))
        np.testing.assert_array_equal(render_captchas(5, named).images, render_captchas(5, by_path).images)

    def test_dots_and_arcs_are_pillow_s_where_the_package_puts_them(self, monkeypatch):
        """create_noise_dots and create_noise_curve of captcha 0.7 in Pillow, smoothed, on a picture without text."""
        n, height, width = 6, 60, 160
        blank = fonts.Glyph(Image.new("L", (1, 1)), 1, 1)
        monkeypatch.setattr(render, "glyph", lambda font, size, character: blank)
        dots, arcs = (
            np.random.default_rng((3, stream)).random((n, count, values))
            for stream, count, values in [(render._DOTS, 7, 2), (render._CURVES, 2, 6)]
        )
        for noise in ({"dots": 7, "curves": 0}, {"dots": 0, "curves": 2}):
            found = ink(render_captchas(n, replace(PLAIN, size=(height, width), **noise), 3).images)
            for i in range(n):
                picture = Image.new("L", (width, height))
                draw = ImageDraw.Draw(picture)
                for across, down in dots[i, : noise["dots"]]:
                    x, y = int(across * (width + 1)), int(down * (height + 1))
                    draw.line(((x, y), (x - 1, y - 1)), fill=255, width=3)
                for u in arcs[i, : noise["curves"]]:
                    x1, x2 = int(u[0] * 33), int(u[1] * 129) + 32  # fifths of the sides are 32 and 12
                    y1 = int(u[2] * 37) + 12
                    y2 = int(u[3] * (49 - y1)) + y1
                    end, start = int(u[4] * 41) + 160, int(u[5] * 21)
                    draw.arc([x1, y1, x2, y2], start, end, fill=255)
                smooth = np.asarray(picture.filter(ImageFilter.SMOOTH)).astype(float)
                # tones are rounded twice
                np.testing.assert_allclose(found[i], smooth / smooth.max(), atol=0.02)

    def test_the_drawing_is_the_captcha_package_s(self, monkeypatch):
        """The package itself, with our numbers in place of its randomness, draws the same picture.

        It keeps hard edges where Pillow's half-covered pixels are, and draws the edges of letters heavier.
        """
        package = pytest.importorskip("captcha.image")
        n, length = 12, 4
        style = CaptchaStyle(fonts=("DejaVuSans", "DejaVuSerif-Bold"), length=length, warp=0.8)
        ours = render_captchas(n, style, 9)
        streams = render
        fonts, gaps, angles, warps, overlaps, dots, curves = (
            np.random.default_rng((9, stream)).random(shape)
            for stream, shape in [
                (streams._FONT, (n, length, 2, 2)),
                (streams._GAP, (n, length)),
                (streams._ANGLE, (n, length)),
                (streams._WARP, (n, length, 6)),
                (streams._OVERLAP, (n, length, 2)),
                (streams._DOTS, (n, 30, 2)),
                (streams._CURVES, (n, 1, 6)),
            ]
        )

        class Secrets:
            def __init__(self, numbers):
                self.numbers = iter(numbers)

            def randbelow(self, bound):
                return int(next(self.numbers) * bound)

            def randbits(self, bits):
                return int(next(self.numbers) * 2**bits)

            def choice(self, options):
                return options[self.randbelow(len(options))]

        def draw(i, text):
            numbers, pasted = [], []
            for j in range(length):
                numbers.append(1 - gaps[i, j])
                kinds = [0, 1] if gaps[i, j] < 0.5 else [1]
                for kind in kinds:
                    font, size = (int(u * k) for u, k in zip(fonts[i, j, kind], (2, 3), strict=True))
                    numbers += [(3 * font + size + 0.5) / 6, 0, 0, angles[i, j], *warps[i, j]]
                    pasted.append(overlaps[i, j, kind])
            monkeypatch.setattr(
                package, "secrets", Secrets([0] * 4 + numbers + pasted + [*dots[i].ravel(), *curves[i, 0]])
            )
            captcha = package.ImageCaptcha(160, 60, [str(font_file(font)) for font in style.fonts])
            captcha.character_warp_dx, captcha.character_warp_dy = (0.0, 0.8), (0.0, 0.4)
            image = captcha.generate_image(text, bg_color=(255, 255, 255), fg_color=(130, 130, 130, 255))
            return np.asarray(image.convert("L"))

        texts = decode_texts(ours.labels, style.alphabet)
        theirs = np.stack([draw(i, text) for i, text in enumerate(texts)])
        agreement = np.corrcoef(ink(ours.images).reshape(n, -1), ink(theirs[..., None]).reshape(n, -1))[:n, n:]
        assert np.diag(agreement).min() > 0.85
        assert np.max(agreement - np.eye(n)) < 0.6


class TestRefusals:
    def test_styles(self, unchecked):
        for change, message in (
            ({"alphabet": ""}, "the alphabet is empty"),
            ({"alphabet": "AAB"}, r"repeats \['A'\]"),
            ({"alphabet": "A B"}, r"holds \[' '\]"),
            ({"alphabet": "A\u3042"}, "cannot draw 'あ'"),
            ({"length": 0}, "length is 0"),
            ({"size": (8, 48)}, r"size is \(8, 48\); expected \(height, width\), each from 12 to 1024"),
            ({"size": (16, 5000)}, "size is"),
            ({"fonts": ()}, "at least one name"),
            ({"fonts": "DejaVuSans"}, "expected a tuple"),
            ({"fonts": ("Comic",)}, r"font 'Comic' is unknown; expected one of \('DejaVuSans'"),
            ({"dots": -1}, "dots is -1; expected 0 to 1000"),
            ({"curves": -1}, "curves is -1"),
            ({"rotation": 91.0}, "rotation is 91.0; expected 0.0 to 90.0"),
            ({"warp": -0.1}, "warp is -0.1"),
            ({"warp": float("nan")}, "warp is nan"),
            ({"gaps": 1.1}, "gaps is 1.1"),
        ):
            with pytest.raises(ValueError, match=message):
                replace(SMALL, **change)

    def test_font_files(self, tmp_path):
        with pytest.raises(FileNotFoundError, match=r"nowhere.ttf does not exist"):
            replace(SMALL, fonts=("nowhere.ttf",))
        (tmp_path / "bad.ttf").write_bytes(b"garbage")
        with pytest.raises(ValueError, match=r"bad.ttf is not a readable font"):
            replace(SMALL, fonts=(str(tmp_path / "bad.ttf"),))

    def test_calls(self):
        refuses(
            ("n is 0", lambda: render_captchas(0, SMALL)),
            ("seed is -1", lambda: render_captchas(1, SMALL, -1)),
            (
                "held-out texts have 2 characters; the style writes 3",
                lambda: render_captchas(1, SMALL, held_out=["AC"]),
            ),
            (r"\['Z'\] outside the alphabet 'ACEHKX'", lambda: render_captchas(1, SMALL, held_out=["ACZ"])),
            ("all 6 texts are held out", lambda: render_captchas(1, replace(SMALL, length=1), held_out=LETTERS)),
            ("n is 0", lambda: render_texts([], SMALL)),
            ("texts have 4 characters; the style writes 3", lambda: render_texts(["ACEH"], SMALL)),
            ("the text 'ACE' has 3 characters; expected 2", lambda: encode_texts(["AC", "ACE"], LETTERS)),
            ("the text '' has 0 characters", lambda: encode_texts([""], LETTERS)),
            ("no texts", lambda: encode_texts([], LETTERS)),
            (r"tokens span \[6, 6\]; an alphabet of 6 has 0 to 5", lambda: decode_texts(np.array([[6]]), LETTERS)),
            ("tokens span", lambda: decode_texts(np.array([[-1]]), LETTERS)),
            ("expected 1 to 215", lambda: held_out_texts(216, LETTERS, 3)),
            ("count is 0", lambda: held_out_texts(0, LETTERS, 3)),
            ("length is 0", lambda: held_out_texts(1, LETTERS, 0)),
            ("side of 1 texts is empty", lambda: split_by_text(render_captchas(1, SMALL), 0.5)),
            ("strictly between 0 and 1", lambda: split_by_text(render_captchas(1, SMALL), 1.0)),
            ("has no texts", lambda: split_by_text(replace(render_captchas(3, SMALL), labels=np.arange(3)), 0.5)),
        )

    def test_a_missing_package(self, monkeypatch):
        monkeypatch.setattr(fonts, "find_spec", lambda name: None)
        fonts.font_file.cache_clear()
        with pytest.raises(ImportError, match="pip install matplotlib"):
            fonts.font_file("STIXGeneral")
        with pytest.raises(ImportError, match="pip install captcha"):
            fonts.font_file("DroidSansMono")
        fonts.font_file.cache_clear()
