"""Whatever is done to a valid file of each kind, it is loaded or refused by a ValueError that names it."""

import gzip
import os
import time
import warnings
import zlib

import numpy as np
import pytest
from hostile import FORMATS, IDX, LABELS, PIXELS, PNG, TAR, chunk, npy, npz, put, sealed, tar, zipped
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jaxgen.data import load_captchas, load_dsprites, load_images

TIMES = float(os.environ.get("HOSTILE_TIMES", "1"))  # more of the same examples, for a long night
SECONDS = 10  # of work for one file
SPECIAL = (b"\0" * 8, b"\xff" * 8, b"\x7f" + b"\xff" * 3, b"9" * 8, b"-")


CHANGES = {
    "cut": lambda content, at, length, new: content[:at],
    "flip": lambda content, at, length, new: (
        content[:at] + bytes(byte ^ (1 << length % 8) for byte in content[at : at + 1]) + content[at + 1 :]
    ),
    "insert": lambda content, at, length, new: content[:at] + new + content[at:],
    "overwrite": lambda content, at, length, new: content[:at] + new + content[at + len(new) :],
    "delete": lambda content, at, length, new: content[:at] + content[at + length :],
    "repeat": lambda content, at, length, new: content[:at] + content[max(0, at - 64 * length) : at] + content[at:],
}


@st.composite
def mutated(draw, content):
    """One to three changes, mostly near the beginning, which says most."""
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.one_of(st.integers(0, min(len(content), 160)), st.integers(0, len(content))))
        new = draw(st.one_of(st.binary(min_size=1, max_size=8), st.sampled_from(SPECIAL)))
        content = CHANGES[draw(st.sampled_from(list(CHANGES)))](content, at, draw(st.integers(1, 16)), new)
    return content


def loads_or_refuses(load, root, name, content):
    path = put(root, name, content)
    start = time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", ".*has no labels under")
        try:
            assert len(load(path)) > 0
        except FileNotFoundError as error:
            # The documented answer to a tar in which no name is an image's any more.
            assert "holds no images" in str(error)  # noqa: PT017
        except ValueError as error:
            assert len(str(error)) < 2000  # noqa: PT017
            assert str(path) in str(error)  # noqa: PT017
    assert time.process_time() - start < SECONDS


DSPRITES = zipped(
    ("imgs.npy", npy(np.zeros((3, 64, 64), np.uint8))), ("latents_classes.npy", npy(np.zeros((3, 6), int)))
)
SECOND = 512 + len(PNG) + -len(PNG) % 512  # where the second header of the tar is


def sealed_tar(header):
    return TAR[:SECOND] + sealed(header[:512].ljust(512, b"\0")) + TAR[SECOND + 512 :]


# Name: the loader, the file, what is changed, and how that becomes a file (with checksums that are right).
FILES = {name: (load_images, name, content, bytes) for name, content in FORMATS.items()} | {
    "dSprites": (load_dsprites, "d.npz", DSPRITES, bytes),
    "CAPTCHAs": (load_captchas, "x.tar", tar((b"ab.png", PNG), (b"note", b"text"), (b"ba.png", PNG)), bytes),
    "array in an npz": (load_images, "x.npz", npy(PIXELS)[:160], lambda begin: npz(begin + npy(PIXELS)[160:])),
    "labels in an npz": (load_images, "x.npz", npy(LABELS), lambda labels: npz(labels=labels)),
    "idx in a gz": (load_images, "x-images-idx3-ubyte.gz", IDX, lambda idx: gzip.compress(idx, 1, mtime=0)),
    "header of a PNG": (
        load_images, "folder/x.png", PNG[16:29], lambda fields: PNG[:8] + chunk(b"IHDR", fields) + PNG[33:]
    ),
    "pixels of a PNG": (
        load_images, "folder/x.png", zlib.decompress(PNG[41:-16]),
        lambda rows: PNG[:33] + chunk(b"IDAT", zlib.compress(rows)),
    ),
    "header of a tar": (load_images, "x.tar", TAR[SECOND:][:512], sealed_tar),
    "header of a tar.gz": (
        load_images, "x.tar.gz", TAR[SECOND:][:512], lambda header: gzip.compress(sealed_tar(header), 1, mtime=0)
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", FILES)
def test_any_change_is_loaded_or_refused(tmp_path, daily, case):
    load, name, content, seal = FILES[case]
    assert len(load(put(tmp_path, name, seal(content)))) > 0  # as it is
    examples = int(TIMES * (20 if daily else 150))
    often = settings(max_examples=examples, deadline=None, derandomize=True, suppress_health_check=HealthCheck)
    often(given(mutated(content))(lambda changed: loads_or_refuses(load, tmp_path, name, seal(changed))))()


@pytest.mark.parametrize("name", FORMATS)
def test_bytes_at_random_are_refused(tmp_path, daily, name):
    begins = st.sampled_from([b"", FORMATS[name][:8], FORMATS[name][:30]])
    strategy = st.tuples(begins, st.binary(max_size=2000)).map(b"".join)
    examples = int(TIMES * (8 if daily else 40))
    often = settings(max_examples=examples, deadline=None, derandomize=True, suppress_health_check=HealthCheck)
    often(given(strategy)(lambda content: loads_or_refuses(load_images, tmp_path, name, content)))()
