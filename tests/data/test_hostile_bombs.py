"""Small files that would grow to twelve GiB and more: refused in seconds, by a process that may take one GiB more.

Each is loaded in a fork of its own, with that limit set by the system; what a load took is what the system counted.
"""

import bz2
import functools
import gzip
import json
import lzma
import os
import re
import shutil
import struct
import subprocess
import sys
import time
import zipfile
import zlib

import numpy as np
import pytest
from hostile import gzipped, idx, npy, png, put, tar, tar_header, zeros

from jaxgen.data import load_dsprites, load_images

GIB = 2**30
SIZE = 12  # GiB, of a bomb
SECONDS = 60  # of processor time; ten times as much on the clock
LOAD = """
import json, os, resource, select, sys, time
import jaxgen.data
from pathlib import Path

def taken():
    return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) * 1024

def attempt(load, path, options):
    space = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    resource.setrlimit(resource.RLIMIT_AS, (space + 2**30, space + 2**30))
    before, start = taken(), time.process_time()
    try:
        found = getattr(jaxgen.data, load)(path, **options)
        outcome = f"loaded {len(found)}"
    except BaseException as error:
        outcome = f"{type(error).__mro__[-4].__name__ if isinstance(error, ValueError) else 'NO'} {error}"
    return outcome, taken() - before, time.process_time() - start

results = {}
for name, (load, path, options) in json.load(sys.stdin).items():
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        with os.fdopen(writing, "w") as answer:
            json.dump(attempt(load, path, options), answer)
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as answer:
        if not select.select([answer], [], [], 10 * SECONDS)[0]:
            os.kill(child, 9)
        text = answer.read()
    os.waitpid(child, 0)
    results[name] = json.loads(text) if text else ["died", 0, SECONDS]
json.dump(results, sys.stdout)
""".replace("SECONDS", str(SECONDS))


def image_header(count):
    return npy(header=f"{{'descr': '|u1', 'fortran_order': False, 'shape': ({count}, 64, 64, 1), }}")


def zip_of(path, *members):
    """A zip of members already deflated: (name, content as it is stored, size stated)."""
    body = listed = b""
    for name, content, size in members:
        wide = struct.pack("<HHQQ", 1, 16, size, len(content))
        fields = struct.pack("<HHHHHIIIHH", 45, 0, 8, 0, 33, 0, 2**32 - 1, 2**32 - 1, len(name), len(wide))
        listed += (
            struct.pack("<4sH", b"PK\1\2", 45) + fields + struct.pack("<HHHII", 0, 0, 0, 0, len(body)) + name + wide
        )
        body += b"PK\3\4" + fields + name + wide + content
    end = struct.pack("<4sHHHHIIH", b"PK\5\6", 0, 0, len(members), len(members), len(listed), len(body), 0)
    path.write_bytes(body + listed + end)


def deflated(begin, gibibytes):
    return gzipped(begin, gibibytes)[10:-8]


def packed(kind, begin, gibibytes):
    """`begin` and zeros behind it, compressed in pieces that are repeated."""
    if kind == "gz":
        return gzipped(begin, gibibytes)
    pack = {"xz": lzma.compress, "bz2": bz2.compress}[kind]
    return pack(begin) + _packed_zeros(pack) * int(gibibytes * 64)


@functools.cache
def _packed_zeros(pack):
    return pack(bytes(2**24))


def npz_of_labels(path):
    long = npy(header=f"{{'descr': '<i8', 'fortran_order': False, 'shape': ({SIZE * GIB // 8},), }}")
    zip_of(path, (b"labels.npy", deflated(long, SIZE), 128 + SIZE * GIB))
    np.savez(path.with_name("images.npz"), images=np.zeros((2, 8, 8, 3), np.uint8))
    with zipfile.ZipFile(path.with_name("images.npz")) as images, zipfile.ZipFile(path, "a") as archive:
        archive.writestr("images.npy", images.read("images.npy"))


def npz_of_members(path):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a", b"")
    content = path.read_bytes()
    at = content.index(b"PK\1\2")
    entry = content[at : content.index(b"PK\5\6")]
    listed = entry * (100 * 2**20 // len(entry))  # two million members, half a KiB of memory each
    end = struct.pack("<4sHHHHIIH", b"PK\5\6", 0, 0, 65535, 65535, len(listed), at, 0)
    path.write_bytes(content[:at] + listed + end)


def hole(begin, size):
    def build(path):
        with path.open("wb") as file:
            file.write(begin)
            file.truncate(size)

    return build


def npz_of(*members):
    """Members (name, header, GiB of zeros behind it, stated size)."""
    return lambda path: zip_of(path, *((name, deflated(begin, gib), size) for name, begin, gib, size in members))


def dsprites_header(descr, *shape):
    return npy(header=f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {(10**7, *shape)}, }}")


def tar_of_members(path):
    """Three million empty folders, of which Python's tarfile keeps each."""
    names = b"".join(tar_header(b"%d/" % i, 0, b"5") for i in range(2048))
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    piece = packer.compress(names) + packer.flush(zlib.Z_FULL_FLUSH)
    path.write_bytes(b"\x1f\x8b\x08\0\0\0\0\0\0\xff" + piece * 1500 + b"\3\0" + bytes(8))


def flat(side):
    rows = b"\0" * (side * (1 + 3 * side))
    return png(side, side, zlib.compress(rows, 9))


def tar_of_flat_images(path):
    content = flat(5000)
    path.write_bytes(lzma.compress(tar(*[(b"%03d.png" % i, content) for i in range(400)]), preset=0))


def folder_of_flat_images(path):
    path.write_bytes(flat(5000))
    for i in range(1, 400):
        os.link(path, path.with_name(f"{i}.png"))


SMALL = png(8, 8)
GREW = "grows from .* to .* or more in memory|unpacks to more than"
ZEROS = SIZE * GIB
BY_DAY = (  # one for each limit; the others by night
    "x.npz of zeros", "x.npz whose stated shape lies", "x.npz of members", "x.npz of dSprites", "x.npy of a hole",
    "x-images-idx3-ubyte.gz of zeros", "x.tar.xz of padding", "x.tar.gz of an image", "x.tar.bz2 of a name",
    "folder/0.png of flat images", "folder/0.png too large",
)  # fmt: skip
ATTACKS = {
    "x.npz of zeros": (npz_of((b"images.npy", image_header(ZEROS // 4096), SIZE, 128 + ZEROS)), GREW),
    "x.npz whose stated size lies": (npz_of((b"images.npy", image_header(2), SIZE, 128 + 2 * 4096)), "Bad CRC-32"),
    "x.npz whose stated shape lies": (npz_of((b"images.npy", image_header(2), SIZE, 128 + ZEROS)), "8192 bytes, but h"),
    "x.npz of many arrays": (
        npz_of(*((b"%d.npy" % i, image_header(GIB // 4096), 1, 128 + GIB) for i in range(SIZE))), "and 2 more; expected"
    ),
    "x.npz of a header": (
        npz_of((b"images.npy", npy(header="{", version=(2, 0), length=2**32 - 1), SIZE, ZEROS)),
        "has a header of 4294967295 bytes",
    ),
    "x.npz of bytes": (npz_of((b"images", b"", SIZE, ZEROS)), r"holds the arrays \[\]"),
    "x.npz of labels": (npz_of_labels, GREW),
    "x.npz of members": (npz_of_members, "lists its members in"),
    "x.npz of dSprites": (
        npz_of((b"imgs.npy", dsprites_header("|u1", 64, 64), SIZE, ZEROS),
               (b"latents_classes.npy", dsprites_header("<i8", 6), SIZE, ZEROS)),
        "N to 737280",
    ),
    "x.npy of a hole": (hole(image_header(ZEROS // 4096), 128 + ZEROS), GREW),
    "x.npy of nothing": (image_header(10**15 // 4096), "but holds 0"),
    "x-images-idx3-ubyte.gz of zeros": (
        lambda path: path.write_bytes(gzipped(idx((2**19, 64, 63), b""), 2)[:-8] + bytes(8)), GREW
    ),
    "x-images-idx3-ubyte.gz with more behind": (
        lambda path: path.write_bytes(gzipped(idx((1, 8, 8), bytes(64)), SIZE)), "goes on after the 64 bytes"
    ),
    "x-images-idx3-ubyte of a hole": (hole(idx((2**19 - 1, 64, 64), b""), 16 + (2**19 - 1) * 4096), GREW),
    **{f"x.tar.{kind} {what}": (
        lambda path, kind=kind, begin=begin: path.write_bytes(packed(kind, begin, SIZE)), message
    ) for kind in ("gz", "xz", "bz2") for what, begin, message in (
        ("of padding", tar_header(b"padding.bin", ZEROS), GREW),
        ("of an image", tar_header(b"0.png", ZEROS), "images have at most 268435456"),
        ("of a name", tar_header(b"long", ZEROS, b"L"), "has a header of"),
        ("of an extended header", tar_header(b"pax", ZEROS, b"x"), "has a header of"),
        ("of an image and padding", tar((b"0.png", SMALL))[:-1024] + tar_header(b"p", ZEROS), GREW),
    )},
    "x.tar.gz of members": (tar_of_members, "holds 131073 members that are no images"),
    "x.tar.xz of flat images": (tar_of_flat_images, GREW),
    "folder/0.png of flat images": (folder_of_flat_images, GREW),
    "folder/0.ppm of a hole": (hole(b"P6 100000 100000 255\n", ZEROS), "images have at most 268435456"),
    "folder/0.png of a long chunk": (
        hole(png(8, 8)[:33] + struct.pack(">I", 2**31 - 1) + b"eXIf", 2**31 + 100), "images have at most 268435456"
    ),
    "folder/0.png huge": (png(100_000, 100_000, zeros(0.1)), "has 100000×100000 pixels|more than"),
    "folder/0.png too large": (png(13_400, 13_400, zeros(0.1)), "67,108,864"),
    "folder/0.png of text": (
        lambda path: path.write_bytes(png(8, 8, chunks=[(b"zTXt", b"k\0\0\x78\xda" + zeros(SIZE))])),
        "Decompressed data too large|loaded 1",
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def outcomes(request, tmp_path_factory):
    """What became of each attack that is tried: the error, the bytes it took, the seconds."""
    files, root = {}, tmp_path_factory.mktemp("bombs")
    tried = {item.callspec.params["name"] for item in request.session.items if "outcomes" in item.fixturenames}
    for name in tried:
        (root / f"{len(files)}").mkdir()
        path = put(root / f"{len(files)}", name.split()[0], ATTACKS[name][0])
        files[name] = "load_dsprites" if name.endswith("dSprites") else "load_images", str(path), {}
    run = subprocess.run(
        [sys.executable, "-c", LOAD], input=json.dumps(files), capture_output=True, text=True, check=True
    )
    shutil.rmtree(root)  # hundreds of megabytes
    return json.loads(run.stdout)


@pytest.mark.parametrize(
    "name", [name if name in BY_DAY else pytest.param(name, marks=pytest.mark.slow) for name in ATTACKS]
)
def test_refused_within_a_gibibyte(outcomes, name, record_property):
    outcome, taken, seconds = outcomes[name]
    record_property("MiB", taken >> 20)
    assert outcome.startswith(("ValueError", "loaded")), outcome
    assert re.search(ATTACKS[name][1], outcome), outcome
    assert "MemoryError" not in outcome
    assert "Unable to allocate" not in outcome
    assert taken < 0.8 * GIB
    assert seconds < SECONDS


@pytest.mark.slow
def test_dsprites_as_published(tmp_path):
    """737,280 images that inflate by more than a hundred times are read, and take an eighth of their 3 GB."""
    count = 737_280 // 16  # of the same shape and ratio, in a sixteenth of the time
    images = npy(header=f"{{'descr': '|u1', 'fortran_order': False, 'shape': ({count}, 64, 64), }}")
    assert len(images) == 128
    classes = npy(np.zeros((count, 6), np.int64))
    with zipfile.ZipFile(tmp_path / "d.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("imgs.npy", images + bytes(count * 4096))
        archive.writestr("latents_classes.npy", classes)
    assert count * 4096 > 116 * (tmp_path / "d.npz").stat().st_size
    assert load_dsprites(tmp_path / "d.npz").codes.shape == (count, 512)


@pytest.mark.slow
def test_mnist_at_its_size(tmp_path):
    """60,000 images of 28×28, of zeros, which gzip shrinks a thousand times."""
    content = struct.pack(">HBB3I", 0, 8, 3, 60_000, 28, 28) + bytes(60_000 * 784)
    path = tmp_path / "train-images-idx3-ubyte.gz"
    path.write_bytes(gzip.compress(content, 6))
    assert len(content) > 900 * path.stat().st_size
    assert load_images(path).images.shape == (60_000, 28, 28, 1)


@pytest.mark.slow
def test_large_sets_of_numbers_that_shrink_well(tmp_path):
    """Half a GiB may come of any file: a set of silhouettes, say."""
    np.savez_compressed(tmp_path / "x.npz", images=np.zeros((10_000, 64, 64, 3), np.uint8))
    start = time.monotonic()
    assert len(load_images(tmp_path / "x.npz")) == 10_000
    assert time.monotonic() - start < SECONDS
