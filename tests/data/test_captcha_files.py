import tarfile

import numpy as np
import pytest
from hostile import png, put
from PIL import Image

from jaxgen.data import CaptchaStyle, decode_texts, load_captchas, render_captchas

STYLE = CaptchaStyle("ACEHKX", 3, (24, 72), ("DejaVuSans-Bold",))


def save(folder, name, pixels, **options):
    folder.mkdir(parents=True, exist_ok=True)
    pixels = pixels[..., 0] if pixels.shape[-1] == 1 else pixels
    Image.fromarray(pixels).save(folder / name, **options)


@pytest.fixture(scope="module")
def rendered():
    return render_captchas(30, STYLE, 1)


@pytest.fixture
def folder(rendered, tmp_path):
    """A folder of CAPTCHAs; a text that comes again is numbered."""
    seen: dict[str, int] = {}
    for text, image in zip(decode_texts(rendered.labels, STYLE.alphabet), rendered.images, strict=True):
        copy = seen.setdefault(text, 0)
        save(tmp_path / "d", f"{text}_{copy}.png" if copy else f"{text}.png", image)
        seen[text] += 1
    assert max(seen.values()) > 1
    (tmp_path / "d" / "notes.txt").write_text("no image")
    (tmp_path / "d" / ".hidden.png").write_bytes(b"")
    return tmp_path / "d"


def test_round_trip(folder, rendered, tmp_path):
    with tarfile.open(tmp_path / "d.tar.gz", "w:gz") as archive:
        archive.add(folder, arcname="d")
    expected = {(tuple(row), image.tobytes()) for row, image in zip(rendered.labels, rendered.images, strict=True)}
    for path in (folder, tmp_path / "d.tar.gz"):
        data = load_captchas(path, alphabet=STYLE.alphabet, length=3)
        assert (data.images.dtype, data.labels.dtype, data.label_names) == (np.uint8, np.int32, tuple("ACEHKX"))
        assert {(tuple(row), image.tobytes()) for row, image in zip(data.labels, data.images, strict=True)} == expected
        assert len(data) == len(rendered)


def test_alphabet_and_length_are_found(folder):
    data = load_captchas(folder)
    assert data.label_names == tuple("ACEHKX")
    np.testing.assert_array_equal(data.labels, load_captchas(folder, alphabet="ACEHKX", length=3).labels)
    backwards = load_captchas(folder, alphabet="XKHECA")
    np.testing.assert_array_equal(backwards.labels, 5 - data.labels)


def test_case_matters_and_underscored_numbers_are_copies(tmp_path, rendered):
    for name in ("aB.png", "Ab_2.png", "Ab_10.png"):
        save(tmp_path / "d", name, rendered.images[0])
    data = load_captchas(tmp_path / "d")
    assert sorted(decode_texts(data.labels, data.label_names)) == ["Ab", "Ab", "aB"]


def test_colour_and_luminance(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (10, 20, 3), np.uint8)
    save(tmp_path / "d", "ab.png", pixels)
    save(tmp_path / "d", "ba.png", pixels[..., :1])
    grey, colour = load_captchas(tmp_path / "d").images, load_captchas(tmp_path / "d", color=True).images
    np.testing.assert_array_equal(colour, [pixels, np.repeat(pixels[..., :1], 3, -1)])
    luminance = np.asarray(Image.fromarray(pixels).convert("L")).astype(int)
    assert np.abs(grey[0, ..., 0] - luminance).max() <= 1
    np.testing.assert_array_equal(grey[1], pixels[..., :1])


def test_jpegs_and_transparency(tmp_path, rendered):
    save(tmp_path / "j", "ACE.jpg", rendered.images[0], quality=95)
    loaded = load_captchas(tmp_path / "j").images[0].astype(int)
    assert np.abs(loaded - rendered.images[0]).mean() < 4
    clear = np.zeros((24, 72, 4), np.uint8)
    save(tmp_path / "t", "ACE.png", clear)
    assert (load_captchas(tmp_path / "t").images == 255).all()


def test_several_sizes_are_stretched_whole(tmp_path):
    """A dot in each corner survives in its corner, whatever the shape: nothing is cropped."""
    for i, size in enumerate([(24, 72), (50, 200), (60, 160), (16, 40)]):
        image = np.full((*size, 1), 255, np.uint8)
        for rows in (slice(None, size[0] // 4), slice(-(size[0] // 4), None)):
            for columns in (slice(None, size[1] // 4), slice(-(size[1] // 4), None)):
                image[rows, columns] = 0
        save(tmp_path / "d", f"aa_{i}.png", image)
    images = load_captchas(tmp_path / "d", size=(24, 72), resize_filter="box").images
    assert images.shape == (4, 24, 72, 1)
    dark = images[..., 0] < 128
    assert dark[:, [0, 0, -1, -1], [0, -1, 0, -1]].all()
    assert not dark[:, 12].any()
    np.testing.assert_allclose(dark.mean((1, 2)), 0.25, atol=0.03)


class TestRefusals:
    def refuse(self, message, path, error=ValueError, **options):
        with pytest.raises(error, match=message):
            load_captchas(path, **options)

    def test_paths(self, tmp_path):
        self.refuse("nowhere does not exist", tmp_path / "nowhere", FileNotFoundError)
        (tmp_path / "empty").mkdir()
        self.refuse("holds no images", tmp_path / "empty", FileNotFoundError)
        (tmp_path / "x.npy").touch()
        self.refuse("neither a folder nor a tar", tmp_path / "x.npy")

    def test_names(self, folder, rendered):
        (folder / "AAA_9.png").write_bytes(b"garbage")  # names are checked before any image is read
        given = {"alphabet": "ACEHKX", "length": 3}
        for name, options, message in (
            ("ACZ.png", given, r"the name of .*ACZ.png has the characters \['Z'\] outside the alphabet 'ACEHKX'"),
            ("AC.png", given, "the name of .*AC.png has 2 characters; expected 3"),
            ("ACEH.png", given, "the name of .*ACEH.png has 4 characters; expected 3"),
            ("ACE_a.png", given, "the name of .*ACE_a.png has 5 characters"),
            ("_12.png", given, r"the name of .*_12.png has the characters"),
            ("A_C.png", {}, r"A_C.png has the characters \['_'\]"),
            ("A C.png", {}, r"A C.png has the characters \[' '\], which cannot be seen"),
            ("ABCD.png", {}, "ABCD.png has 4 characters; expected 3"),
            ("AB.png", {}, "AB.png has 2 characters; expected 3"),  # the commonest, not the shortest
        ):
            save(folder, name, rendered.images[0])
            self.refuse(message, folder, **options)
            (folder / name).unlink()

    def test_alphabets(self, folder):
        self.refuse("'_', which numbers copies", folder, alphabet="ACEHKX_")
        self.refuse("the alphabet repeats", folder, alphabet="AA")

    def test_broken_images(self, folder):
        (folder / "AAA_9.png").write_bytes(b"garbage")
        self.refuse(r"AAA_9.png is not a readable image", folder)
        whole = next(folder.glob("A*.png")).read_bytes()
        (folder / "AAA_9.png").write_bytes(whole[: len(whole) // 2])
        self.refuse(r"AAA_9.png is not a readable image", folder)

    def test_sizes(self, folder, rendered):
        save(folder, "XXX_9.png", rendered.images[0, :20])
        self.refuse(r"XXX_9.png has 20×72 pixels but .* has 24×72: pass size=\(24, 72\)", folder)
        assert len(load_captchas(folder, size=(24, 72))) == 31
        self.refuse(r"size is \(4, 72\); expected", folder, size=(4, 72))
        self.refuse(r"24×72 pixels, which 72×72 would distort more than 2 times", folder, size=(72, 72))
        self.refuse("resize_filter is 'cubic'", folder, size=(24, 72), resize_filter="cubic")

    def test_absurd_sizes(self, folder, tmp_path):
        for height, width in ((1, 1), (4, 72), (10, 3000)):
            save(folder, "XXX_9.png", np.zeros((height, width, 1), np.uint8))
            self.refuse(rf"XXX_9.png has {height}×{width} pixels; expected sides of 8 to", folder, size=(24, 72))
        # A header that promises 60000×60000 pixels, with no pixels behind it
        path = put(tmp_path, "e/AA.png", png(60_000, 60_000, b""))
        self.refuse("AA.png has", path)
