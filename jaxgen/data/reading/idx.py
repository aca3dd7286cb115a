"""Images and labels in the idx format of MNIST (LeCun et al. 1998), plain or gzipped."""

from __future__ import annotations

import gzip
import math
import re
import struct
from contextlib import ExitStack
from io import BufferedIOBase
from pathlib import Path

import numpy as np

from jaxgen.data.reading.arrays import LoadedArrays
from jaxgen.data.reading.npy import DOWNLOAD_AGAIN
from jaxgen.data.reading.untrusted import (
    RefusedFileError,
    bytes_on_disk,
    check_expansion,
    open_regular,
    read_exactly,
    refuse_errors,
)

_SUBSETS = {"train": "train", "t10k": "test"}  # in file names, and for users
_NAME = re.compile(r".*idx\d-ubyte(\.gz)?")
_STANDARD = re.compile(r"(?P<subset>train|t10k)-images[-.]idx3-ubyte(\.gz)?")
_UNSIGNED_BYTES = 0x08
_MAX_SIDE = 4096  # pixels
_MAX_FILE_BYTES = 2**31  # bytes of values
_DEFLATE = 1032  # the largest ratio of compression in gzip


def is_idx(path: Path) -> bool:
    """Tell from its name, such as train-images-idx3-ubyte.gz, whether a file is in the idx format."""
    return _NAME.fullmatch(path.name) is not None


def idx_images_in(folder: Path) -> dict[str, Path]:
    """Return the image files of a folder by subset, "train" or "test"; plain files are preferred to gzipped ones."""
    found: dict[str, Path] = {}
    with refuse_errors(folder, "folder", "change its mode"):
        files = sorted(folder.iterdir())
    for file in files:
        if (match := _STANDARD.fullmatch(file.name)) and file.is_file():
            found.setdefault(_SUBSETS[match["subset"]], file)
    return {name: found[name] for name in _SUBSETS.values() if name in found}


def read_idx_folder(path: Path, subset: str | None, files: dict[str, Path]) -> LoadedArrays:
    """Read the images and labels of one of the subsets found by `idx_images_in`, or of all, concatenated."""
    if subset is not None and subset not in files:
        raise ValueError(f"{path} has no subset {subset!r}; its files of images are those of {list(files)}.")
    images, labels = zip(
        *(read_idx_images(file)[:2] for name, file in files.items() if subset in (None, name)), strict=True
    )
    if len({part.shape[1:] for part in images}) > 1 or len({part is None for part in labels}) > 1:
        raise ValueError(
            f"the subsets {list(files)} of {path} do not go together (shapes {[part.shape for part in images]}, labels "
            f"{[part is not None for part in labels]}): read one of them by subset=."
        )
    return np.concatenate(images), None if labels[0] is None else np.concatenate(labels), ()


def read_idx_images(path: Path) -> LoadedArrays:
    """Read images (N, H, W, 1), and labels (N,) from the file beside them if there is one.

    The labels of train-images-idx3-ubyte.gz are in train-labels-idx1-ubyte, gzipped or not. A dot may replace the
    second hyphen. Raises as `read_idx` does, for either file.
    """
    images = read_idx(path, 3)[..., None]
    labels = _labels_beside(path)
    return images, None if labels is None else read_idx_labels(labels), ()


def read_idx_labels(path: Path) -> np.ndarray:
    """Read labels (N,) as int32; raises as `read_idx` does."""
    return read_idx(path, 1).astype(np.int32)


def read_idx(path: Path, axes: int) -> np.ndarray:
    """Read an array of unsigned bytes with `axes` axes, 3 for images and 1 for labels.

    The announced shape is compared with the size of the file before memory is allocated.
    """
    with ExitStack() as opened:
        plain = opened.enter_context(open_regular(path))
        with refuse_errors(path, "idx file", DOWNLOAD_AGAIN):
            file = opened.enter_context(gzip.GzipFile(fileobj=plain)) if path.suffix == ".gz" else plain
            shape = _shape(file, path, axes)
            _check_length(path, shape)
            values = np.empty(shape, np.uint8)
            read_exactly(file, memoryview(values).cast("B"))
            if file.read(1):
                raise RefusedFileError(f"{path} goes on after the {values.size} bytes that it announces: fetch again.")
    return values


def _labels_beside(path: Path) -> Path | None:
    name = path.name.removesuffix(".gz").replace("images", "labels").replace("idx3", "idx1")
    if name == path.name.removesuffix(".gz"):
        return None
    choices = (path.with_name(name), path.with_name(f"{name}.gz"))
    return next((choice for choice in choices if choice.is_file()), None)


def _shape(file: BufferedIOBase, path: Path, axes: int) -> tuple[int, ...]:
    header = file.read(4 + 4 * axes)
    if header[:4] != bytes([0, 0, _UNSIGNED_BYTES, axes]):
        raise RefusedFileError(
            f"{path} begins with {header[:4].hex(' ') or 'nothing'}; expected 00 00 08 {axes:02x}, the mark of idx "
            f"{'images' if axes == 3 else 'labels'} in unsigned bytes{_gzip_hint(path, header)}."
        )
    if len(header) < 4 + 4 * axes:
        raise EOFError("it ends within its header")
    count, *sides = struct.unpack(f">{axes}I", header[4:])
    if not count or (sides and not 1 <= min(sides) <= max(sides) <= _MAX_SIDE):
        raise RefusedFileError(
            f"{path} announces the shape {(count, *sides)}; expected at least one, with sides of 1 to {_MAX_SIDE}."
        )
    return count, *sides


def _gzip_hint(path: Path, header: bytes) -> str:
    gzipped = header.startswith(b"\x1f\x8b") and path.suffix != ".gz"
    return ": it is gzipped, so give it a name that ends in .gz" if gzipped else ""


def _check_length(path: Path, shape: tuple[int, ...]) -> None:
    announced, there = math.prod(shape), path.stat().st_size
    if announced > _MAX_FILE_BYTES:
        raise RefusedFileError(
            f"{path} announces {shape}, {announced} bytes; idx files are read up to {_MAX_FILE_BYTES}."
        )
    whole = announced + 4 + 4 * len(shape)
    fits = whole <= _DEFLATE * there if path.suffix == ".gz" else whole == there
    if not fits:
        raise RefusedFileError(
            f"{path} announces {shape}, {announced} bytes, which its {there} bytes cannot hold, or do not hold alone: "
            "fetch it again."
        )
    check_expansion(path, announced, bytes_on_disk(path))
