"""The published dSprites file."""

from __future__ import annotations

import zipfile
import zlib
from io import BufferedIOBase
from pathlib import Path
from tokenize import TokenError

import numpy as np

from jaxgen.data.dsprites.images import DSprites
from jaxgen.data.dsprites.lattice import COUNT, SIZES, dsprites_index
from jaxgen.data.dsprites.render import SIDE

_KEYS = ("imgs", "latents_classes")
_BLOCK = 4096  # images unpacked at once, 16 MiB


def load_dsprites(path: str | Path, *, size: int = SIDE, average: bool = False) -> DSprites:
    """Read `dsprites_ndarray_co1sh3sc6or40x32y32_64x64.npz`, or a part of it in the same form, into eighth of its 3 GB.

    The file is an archive of `imgs` (N, 64, 64), uint8 of 0 and 1, and of `latents_classes` (N, 6), and is read in
    blocks: the images are kept as bits. Its pickled `metadata` is never opened, since that can run code.

    Args:
        path: the .npz.
        size: height and width in pixels: 64, or 32 or 16 with `average`.
        average: shrink by averaging boxes of pixels, as in `render_dsprites`.

    Raises:
        FileNotFoundError: no such file.
        ValueError: no such archive, missing, broken or pickled arrays, other shapes or dtypes, more images than the
            lattice has, pixels other than 0 and 1, classes outside it, or a smaller size without `average`.
    """
    path = Path(path).expanduser()
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist (looked in {Path.cwd()}).")
    if size != SIDE and not average:
        raise ValueError(f"images of a file have {SIDE}×{SIDE} pixels: size={size} needs average=True.")
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            if missing := [key for key in _KEYS if f"{key}.npy" not in names]:
                raise ValueError(f"{path} holds {names} but not {missing}: is it the dSprites file?")
            classes = _read_classes(archive, path)
            return DSprites(dsprites_index(classes), size, average, _read_bits(archive, path, len(classes)))
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError) as error:
        raise ValueError(f"{path} is not a readable .npz ({error}): it may be cut short; fetch it again.") from error


def _read_classes(archive: zipfile.ZipFile, path: Path) -> np.ndarray:
    with archive.open("latents_classes.npy") as file:
        (count, *rest), dtype = _header(file, f"{path}[latents_classes]", 2)
        if rest != [len(SIZES)] or not np.issubdtype(dtype, np.integer) or not 1 <= count <= COUNT:
            raise ValueError(
                f"{path}[latents_classes] is {dtype} of shape {(count, *rest)}; expected integers (N, 6), N to {COUNT}."
            )
        content = _exactly(file, count * len(SIZES) * dtype.itemsize)
        _end(file)
        return np.frombuffer(content, dtype).reshape(count, len(SIZES))


def _read_bits(archive: zipfile.ZipFile, path: Path, count: int) -> np.ndarray:
    with archive.open("imgs.npy") as file:
        shape, dtype = _header(file, f"{path}[imgs]", 3)
        if shape != (count, SIDE, SIDE) or dtype != np.uint8:
            raise ValueError(f"{path}[imgs] is {dtype} of shape {shape}; expected uint8 ({count}, {SIDE}, {SIDE}).")
        bits = np.empty((count, SIDE * SIDE // 8), np.uint8)
        for start in range(0, count, _BLOCK):
            rows = min(_BLOCK, count - start)
            block = np.frombuffer(_exactly(file, rows * SIDE * SIDE), np.uint8)
            if block.max() > 1:
                raise ValueError(f"{path}[imgs] has values up to {block.max()}; dSprites are binary, 0 and 1.")
            bits[start : start + rows] = np.packbits(block.reshape(rows, SIDE * SIDE), axis=1)
        _end(file)
        return bits


def _header(file: BufferedIOBase, name: str, ndim: int) -> tuple[tuple[int, ...], np.dtype]:
    """The shape and dtype that an array in the .npy format announces; nothing but numbers in the usual order passes."""
    readers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    try:
        shape, column_major, dtype = readers[np.lib.format.read_magic(file)](file)
    except (ValueError, KeyError, TokenError) as error:
        raise ValueError(f"{name} is not an array of NumPy's format ({error}): fetch the file again.") from error
    if dtype.hasobject:
        raise ValueError(f"{name} is pickled, and loading that can run code; expected plain numbers.")
    if column_major or len(shape) != ndim:
        raise ValueError(
            f"{name} has shape {shape}{' in column order' * column_major}; expected {ndim} axes, row-major."
        )
    return shape, dtype


def _exactly(file: BufferedIOBase, count: int) -> bytes:
    content = file.read(count)
    if len(content) < count:
        raise EOFError(f"{count - len(content)} bytes are missing")
    return content


def _end(file: BufferedIOBase) -> None:
    # Reading past the end is also what has the archive's checksum compared.
    if file.read(1):
        raise EOFError("an array is longer than it announces")
