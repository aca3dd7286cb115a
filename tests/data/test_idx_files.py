"""MNIST's format: what it holds, and files that lie about it."""

import gzip
import struct
import tracemalloc

import numpy as np
import pytest

from jaxgen.data import load_images

RNG = np.random.default_rng(0)
TRAIN, TEST = RNG.integers(0, 256, (12, 9, 7), np.uint8), RNG.integers(0, 256, (5, 9, 7), np.uint8)
TRAIN_LABELS, TEST_LABELS = RNG.integers(0, 10, 12).astype(np.uint8), RNG.integers(0, 10, 5).astype(np.uint8)
NAMES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")


def idx(array, shape=None):
    """As LeCun has it: 00 00, the type (08: unsigned byte), the number of axes, big-endian sizes, the values."""
    shape = array.shape if shape is None else shape
    return struct.pack(f">HBB{len(shape)}I", 0, 8, len(shape), *shape) + array.tobytes()


def write(path, content):
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


@pytest.fixture(params=["", ".gz"], ids=["plain", "gzip"])
def folder(request, tmp_path):
    for name, array in zip(NAMES, (TRAIN, TRAIN_LABELS, TEST, TEST_LABELS), strict=True):
        write(tmp_path / "mnist" / (name + request.param), idx(array))
    return tmp_path / "mnist"


def check(data, images, labels):
    np.testing.assert_array_equal(data.images, images[..., None])
    assert data.images.dtype == np.uint8
    np.testing.assert_array_equal(data.labels, labels)
    assert data.labels.dtype == np.int32
    assert data.label_names == ()


def test_a_folder_of_four_files(folder):
    check(load_images(folder, subset="train"), TRAIN, TRAIN_LABELS)
    check(load_images(str(folder), subset="test"), TEST, TEST_LABELS)
    both = np.concatenate([TRAIN, TEST]), np.concatenate([TRAIN_LABELS, TEST_LABELS])
    check(load_images(folder), *both)


def test_a_file_finds_its_labels(folder):
    images = next(folder.glob("t10k-images*"))
    check(load_images(images), TEST, TEST_LABELS)
    next(folder.glob("t10k-labels*")).unlink()
    assert load_images(images).labels is None
    write(folder / ("t10k-labels-idx1-ubyte" + (".gz" if images.suffix != ".gz" else "")), idx(TEST_LABELS))
    check(load_images(images), TEST, TEST_LABELS)  # gzipped beside plain, and the other way round


def test_names_with_dots_and_of_other_sets(tmp_path):
    write(tmp_path / "train-images.idx3-ubyte", idx(TRAIN))
    write(tmp_path / "train-labels.idx1-ubyte", idx(TRAIN_LABELS))
    check(load_images(tmp_path), TRAIN, TRAIN_LABELS)
    check(load_images(tmp_path / "train-images.idx3-ubyte"), TRAIN, TRAIN_LABELS)
    emnist = write(tmp_path / "emnist-letters-train-images-idx3-ubyte.gz", idx(TEST))
    write(tmp_path / "emnist-letters-train-labels-idx1-ubyte.gz", idx(TEST_LABELS))
    check(load_images(emnist), TEST, TEST_LABELS)
    check(load_images(tmp_path), TRAIN, TRAIN_LABELS)  # the standard names alone make a folder of MNIST


def test_labels_by_hand(folder, tmp_path):
    images = next(folder.glob("train-images*"))
    other = (TRAIN_LABELS + 1).astype(np.uint8)
    check(load_images(images, labels=write(tmp_path / "mine-idx1-ubyte.gz", idx(other))), TRAIN, other)
    check(load_images(images, labels=other), TRAIN, other)
    np.save(tmp_path / "x.npy", TRAIN)
    check(load_images(tmp_path / "x.npy", labels=next(folder.glob("train-labels*"))), TRAIN, TRAIN_LABELS)


def test_resizing(folder):
    assert load_images(folder, subset="test", resize=14).images.shape == (5, 14, 14, 1)


def refuse(message, path, error=ValueError, **options):
    with pytest.raises(error, match=message):
        load_images(path, **options)


def test_subsets_and_labels_are_refused(folder, tmp_path):
    refuse(r"no subset 'valid'; its files of images are those of \['train', 'test'\]", folder, subset="valid")
    refuse("is one file: give its folder", next(folder.glob("t10k-images*")), subset="test")
    refuse("in files beside its images: drop labels=", folder, labels=TRAIN_LABELS)
    refuse(r"labels have shape \(5,\); expected \(12,\)", next(folder.glob("train-i*")), labels=TEST_LABELS)
    refuse(r"9×7 images; expected 9×9: pass resize=9", folder, size=9)
    next(folder.glob("t10k-labels*")).unlink()
    refuse(r"do not go together .*labels \[True, False\]\): read one of them by subset=", folder)
    next(folder.glob("t10k-images*")).unlink()
    refuse(r"no subset 'test'; .* those of \['train'\]", folder, subset="test")
    write(tmp_path / NAMES[0], idx(TRAIN))
    write(tmp_path / NAMES[2], idx(TEST[:, :5]))
    refuse(r"do not go together \(shapes \[\(12, 9, 7, 1\), \(5, 5, 7, 1\)\]", tmp_path)


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_contents_are_refused(tmp_path, suffix):
    for content, message in (
        (b"", "begins with nothing; expected 00 00 08 03"),
        (b"\x89PNG" + bytes(100), "begins with 89 50 4e 47; expected 00 00 08 03, the mark of idx images"),
        (idx(TRAIN_LABELS), "begins with 00 00 08 01; expected 00 00 08 03"),
        (b"\0\0\x0d\3" + idx(TRAIN)[4:], "begins with 00 00 0d 03"),  # floats
        (idx(TRAIN)[:9], "ends within its header"),
        (idx(TRAIN)[:-1], r"which its .* bytes cannot hold|1 bytes are missing"),
        (idx(TRAIN) + b"\0", r"do not hold alone|goes on after the 756 bytes"),
        (idx(TRAIN[:0]), r"announces the shape \(0, 9, 7\); expected at least one"),
        (idx(TRAIN, (12, 0, 7)), "expected at least one, with sides of 1 to 4096"),
        (idx(TRAIN, (12, 9, 5000)), "sides of 1 to 4096"),
    ):
        refuse(message, write(tmp_path / f"x-images-idx3-ubyte{suffix}", content))
    images = write(tmp_path / "train-images-idx3-ubyte", idx(TRAIN))
    for labels, message in (
        (idx(TRAIN), "train-labels.* begins with 00 00 08 03; expected 00 00 08 01, the mark of idx labels"),
        (idx(TEST_LABELS), r"labels have shape \(5,\); expected \(12,\)"),
        (idx(TRAIN_LABELS)[:-3], "train-labels.*(cannot hold|3 bytes are missing)"),
    ):
        write(tmp_path / f"train-labels-idx1-ubyte{suffix}", labels)
        refuse(message, images)


def test_broken_gzip(tmp_path):
    path = write(tmp_path / "x-images-idx3-ubyte.gz", idx(TRAIN))
    whole = path.read_bytes()
    for content in (whole[: len(whole) // 2], whole[:-4], idx(TRAIN), whole[:40] + b"\xff" * 40 + whole[80:]):
        path.write_bytes(content)
        refuse("not a readable idx file", path)
    path = tmp_path / "y-images-idx3-ubyte"
    path.write_bytes(whole)
    refuse("begins with 1f 8b 08 00; expected .*: it is gzipped, so give it a name that ends in .gz", path)


def test_what_files_announce_is_refused_before_anything_is_allocated(tmp_path):
    cases = [
        (f"x-images-idx3-ubyte{suffix}", idx(np.zeros(1000, np.uint8), shape), "read up to 2147483648|cannot hold")
        for shape in ((2**32 - 1, 4096, 4096), (120, 4096, 4096), (2**20, 28, 28))
        for suffix in ("", ".gz")
    ]
    # twelve small images, and megabytes of zeros behind them
    cases.append(("y-images-idx3-ubyte.gz", idx(TRAIN) + bytes(3 * 10**7), "goes on after the 756 bytes that it"))
    for name, content, message in cases:
        path = write(tmp_path / name, content)
        tracemalloc.start()
        refuse(message, path)
        assert tracemalloc.get_traced_memory()[1] < 1e6
        tracemalloc.stop()
    path = write(tmp_path / "z-images-idx3-ubyte", idx(np.zeros(0, np.uint8), (200, 4096, 4096)))
    with path.open("r+b") as file:
        file.truncate(16 + 200 * 2**24)  # a hole, of no size on the disk
    refuse(r"announces \(200, 4096, 4096\), 3355443200 bytes; idx files are read up to 2147483648", path)
