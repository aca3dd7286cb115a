"""The published dSprites file."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from jaxgen.data.dsprites.images import DSprites
from jaxgen.data.dsprites.lattice import COUNT, SIZES, dsprites_index
from jaxgen.data.dsprites.render import SIDE, check_size
from jaxgen.data.reading.npy import DOWNLOAD_AGAIN
from jaxgen.data.reading.npz import Member, NpzArchive
from jaxgen.data.reading.untrusted import RefusedFileError, prefixing_errors, read_exactly, refuse_errors

_KEYS = ("imgs", "latents_classes")
_BLOCK = 4096  # images unpacked at once, 16 MiB


def load_dsprites(path: str | Path, *, size: int = SIDE, average: bool = False) -> DSprites:
    """Read the published file of dSprites, `dsprites_ndarray_co1sh3sc6or40x32y32_64x64.npz`, or a part in its format.

    The file holds `imgs` (N, 64, 64), uint8 of 0 and 1, and `latents_classes` (N, 6). It is read in blocks and kept as
    bits, in an eighth of its 3 GB. Its pickled `metadata` is not read, as unpickling can run code.

    Args:
        path: the .npz file.
        size: height and width in pixels: 64, or 32 or 16 with `average`.
        average: shrink by averaging boxes of pixels, as in `render_dsprites`.

    Returns:
        The images of the file, as bits.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is no such archive, an array is missing, broken, pickled or of another shape or dtype, there
            are more images than the lattice has, a pixel is neither 0 nor 1, a class is outside the lattice, or
            `size` is not 64, nor 32 or 16 with `average`.
    """
    path = Path(path).expanduser()
    check_size(size)
    if size != SIDE and not average:
        raise ValueError(f"images of a file have {SIDE}×{SIDE} pixels: size={size} needs average=True.")
    with NpzArchive(path) as archive:
        if missing := [key for key in _KEYS if key not in archive.keys]:
            raise ValueError(f"{path} holds {archive.shown} but not {missing}: is it the dSprites file?")
        classes = _read_classes(archive)
        with prefixing_errors(path):
            index = dsprites_index(classes)
        return DSprites(index, size, average, _read_bits(archive, len(classes)))


def _read_classes(archive: NpzArchive) -> np.ndarray:
    with archive.open("latents_classes") as member:
        shape, dtype = _header_with_axes(member, 2)
        if shape[1] != len(SIZES) or not np.issubdtype(dtype, np.integer) or not 1 <= shape[0] <= COUNT:
            raise RefusedFileError(f"{member.name} is {dtype} of shape {shape}; expected integers (N, 6), N to {COUNT}")
        return member.values()


def _read_bits(archive: NpzArchive, count: int) -> np.ndarray:
    with archive.open("imgs") as member:
        shape, dtype = _header_with_axes(member, 3)
        if shape != (count, SIDE, SIDE) or dtype != np.uint8:
            raise RefusedFileError(f"{member.name} is {dtype} of shape {shape}; expected uint8 ({count}, 64, 64).")
        member.check_length()
        bits = np.empty((count, SIDE * SIDE // 8), np.uint8)
        block = np.empty((min(count, _BLOCK), SIDE * SIDE), np.uint8)
        with refuse_errors(member.name, "array of numbers", DOWNLOAD_AGAIN):
            for start in range(0, count, _BLOCK):
                rows = block[: count - start]
                read_exactly(member.file, memoryview(rows).cast("B"))
                if rows.max() > 1:
                    raise RefusedFileError(f"{member.name} has values up to {rows.max()}; dSprites are binary.")
                bits[start : start + len(rows)] = np.packbits(rows, axis=1)
        return bits


def _header_with_axes(member: Member, axes: int) -> tuple[tuple[int, ...], np.dtype]:
    shape, dtype, column_major, _ = member.header
    if column_major or len(shape) != axes:
        order = " in column order" * column_major
        raise RefusedFileError(f"{member.name} has shape {shape}{order}; expected {axes} axes, row-major.")
    return shape, dtype
