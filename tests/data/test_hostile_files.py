"""Arrays, archives, images, folders and tars that lie, hide code or ask for more than there is."""

import ast
import gzip
import io
import os
import pickle
import socket
import struct
import tarfile
import time
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
from hostile import (
    IMAGES,
    PACKERS,
    PIXELS,
    PNG,
    Marker,
    encoded,
    idx,
    no_hang,
    npy,
    png,
    put,
    refused,
    sealed,
    tar,
    tar_header,
    zipped,
)  # fmt: skip
from PIL import Image

import jaxgen.data
from jaxgen.data import load_captchas, load_dsprites, load_images
from jaxgen.data.reading import entries
from jaxgen.data.reading.decoding import FORMATS
from jaxgen.data.reading.entries import IMAGE_SUFFIXES
from jaxgen.data.reading.untrusted import check_expansion

ARRAY = np.random.default_rng(0).integers(0, 256, (4, 8, 8, 3), np.uint8)
CODE = "__import__('os').mkdir('ran')"


def header(descr="'|u1'", order="False", shape="(4, 8, 8, 3)"):
    return f"{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, }}"


HEADERS = {
    "10^15 elements": (header(shape="(1000000000000000,)"), "1000000000000000 bytes, but holds 768"),
    "elements that wrap round 64 bits": (header(shape="(4294967296, 4294967296, 1, 768)"), "bytes, but holds 768"),
    "many digits": (header(shape=f"({'9' * 5000},)"), "its header is"),
    "a negative side": (header(shape="(-4, 8, 8, -3)"), "its header is"),
    "a side that is no number": (header(shape="(True, 8, 8, 3)"), "its header is"),
    "a shape that is no tuple": (header(shape="768"), "its header is"),
    "no elements, vast sides": (header(shape="(0, 1000000000000000000, 8, 3)"), "bytes, but holds 768"),
    "a hundred axes": (header(shape=f"(768{', 1' * 100})"), "not a readable array"),
    "records": (header("[('r', '|u1'), ('g', '|u1')]"), "its header is"),
    "records of objects": (header("[('r', '|u1'), ('o', '|O')]"), "its header is"),
    "objects": (header("'|O'"), "is pickled, and loading that can run code"),
    "void": (header("'|V1'"), "have dtype .*V1; expected uint8"),
    "dates": (header("'<M8[s]'", shape="(96,)"), "its header is"),
    "dates without a unit": (header("'<M8'", shape="(96,)"), "have dtype datetime64; expected uint8"),
    "complex numbers": (header("'<c8'", shape="(4, 8, 3)"), "have dtype complex64; expected uint8"),
    "text": (header("'|S1'"), r"have dtype .*S1; expected uint8"),
    "text of absurd width": (header("'<U999999999'", shape="(1,)"), "not know|expected uint8"),
    "an unknown dtype": (header("'<f3'"), "which NumPy does not know"),
    "16 bits": (header("'<u2'", shape="(4, 8, 8)"), "have dtype uint16; expected uint8"),
    "code for a header": (CODE, "its header is"),
    "code in a header": (header(shape=f"({CODE},)"), "its header is"),
    "code for a dtype": (header(CODE), "its header is"),
    "nested brackets": (header(shape="(" * 5000), "its header is"),
    "nested signs": (header(shape=f"({'-' * 9000}1,)"), "its header is"),
    "a wide sum": (header(shape=f"({'1+' * 4000}1,)"), "its header is"),
    "many spaces": (header(shape="(4, 8, 8, 3)" + " " * 9000 + "!"), "its header is"),
    "many commas": (header(shape="(" + "1, " * 3000 + "!"), "its header is"),
    "an item twice": ("{'descr': '|u1', 'descr': '|u1', 'shape': (768,)}", "its header is"),
    "an item missing": ("{'descr': '|u1', 'fortran_order': False}", "its header is"),
    "more items": (header()[:-1] + "'more': 1}", "its header is"),
    "a header that breaks off": ("{'descr': '|u1', 'fortran_order': F{ls", "its header is"),
    "a shape that breaks off": ("{'shape': (4, 8, 8, 3), ", "its header is"),
    "a long header": (header() + " " * 20_000, "has a header of .* expected at most 10000"),
}


@pytest.mark.parametrize("attack", HEADERS)
def test_headers(tmp_path, monkeypatch, attack):
    text, message = HEADERS[attack]
    monkeypatch.chdir(tmp_path)
    content = npy(header=text, values=bytes(768))
    refused(load_images, message, put(tmp_path, "x.npy", content))
    refused(load_images, message, put(tmp_path, "x.npz", zipped(("images.npy", content))))
    refused(load_dsprites, "", put(tmp_path, "d.npz", zipped(("imgs.npy", content), ("latents_classes.npy", content))))
    assert not (tmp_path / "ran").exists()


# -- files that are refused: name, content, message -------------------------------------------------------------------

ONE = ("images.npy", npy(ARRAY))


def patched(content, *changes):
    """A zip of one member with changed fields: (offset in the directory, offset in its own header, bytes)."""
    content = bytearray(content)
    for listed, own, value in changes:
        for start, offset in ((content.index(b"PK\1\2"), listed), (content.index(b"PK\3\4"), own)):
            if offset is not None:
                content[start + offset : start + offset + len(value)] = value
    return bytes(content)


def with_labels(**arrays):
    return lambda path: np.savez(path, **{"images": ARRAY, "labels": np.arange(4), **arrays})


def tiff(height, width, tags=()):
    """A grey, uncompressed TIFF without pixels, with tags of 32 bits by their number."""
    entries = {256: width, 257: height, 258: 8, 259: 1, 262: 1, 273: 8, 277: 1, 278: height, 279: 0, **dict(tags)}
    table = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in sorted(entries.items()))
    return struct.pack("<2sHI", b"II", 42, 8) + struct.pack("<H", len(entries)) + table + bytes(4)


def scans(content, more):
    """A progressive JPEG with its last scan many times over: each costs a pass over all its pixels, for ten bytes."""
    assert 5 < content.count(b"\xff\xda") < 20
    return content[:-2] + content[content.rindex(b"\xff\xda") : -2] * more + content[-2:]


def sized(name, old, form, *sides):
    return IMAGES[name].replace(struct.pack(form, *old), struct.pack(form, *sides), 1)


def short(name):
    return {f"{name} of {n} bytes": (f"d/{name}", IMAGES[name][:n], f"{name} is not a readable image")
            for n in (0, 1, 4, 11, 30, len(IMAGES[name]) // 2)}  # fmt: skip


UNREADABLE, TOO_LARGE = "is not a readable", "(has .* pixels.*: shrink or remove it|is not a readable image)"
LIE = bytes(100)
GZ = gzip.compress(idx((1, 8, 8), bytes(64)), mtime=0)
STORED, DEFLATED = zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED
FEW = zlib.compress(LIE)
REFUSED = {
    "nothing": ("x.npy", b"", "begins with nothing"),
    "half a mark": ("x.npy", b"\x93NUM", "begins with 93 4e 55 4d"),
    "half a header": ("x.npy", npy(ARRAY)[:40], "its header is"),
    "a byte too few": ("x.npy", npy(ARRAY)[:-1], "768 bytes, but holds 767"),
    "a byte too many": ("x.npy", npy(ARRAY) + b"\0", "768 bytes, but holds 769"),
    "an unknown version": ("x.npy", npy(header=header(), version=(9, 9), values=bytes(768)), "begins with"),
    "a header of 4 GiB": (
        "x.npy", npy(header=header(), version=(2, 0), values=bytes(768), length=2**32 - 1), "header of 4294967295 bytes"
    ),
    "a zip as an npy": ("x.npy", zipped(ONE), "begins with 50 4b 03 04"),
    "an npy as a zip": ("x.npz", npy(ARRAY), "not a readable .npz"),
    "an empty zip": ("x.npz", zipped(), r"holds the arrays \[\]"),
    **{f"a member {name}": ("x.npz", zipped(ONE, (name, npy(ARRAY))), "a path out of its folder")
       for name in ("../images.npy", "/images.npy", "a/../../images.npy", "a\\..\\images.npy")},
    "a name twice": ("x.npz", zipped(ONE, ONE), "holds 'images.npy' twice"),
    "a zip in a zip": ("x.npz", zipped(("images.npy", zipped(ONE))), "not a readable array"),
    **{f"a zip in a zip as {name}": ("x.npz", zipped((name, zipped(ONE))), r"holds the arrays \[\]")
       for name in ("images", "images.npz", "images.zip")},
    "encryption": ("x.npz", patched(zipped(ONE), (8, 6, b"\1\0")), r"x.npz\[images\] is encrypted"),
    # Python unpacks these without bound
    "bz2": ("x.npz", zipped(ONE, compression=zipfile.ZIP_BZIP2), "compressed in another way than numpy.savez_comp"),
    "lzma": ("x.npz", zipped(ONE, compression=zipfile.ZIP_LZMA), "compressed in another way than numpy.savez_comp"),
    "99": ("x.npz", patched(zipped(ONE), (10, 8, b"\x63\0")), "compressed in another way|not a readable"),
    **{f"{size} bytes {what} {how}": ("x.npz", patched(zipped(ONE, compression=how), (*at, struct.pack("<I", n))), "")
       for size in (0, 100, 895, 897, 10**4, 2**31, 2**32 - 2) for how in (STORED, DEFLATED)
       for what, at, n in (("unpacked", (24, 22), size), ("packed", (20, 18), size if size > 897 else size // 2))},
    "a wrong checksum": ("x.npz", patched(zipped(ONE), (16, 14, bytes(4))), "Bad CRC-32"),
    "an offset beyond the end": ("x.npz", patched(zipped(ONE), (42, None, b"\xff\xff\xff\x7f")), "not a readable"),
    "a directory without end": (
        "x.npz", lambda path: path.write_bytes(zipped(*((f"{i:0>60000}.npy", b"") for i in range(20)))), "lists its"
    ),
    "one name": ("x.npz", with_labels(label_names=np.array("abc")), r"label_names\] has shape \(\)"),
    "numbers as names": ("x.npz", with_labels(label_names=np.arange(4)), "have dtype int64; expected a text for each"),
    "names that terminals obey": (
        "x.npz", with_labels(label_names=np.array(["a", "b", "c\x1b[2J", "d"])), "holds control characters"
    ),
    "names that are no text": (
        "x.npz", with_labels(label_names=np.array([2**31] * 4, np.uint32).view("<U1")), "not a readable array of text"
    ),
    "labels of 40 bits": ("x.npz", with_labels(labels=np.arange(4) + 2**40), "beyond 32 bits"),
    "labels of 64 bits": ("x.npz", with_labels(labels=np.full(4, 2**64 - 1, np.uint64)), "beyond 32 bits"),
    "real labels": ("x.npz", with_labels(labels=np.arange(4.0)), "have dtype float64; expected integers"),
    "labels of text": ("x.npz", with_labels(labels=np.array(["a"] * 4)), "expected integers"),
    **{f"idx {shape}{suffix}": (f"x-images-idx3-ubyte{suffix}", PACKERS[suffix](idx(shape, LIE)), "announces")
       for shape in ((2**32 - 1,) * 3, (1, 2**32 - 1, 1), (0, 0, 0), (1, 0, 4096), (2**31, 1, 1))
       for suffix in ("", ".gz")},
    **{f"a gzip with {what}": ("x-images-idx3-ubyte.gz", content, "not a readable idx file|goes on after")
       for what, content in {
           "a name without end": b"\x1f\x8b\x08\x08" + bytes(5) + b"\xff" + b"n" * 10**6,
           "extra fields that are not there": b"\x1f\x8b\x08\x04" + bytes(6) + b"\xff\xff" + b"x",
           "another compression": b"\x1f\x8b\x07" + GZ[3:], "a second member": GZ + GZ, "garbage": GZ + b"garbage",
       }.items()},
    # sizes that a header of a few bytes states
    "60000²": ("d/x.png", png(60_000, 60_000, FEW), TOO_LARGE),
    "just above the limit": ("d/square.png", png(8193, 8192, FEW), TOO_LARGE),
    "the largest": ("d/x.png", png(8192, 8192, FEW), "truncated"),
    "one row": ("d/wide.png", png(1, 2**31 - 1, FEW), TOO_LARGE),
    "JPEG": ("d/x.jpg", sized("x.jpg", (12, 16), ">HH", 65_000, 65_000), TOO_LARGE),
    "GIF": ("d/x.gif", IMAGES["x.gif"][:6] + struct.pack("<HH", 65_000, 65_000) + IMAGES["x.gif"][10:], TOO_LARGE),
    "BMP": ("d/x.bmp", IMAGES["x.bmp"][:18] + struct.pack("<ii", 10**6, 10**6) + IMAGES["x.bmp"][26:], TOO_LARGE),
    "WebP": ("d/x.webp", sized("x.webp", (16, 12), "<HH", 16_383, 16_383), TOO_LARGE),
    "lossless WebP": (
        "d/x.webp", b"RIFF\x20\0\0\0WEBPVP8L\x14\0\0\0\x2f" + b"\xff\xff\xff\x0f" + bytes(15), TOO_LARGE
    ),
    "TIFF": ("d/x.tiff", tiff(10**6, 10**6), TOO_LARGE),
    "tiles": ("d/tiles.tiff", tiff(12, 16, {322: 2**20, 323: 2**20, 324: 8, 325: 1}), TOO_LARGE),
    "PPM": ("d/x.ppm", b"P6 1000000 1000000 255\n", TOO_LARGE),
    "PGM": ("d/x.pgm", b"P5 4000000000 4000000000 255\n", TOO_LARGE),
    **{f"{what} 0": ("d/x.png", content, "x.png") for what, content in {
        "height": png(0, 8, zlib.compress(b"")), "width": png(8, 0, zlib.compress(bytes(8))), "PPM": b"P6 0 8 255\n",
    }.items()},
    **{case: row for name in ("x.png", "x.jpg", "x.bmp", "x.gif", "x.webp", "x.tiff", "x.ppm")
       for case, row in short(name).items()},
    **{f"comments in {kind}": (
        "d/x.ppm", lambda path, kind=kind: path.write_bytes(kind + b"\n8 8\n255\n" + 2**22 * b"#\n" + 192 * b"0 "),
        "x.ppm is a PPM in plain text; save it as a binary one, or as PNG",
    ) for kind in (b"P1", b"P2", b"P3")},
    "texts that add up": (
        "d/x.png", png(8, 8, chunks=[(b"zTXt", b"k%d\0\0" % i + zlib.compress(bytes(10**6), 9)) for i in range(80)]),
        "x.png is not a readable image .Too much memory",
    ),
    "a chunk of absurd length": (
        "d/x.png", png(8, 8, chunks=[(b"tEXt", b"k\0v")]).replace(b"\0\0\0\3tEXt", b"\x7f\xff\xff\xfftEXt"), UNREADABLE
    ),
    "a JPEG of many scans": (
        "d/x.jpg", scans(IMAGES["progressive.jpg"], 10_000), r"x.jpg is a JPEG of 100\d\d scans; expected at most 256"
    ),
    **{f"depth {i}": ("d/x.png", content, "x.png has 16 or 32 bits per value") for i, content in enumerate((
        png(8, 8, depth=16, colour=0), *(encoded("TIFF", PIXELS[0, ..., 0].astype(d)) for d in ("u2", "f4", "i4")),
        b"P5 2 2 65535\n" + bytes(8),
    ))},
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_refused(tmp_path, case):
    name, content, message = REFUSED[case]
    start = time.perf_counter()
    path = put(tmp_path, name, content)
    refused(load_images, message, path)
    if name.startswith("d/") and "x.npy" not in name:
        refused(load_images, message, path, resize=8)
    assert time.perf_counter() - start < 10
    assert not [file for file in tmp_path.parent.rglob("*images.npy") if file.parent == tmp_path.parent]


# -- what is harmless after all ---------------------------------------------------------------------------------------

INFLATING = zlib.compress(bytes(10**8), 9)
EXIF = (lambda notes: (notes.__setitem__(0x0112, 6), notes.tobytes())[1])(Image.Exif())
SHORT_PALETTES = [png(8, 8, zlib.compress(b"\xff" * 72), palette, colour=3) for palette in ([], [(b"PLTE", b"\1\2\3")])]


def converted(form, mode, grey=False):
    return encoded(form, Image.fromarray(PIXELS[0, ..., 0] if grey else PIXELS[0]).convert(mode))


LOADED = {  # name, content, shape of the images, whether they may be refused instead
    **{f"{name} as a PNG": ("x.png", content, (1, 12, 16, 3), False) for name, content in IMAGES.items()},
    "CMYK": ("x.jpg", converted("JPEG", "CMYK"), (1, 12, 16, 3), False),
    "YCbCr": ("x.tiff", converted("TIFF", "YCbCr"), (1, 12, 16, 3), False),
    "palette": ("x.png", converted("PNG", "P"), (1, 12, 16, 3), False),
    "bits": ("x.png", converted("PNG", "1", grey=True), (1, 12, 16, 1), False),
    "alpha": ("x.png", converted("PNG", "LA", grey=True), (1, 12, 16, 1), False),
    "no palette": ("x.png", SHORT_PALETTES[0], (1, 8, 8, 3), True),
    "a short palette": ("x.png", SHORT_PALETTES[1], (1, 8, 8, 3), True),
    "pixels that go on": ("x.png", png(8, 8, INFLATING), (1, 8, 8, 3), False),
    **{f"text that inflates in {kind}": ("x.png", png(8, 8, chunks=[(kind, begin + INFLATING)]), (1, 8, 8, 3), True)
       for kind, begin in {b"zTXt": b"k\0\0", b"iTXt": b"k\0\1\0\0\0", b"iCCP": b"k\0\0"}.items()},
    # a camera's rotation is not followed, nor is any other part of an EXIF block
    **{f"EXIF {i}": ("x.jpg", encoded("JPEG", exif=exif), (1, 12, 16, 3), False) for i, exif in enumerate(
        (EXIF, EXIF[:-4], EXIF[:20] + b"\xff" * 40, b"Exif\0\0" + b"\xff" * 60_000))},
}  # fmt: skip


@pytest.mark.parametrize("case", LOADED)
def test_loaded(tmp_path, case):
    name, content, shape, or_refused = LOADED[case]
    path = put(tmp_path, f"d/{name}", content)
    try:
        with no_hang():
            assert load_images(path).images.shape == shape
    except ValueError as error:
        assert or_refused
        assert f"{name} is not a readable image" in str(error)  # noqa: PT017


def test_pythons_second_version_and_other_orders_are_read_without_a_warning(tmp_path, recwarn):
    for text, dtype in (
        (header(shape="(4L, 8L, 8L, 3L)"), "|u1"),
        ("{'shape': (4, 8, 8, 3), 'fortran_order': False, 'descr': '|u1'}", "|u1"),
        (header("'<f4'"), "<f4"),
        (header("'>f4'"), ">f4"),
    ):
        found = load_images(put(tmp_path, "x.npy", npy(header=text, values=ARRAY.astype(dtype).tobytes()))).images
        np.testing.assert_array_equal(found, ARRAY)
        assert found.dtype.isnative
    np.save(tmp_path / "x.npy", np.asfortranarray(ARRAY))
    np.savez(tmp_path / "x.npz", images=np.asfortranarray(ARRAY))
    for name in ("x.npy", "x.npz"):
        np.testing.assert_array_equal(load_images(tmp_path / name).images, ARRAY)
    assert not recwarn


@pytest.mark.filterwarnings("ignore:.*has no labels under")
@pytest.mark.parametrize("count", [300, pytest.param(3000, marks=pytest.mark.slow)])
def test_thousands_of_members(tmp_path, count):
    members = [(f"{i:04}.npy", npy(np.arange(3))) for i in range(count)]
    path = put(tmp_path, "x.npz", zipped(*members))
    refused(load_images, rf"'0009'\] and {count - 10} more; expected images under", path)
    np.testing.assert_array_equal(load_images(put(tmp_path, "x.npz", zipped(*members, ONE))).images, ARRAY)


@pytest.mark.filterwarnings("ignore:.*has no labels under")
def test_only_what_is_wanted_is_unpacked(tmp_path):
    """A broken member that nobody asks for does no harm; of an array whose name is not known, the header is read."""
    broken = npy(header=header(shape="(9,)"))
    path = put(tmp_path, "x.npz", zipped(("pixels.npy", npy(ARRAY)), ("more.npy", broken)))
    np.testing.assert_array_equal(load_images(path).images, ARRAY)


class TestPickles:
    """Whatever the disguise, nothing is unpickled: the folder that would be made is not there."""

    @pytest.fixture
    def array(self, tmp_path):
        yield np.array([Marker(tmp_path / "ran"), None], dtype=object)
        assert not (tmp_path / "ran").exists()

    def test_the_payload_works(self, tmp_path):
        pickle.loads(pickle.dumps(np.array([Marker(tmp_path / "ran")], dtype=object)))
        assert (tmp_path / "ran").exists()

    def test_arrays(self, array, tmp_path):
        np.save(tmp_path / "images.npy", ARRAY)
        records = np.array([(1, array)], dtype=[("number", "i4"), ("object", "O")])
        for name, content in (("x.npy", array), ("r.npy", records)):
            np.save(tmp_path / name, content, allow_pickle=True)
            refused(load_images, "Pickled objects are refused", tmp_path / name)
            with pytest.raises(ValueError, match="Pickled objects are refused"):
                load_images(tmp_path / "images.npy", labels=tmp_path / name)

    @pytest.mark.parametrize("key", ["images", "labels", "label_names", "pixels"])
    def test_members(self, array, tmp_path, key):
        arrays = {"images": ARRAY, "labels": np.arange(4), key: array}
        if key == "pixels":
            del arrays["images"]
        np.savez(tmp_path / "x.npz", **arrays)
        refused(load_images, rf"x.npz\[{key}\] is pickled, and loading that can run code", tmp_path / "x.npz")

    @pytest.mark.parametrize("protocol", [0, 2, 5])
    def test_disguised(self, array, tmp_path, protocol):
        content = pickle.dumps(array, protocol)
        for name in ("x.npy", "x.npz", "x-images-idx3-ubyte", "x-images-idx3-ubyte.gz",
                     "x.tar", "x.tar.gz", "x.tar.xz", "d/0.png"):  # fmt: skip
            refused(load_images, "", put(tmp_path, name, gzip.compress(content) if name.endswith("gz") else content))
        members = [(f"{key}.npy", content) for key in ("images", "imgs", "latents_classes")]
        for load in (load_images, load_dsprites):
            refused(load, "not a readable array of numbers", put(tmp_path, "z.npz", zipped(*members)))

    def test_cifar(self, array, tmp_path):
        """The archive that CIFAR-10 is published in: batches that are pickled, and not read."""
        batch = pickle.dumps({b"data": np.zeros((2, 3072), np.uint8), b"labels": array})
        names = b"cifar-10-batches-py/data_batch_1", b"cifar-10-batches-py/batches.meta"
        path = put(tmp_path, "x.tar.gz", gzip.compress(tar(*((name, batch) for name in names))))
        refused(load_images, "holds no images", path, FileNotFoundError)
        path = put(tmp_path, "x.tar.gz", gzip.compress(tar((names[0] + b".png", batch))))
        refused(load_images, "not a readable image", path)

    def test_no_reader_can_unpickle(self):
        """None of the modules that read data names pickle, or a function that would use it."""
        forbidden = {"pickle", "cPickle", "marshal", "shelve", "dill", "joblib", "eval", "exec", "allow_pickle"}
        files = list(Path(jaxgen.data.__file__).parent.rglob("*.py"))
        assert len(files) > 20
        for file in files:
            for node in ast.walk(ast.parse(file.read_text())):
                used = {getattr(node, name, None) for name in ("id", "attr", "arg", "module", "name")}
                assert not {word for word in used if isinstance(word, str)} & forbidden, (file, node.lineno)
        buffer = io.BytesIO()
        np.save(buffer, np.array([None]), allow_pickle=True)  # and NumPy alone would refuse as well
        buffer.seek(0)
        with pytest.raises(ValueError, match="allow_pickle=False"):
            np.load(buffer)


def test_limits_let_large_sets_through():
    """Those that were published, by their bytes; dSprites inflate most."""
    published = {"dSprites": (737_280 * 64 * 64, 26_723_538), "MNIST": (60_000 * 28 * 28, 9_912_422)}
    stored = {"a terabyte, not compressed": (2**40, 2**40), "a little of zeros": (2**29, 1)}
    for name, (inflated, there) in (published | stored).items():
        check_expansion(name, inflated, there)
    for inflated, there in ((2**29 + 1, 1), (12 * 2**30, 12 * 2**20), (2**40, 2**32)):
        with pytest.raises(ValueError, match=r"x.npz grows from .* to .* in memory, over 250 times.*save it again"):
            check_expansion("x.npz", inflated, there)


# -- images -----------------------------------------------------------------------------------------------------------


def test_other_formats(tmp_path, monkeypatch):
    def ghostscript(*_, **__):
        raise AssertionError("an EPS was handed to ghostscript")

    from PIL import EpsImagePlugin

    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", ghostscript)
    monkeypatch.setattr(EpsImagePlugin.EpsImageFile, "_open", ghostscript)
    for content in (
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 16 12\n%%EndComments\n(ran) (w) file closefile showpage\n",
        b"\xc5\xd0\xd3\xc6" + bytes(100),  # a DOS EPS
        b"<?xml version='1.0'?><!DOCTYPE s [<!ENTITY x SYSTEM 'file:///etc/passwd'>]>"
        b"<svg xmlns='http://www.w3.org/2000/svg' width='16' height='12'><text>&x;</text></svg>",
        b"%PDF-1.7\n1 0 obj\n<< /Type /Catalog >>\nendobj\n",
        npy(PIXELS[0]),
        b"\x80\x04." * 10,
        b"PK\3\4" + bytes(100),
        bytes(1000),
    ):
        for suffix in IMAGE_SUFFIXES:
            path = put(tmp_path, f"d{suffix}/x{suffix}", content)
            refused(load_images, f"x{suffix} is not a readable image", path)
    for form in ("TGA", "PCX", "SGI", "ICO", "JPEG2000", "DDS"):  # which Pillow reads, and we do not
        try:
            content = encoded(form)
        except (KeyError, OSError):  # not in this build of Pillow
            continue
        message = f"x.png is not a readable image, as {', '.join(FORMATS[:-1])} and {FORMATS[-1]} are: remove"
        refused(load_images, message, put(tmp_path, "d/x.png", content))


def test_pillows_limit_lifted_is_not_ours(tmp_path, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    message = r"x.png has 60000×60000 pixels; expected 1 to 67,108,864 in all: shrink"
    refused(load_images, message, put(tmp_path, "d/x.png", REFUSED["60000²"][1]))


@pytest.mark.parametrize("count", [50, pytest.param(3000, marks=pytest.mark.slow)])
def test_animations_give_their_first_frame(tmp_path, count):
    frames = [Image.fromarray(np.full((12, 16), 255 * (i % 2), np.uint8)) for i in range(count)]
    for form in ("GIF", "PNG"):
        content = encoded(form, frames[0], save_all=True, append_images=frames[1 : count if form == "GIF" else 50])
        path = put(tmp_path, f"{form}/x.{form}".lower(), content)
        start = time.monotonic()
        found = load_images(path).images
        assert time.monotonic() - start < 2
        assert found.shape[:3] == (1, 12, 16)
        assert not found.any()


# -- folders ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "d").mkdir()
    for name in ("cat/0.png", "dog/0.png"):
        put(tmp_path / "d", name, PNG)
    return tmp_path / "d"


def test_links(folder, tmp_path):
    (tmp_path / "secret.png").write_bytes(PNG)
    outside = "1.png is a link out of its folder, to .*: remove it or, if you trust it"
    for link, message, targets in (
        ("cat/1.png", outside, (tmp_path / "secret.png", "../../secret.png", "/etc/passwd")),
        ("bird", "bird is a link to a folder, which is not followed", (folder, tmp_path, "..", ".", "/")),
        ("cat/1.png", "1.png is a link that leads nowhere", ("1.png", "nothing.png", "0.png/1.png")),
    ):
        for target in targets:
            (folder / link).symlink_to(target)
            refused(load_images, message, folder)
            (folder / link).unlink()
    (folder / "cat/1.png").symlink_to("../dog/0.png")
    (folder / "LICENSE").symlink_to("/etc/passwd")  # no image, so it is not looked at
    (tmp_path / "link").symlink_to(folder)
    for path in (folder, tmp_path / "link"):
        assert load_images(path).labels.tolist() == [0, 0, 1]


def test_pipes_sockets_and_devices(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(folder / "dog")
    listening = socket.socket(socket.AF_UNIX)
    for name in ("1.txt", "1.png"):  # no images, so they are not looked at; and images
        os.mkfifo(folder / "cat" / name)
        listening = socket.socket(socket.AF_UNIX)
        listening.bind(name)
        if name == "1.txt":
            with no_hang():
                assert len(load_images(folder)) == 2
        listening.close()
    refused(load_images, "1.png is a folder, pipe, socket or device", folder)
    refused(load_captchas, "0.png|1.png", folder)
    message = "is a folder, pipe, socket or device; give a plain file"
    (tmp_path / "folder.tar").mkdir()
    refused(load_images, message, tmp_path / "folder.tar")
    for name in ("x.npy", "x.npz", "x-images-idx3-ubyte", "x-images-idx3-ubyte.gz", "x.tar"):
        path = tmp_path / name
        os.mkfifo(path)
        refused(load_images, message, path)
        path.unlink()
        path.symlink_to("/dev/zero")
        refused(load_images, message, path)
    np.save(tmp_path / "images.npy", PIXELS[:1])
    for name in ("y.npy", "y-idx1-ubyte", "y-idx1-ubyte.gz"):
        os.mkfifo(tmp_path / name)
        with no_hang(), pytest.raises(ValueError, match="is a folder, pipe, socket or device"):
            load_images(tmp_path / "images.npy", labels=tmp_path / name)
    path = put(tmp_path, "train-images-idx3-ubyte", idx((1, 2, 2), bytes(4)))
    os.mkfifo(tmp_path / "train-labels-idx1-ubyte")
    with no_hang():
        assert load_images(path).labels is None


@pytest.mark.filterwarnings("ignore:os.fork")
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("cat/0.png", "cat/0.png is not readable (Permission denied)"),
        ("cat", "cat is not a readable folder"),
        (".", ". is not a readable folder"),
        ("x.npy", "x.npy is not readable (Permission denied)"),
    ],
)
def test_unreadable(folder, monkeypatch, name, message):
    np.save(folder / "x.npy", PIXELS[:1])
    monkeypatch.chdir(folder)
    (folder / name).chmod(0o111 if name == "." else 0)
    child = os.fork()  # as another user where this one may read all
    if not child:
        status = 1
        try:
            if os.getuid() == 0:
                os.setuid(65534)
            load_images(name if name == "x.npy" else ".")
        except ValueError as error:
            status = 0 if str(error).startswith(message) else 2
        except BaseException:
            status = 3
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    (folder / name).chmod(0o755)


def test_files_that_are_too_large(folder):
    with (folder / "cat/1.png").open("wb") as file:
        file.write(PNG)
        file.truncate(2**40)  # a hole, of no size on the disk
    refused(load_images, r"1.png has 1099511627776 bytes; images have at most 268435456", folder)


@pytest.mark.parametrize("bad", ["\x1b[2J", "\n", "\x7f", os.fsdecode(b"\xff")])
def test_names_that_terminals_obey(folder, bad, tmp_path):
    put(folder, f"cat{bad}/0.png", PNG)
    refused(load_images, "a name with control characters", folder)
    path = put(tmp_path, "x.tar", tar((os.fsencode(f"cat{bad}/0.png"), PNG)))
    refused(load_images, "a name with control characters", path)


@pytest.mark.slow
def test_folders_deeper_than_python_recurses(folder, monkeypatch):
    monkeypatch.chdir(folder)
    for _ in range(1100):
        os.mkdir("a")
        os.chdir("a")
    try:
        with no_hang():
            assert len(load_images(folder)) == 2
    finally:
        for _ in range(1100):  # pytest, which cleans up, recurses
            os.chdir("..")
            os.rmdir("a")


# -- tars: members beside an image, and the message -------------------------------------------------------------------

CAT = (b"cat/0.png", PNG)


def sparse(more):
    """A file with holes; with `more`, its list of holes goes on, beyond the end of the file."""
    head = bytearray(tar_header(b"cat/1.png", 512, b"S"))
    head[257:265] = b"ustar  \0"
    head[386:410] = b"%011o\0%011o\0" % (0, 512)
    head[482] = more
    head[483:495] = b"\x80" + (2**40).to_bytes(11, "big")
    block = (b"%011o\0" % 512 * 42).ljust(511, b"\0") + b"\1"
    return [sealed(bytes(head)), *([block.replace(b"\0\0\0\0\0\0\0\1", b"\1" * 8)] * 100 if more else [bytes(512)])]


def pax(**items):
    """An extended header, whose records state their own length."""
    out = b""
    for key, value in items.items():
        body = f" {key}={value}\n".encode()
        out += next(b"%d" % n + body for n in range(len(body), 999) if len(b"%d" % n + body) == n)
    return [tar_header(b"pax", len(out), b"x") + out + bytes(-len(out) % 512), (b"cat/1.png", PNG)]


ENDLESS = "has a header of .* bytes or more; expected at most 16384"
TARS = {
    **{f"a path {name}": ([(name, PNG)], "a path out of its folder: do not trust it")
       for name in (b"../x.png", b"/tmp/x.png", b"a/../../x.png", b"..", b"../evil.sh")},
    **{f"a link {kind} to {target}": (
        [tar_header(b"cat/1.png", 0, kind, target)],
        r"holds 'cat/1.png', a link to .*: pack it again with tar --dereference",
    ) for kind in (b"1", b"2") for target in (b"/etc/passwd", b"../../etc/passwd", b"cat/0.png", b"cat/1.png")},
    **{f"a member of kind {kind}": (
        [tar_header(b"cat/1.png", 0, kind)], "holds 'cat/1.png', which is neither file nor folder"
    ) for kind in (b"3", b"4", b"6", b"A", b"Z")},
    "a name twice": ([(b"./cat/0.png", PNG)], r"holds './cat/0.png' twice"),
    "holes": (sparse(0), "a file with holes: pack it again"),
    "holes without end": (sparse(1), "not a readable tar|a header of|a file with holes"),
    **{f"extended {next(iter(items))} {list(items.values())[-1]}": (pax(**items), "") for items in (
        {"GNU.sparse.major": 1, "GNU.sparse.minor": 0, "GNU.sparse.name": "a", "GNU.sparse.realsize": 2**50},
        {"GNU.sparse.map": "0,512", "GNU.sparse.size": 2**50}, {"GNU.sparse.size": 2**50, "GNU.sparse.numblocks": 1},
        {"size": 2**60}, {"size": -512}, {"size": 10**30}, {"path": "../../x.png"}, {"path": "/x.png"},
    )},
    **{f"an image of {size} bytes": ([tar_header(b"cat/1.png", size) + PNG], "") for size in (2**40, 2**86, 8**11 - 1)},
    **{f"padding of {size} bytes": ([tar_header(b"padding.bin", size)], "") for size in (2**40, 2**86, 8**11 - 1)},
    # which lead back to the same header, for ever
    **{f"{kind} of {size} bytes": ([tar_header(b"a.bin", size, kind), (b"cat/1.png", PNG)], "") for kind, size in
       [*((kind, n) for kind in (b"0", b"L", b"x", b"g") for n in (-512, -(2**40))), (b"0", -1)]},
    **{f"{what} {kind}": ([header_], ENDLESS) for kind in (b"L", b"K", b"x", b"g") for what, header_ in (
        ("long", tar_header(b"long", 2**20, kind) + b"a" * 2**20), ("deep", tar_header(b"deep", 0, kind) * 5000))},
    "headers slow to read": ([tar_header(b"slow", 2**13, b"x") + b"1" * 2**13] * 50, ""),
    "an image that is a tar": ([(b"cat/1.png", tar(CAT))], "1.png is not a readable image"),
}  # fmt: skip


@pytest.mark.parametrize("case", TARS)
def test_tars(tmp_path, case, daily):
    members, message = TARS[case]
    for suffix in ("", ".gz") if daily else PACKERS:
        path = put(tmp_path, f"x.tar{suffix}", PACKERS[suffix](tar(CAT, *members)))
        refused(load_images, message, path)
        refused(load_captchas, message, path)
        assert [file.name for file in tmp_path.iterdir()] == [path.name]
        path.unlink()


def test_tars_of_many_members_that_are_no_images(tmp_path, monkeypatch):
    monkeypatch.setattr(entries, "_MAX_OTHERS", 50)
    names = [tar_header(b"%d/" % i, 0, b"5") for i in range(60)]
    path = put(tmp_path, "x.tar", tar(CAT, *names[:54], CAT))
    refused(load_images, "holds 'cat/0.png' twice", path)  # four others for each image beside the fifty
    path = put(tmp_path, "x.tar", tar(CAT, *names))
    refused(load_images, "holds 55 members beside 1 images: pack the images alone", path)


def test_tars_in_tars_are_no_images(tmp_path):
    inner = tar(CAT)
    for suffix, pack in PACKERS.items():
        path = put(tmp_path, f"x.tar{suffix}", pack(tar((b"inner.tar", inner), (b"1.tar.gz", gzip.compress(inner)))))
        refused(load_images, "holds no images", path, FileNotFoundError)


def test_broken_headers_in_the_middle_are_no_end(tmp_path):
    """Python's tarfile takes one for the end of the archive, and drops the rest."""
    whole, second = tar(CAT, (b"cat/1.png", PNG)), 512 + len(PNG) + -len(PNG) % 512
    for suffix, pack in PACKERS.items():
        path = put(tmp_path, f"x.tar{suffix}", pack(whole[:second] + b"\xff" * 20 + whole[second + 20 :]))
        refused(load_images, f"has a broken header at byte {second}", path)


def test_extended_headers_that_are_honest(tmp_path):
    name = "é" * 120 + "/" + "b" * 120 + ".png"
    for form in (tarfile.PAX_FORMAT, tarfile.GNU_FORMAT):
        with tarfile.open(tmp_path / "x.tar", "w", format=form) as archive:
            member = tarfile.TarInfo(name)
            member.size = len(PNG)
            archive.addfile(member, io.BytesIO(PNG))
        np.testing.assert_array_equal(load_images(tmp_path / "x.tar").images, PIXELS[:1])
