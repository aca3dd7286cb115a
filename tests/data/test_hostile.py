"""Whatever is done to a valid file of each kind, it is loaded or refused by a ValueError that names it."""

import bz2
import gzip
import io
import lzma
import os
import struct
import time
import warnings
import zipfile
import zlib

import numpy as np
import pytest
from hostile import chunk, npy, tar
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from jaxgen.data import load_captchas, load_dsprites, load_images

PIXELS = np.random.default_rng(0).integers(0, 256, (2, 12, 16, 3), np.uint8)
LABELS = np.array([1, 0])
TIMES = int(os.environ.get("HOSTILE_TIMES", "1"))  # more of the same examples, for a night
SECONDS = 10  # of work for one file; a hundred megapixels take one


SPECIAL = (b"\0" * 8, b"\xff" * 8, b"\x7f" + b"\xff" * 3, b"9" * 8, b"-")


def cut(content, at, length, new):
    return content[:at]


def flip(content, at, length, new):
    return content[:at] + bytes(byte ^ (1 << length % 8) for byte in content[at : at + 1]) + content[at + 1 :]


def put_in(content, at, length, new):
    return content[:at] + new + content[at:]


def overwrite(content, at, length, new):
    return content[:at] + new + content[at + len(new) :]


def take_out(content, at, length, new):
    return content[:at] + content[at + length :]


def say_again(content, at, length, new):
    return content[:at] + content[max(0, at - 64 * length) : at] + content[at:]


CHANGES = (cut, flip, put_in, overwrite, take_out, say_again)


@st.composite
def mutated(draw, content):
    """One to three changes, mostly near the beginning, which says most."""
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.one_of(st.integers(0, min(len(content), 160)), st.integers(0, len(content))))
        new = draw(st.one_of(st.binary(min_size=1, max_size=8), st.sampled_from(SPECIAL)))
        content = draw(st.sampled_from(CHANGES))(content, at, draw(st.integers(1, 16)), new)
    return content


def for_all(strategy, examples, check):
    """Check so many examples, the same ones every time, and no fewer if they are slow."""
    often = settings(max_examples=TIMES * examples, deadline=None, derandomize=True, suppress_health_check=HealthCheck)
    often(given(strategy)(lambda example: check(example)))()


def loads_or_refuses(load, path, content, **options):
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    whole = path.parent if path.parent.name == "folder" else path
    start = time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            assert len(load(whole, **options)) > 0
        except FileNotFoundError as error:
            # The documented answer to a tar in which no name is an image's any more.
            assert "holds no images" in str(error)  # noqa: PT017
        except ValueError as error:
            assert len(str(error)) < 2000  # noqa: PT017
            assert str(whole) in str(error)  # noqa: PT017
    assert time.process_time() - start < SECONDS


def encoded(form, **options):
    buffer = io.BytesIO()
    Image.fromarray(PIXELS[0]).save(buffer, form, **options)
    return buffer.getvalue()


def stored(*members, compression=zipfile.ZIP_DEFLATED):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, content in members:
            archive.writestr(zipfile.ZipInfo(name), content, compression)
    return buffer.getvalue()


def npz(images=None, labels=None, **how):
    images, labels = images or npy(PIXELS), labels or npy(LABELS)
    return stored(("images.npy", images), ("labels.npy", labels), ("label_names.npy", npy(np.array(["a", "b"]))), **how)


PNG, IDX = encoded("PNG"), struct.pack(">HBB3I", 0, 8, 3, 2, 12, 16) + PIXELS[..., 0].tobytes()
TAR = tar((b"cat/0.png", PNG), (b"note", b"text"), (b"dog/1.png", PNG))
FILES = {
    "x.npy": npy(PIXELS),
    "x.npz": npz(),
    "stored/x.npz": npz(compression=zipfile.ZIP_STORED),
    "x-images-idx3-ubyte": IDX,
    "x-images-idx3-ubyte.gz": gzip.compress(IDX, mtime=0),
    "x.tar": TAR,
    "x.tar.gz": gzip.compress(TAR, mtime=0),
    "x.tar.xz": lzma.compress(TAR),
    "x.tar.bz2": bz2.compress(TAR),
    "folder/x.png": PNG,
    "folder/x.jpg": encoded("JPEG"),
    "folder/progressive.jpg": encoded("JPEG", progressive=True),
    "folder/x.gif": encoded("GIF"),
    "folder/x.bmp": encoded("BMP"),
    "folder/x.webp": encoded("WEBP"),
    "folder/lossless.webp": encoded("WEBP", lossless=True),
    "folder/x.tiff": encoded("TIFF"),
    "folder/lzw.tiff": encoded("TIFF", compression="tiff_lzw"),
    "folder/x.ppm": encoded("PPM"),
}


@pytest.mark.parametrize("name", FILES)
def test_any_change_to_a_file_is_loaded_or_refused(tmp_path, name):
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(FILES[name])
    assert len(load_images(path.parent if "folder" in name else path)) > 0  # as it is
    for_all(mutated(FILES[name]), 100, lambda changed: loads_or_refuses(load_images, path, changed))


def test_any_change_to_the_dsprites_file_is_loaded_or_refused(tmp_path):
    path, images = tmp_path / "d.npz", np.zeros((3, 64, 64), np.uint8)
    content = stored(("imgs.npy", npy(images)), ("latents_classes.npy", npy(np.zeros((3, 6), np.int64))))
    path.write_bytes(content)
    assert len(load_dsprites(path)) == 3
    for_all(mutated(content), 100, lambda changed: loads_or_refuses(load_dsprites, path, changed))


def test_any_change_to_a_tar_of_captchas_is_loaded_or_refused(tmp_path):
    path = tmp_path / "x.tar"
    content = tar((b"ab.png", PNG), (b"note", b"text"), (b"ba.png", PNG))
    path.write_bytes(content)
    assert len(load_captchas(path)) == 2
    for_all(mutated(content), 100, lambda changed: loads_or_refuses(load_captchas, path, changed))


def sealed_png(fields):
    """A PNG whose header may say anything, with a right checksum."""
    return PNG[:8] + chunk(b"IHDR", fields) + PNG[33:]


def sealed_tar(header):
    """A tar whose second header may say anything, with a right checksum."""
    header = header[:512].ljust(512, b"\0")
    header = header[:148] + b" " * 8 + header[156:]
    second = 512 + len(PNG) + -len(PNG) % 512
    return TAR[:second] + header[:148] + b"%06o\0 " % sum(header) + header[156:] + TAR[second + 512 :]


SECOND = TAR[512 + len(PNG) + -len(PNG) % 512 :][:512]
SEALED = {  # what is changed, and how it is wrapped in checksums that are right
    "npz/x.npz": (npy(PIXELS)[:160], lambda begin: npz(images=begin + npy(PIXELS)[160:])),
    "labels/x.npz": (npy(LABELS), lambda labels: npz(labels=labels)),
    "x-images-idx3-ubyte.gz": (IDX, lambda idx: gzip.compress(idx, 1, mtime=0)),
    "folder/x.png": (PNG[16:29], sealed_png),
    "folder/pixels.png": (zlib.decompress(PNG[41:-16]), lambda rows: PNG[:33] + chunk(b"IDAT", zlib.compress(rows))),
    "x.tar": (SECOND, sealed_tar),
    "x.tar.gz": (SECOND, lambda header: gzip.compress(sealed_tar(header), 1, mtime=0)),
}


@pytest.mark.parametrize("name", SEALED)
def test_any_change_beneath_right_checksums_is_loaded_or_refused(tmp_path, name):
    path, (content, seal) = tmp_path / name, SEALED[name]
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(seal(content))
    assert len(load_images(path.parent if "folder" in name else path)) > 0
    for_all(mutated(content), 150, lambda changed: loads_or_refuses(load_images, path, seal(changed)))


@pytest.mark.parametrize(
    "name", ["x.npy", "x.npz", "x-images-idx3-ubyte", "x-images-idx3-ubyte.gz", "x.tar", "x.tar.gz", "folder/x.png"]
)
def test_bytes_at_random_are_refused(tmp_path, name):
    begins = st.sampled_from([b"", FILES[name][:8], FILES[name][:30]])
    strategy = st.tuples(begins, st.binary(max_size=2000)).map(b"".join)
    for_all(strategy, 40, lambda content: loads_or_refuses(load_images, tmp_path / name, content))
