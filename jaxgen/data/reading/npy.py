"""NumPy's .npy format, for arrays of numbers or text. The header is parsed, never evaluated."""

from __future__ import annotations

import math
import re
from io import BufferedIOBase
from typing import NamedTuple

import numpy as np

from jaxgen.data.reading.untrusted import RefusedFileError, check_expansion, read_exactly, refuse_errors

DOWNLOAD_AGAIN = "it may be cut short; fetch it again"

_MAGIC = b"\x93NUMPY"
_LENGTHS = {b"\1\0": 2, b"\2\0": 4, b"\3\0": 4}  # bytes of the header's length, by version
_MAX_HEADER = 10_000  # bytes, as in NumPy
# Three items in any order. Python 2 wrote 64L for 64.
_HEADER = re.compile(
    r"\{ *(?:(?:'descr': *'(?P<descr>[<>|=]?[a-zA-Z]\d{0,9})'"
    r"|'fortran_order': *(?P<column_major>True|False)"
    r"|'shape': *\((?P<shape>(?:\d{1,19}L?, *)*(?:\d{1,19}L?)?)\)) *(?:, *)?){3}\}"
)


class Header(NamedTuple):
    """The header of an array."""

    shape: tuple[int, ...]
    dtype: np.dtype
    column_major: bool
    length: int  # bytes before the values, the magic string included

    @property
    def nbytes(self) -> int:
        """Size of the values in bytes."""
        return math.prod(self.shape) * self.dtype.itemsize


def read_header(file: BufferedIOBase, name: str) -> Header:
    """Read the header of an array, up to its values."""
    with refuse_errors(name, "array of numbers", DOWNLOAD_AGAIN):
        begin = file.read(8)
        width = _LENGTHS.get(begin[6:])
        if begin[:6] != _MAGIC or width is None:
            raise RefusedFileError(
                f"{name} is not a readable array of numbers: it begins with {begin.hex(' ') or 'nothing'}, not as "
                f"NumPy's format does. {_advice()}"
            )
        length = int.from_bytes(file.read(width), "little")
        if length > _MAX_HEADER:
            raise RefusedFileError(f"{name} has a header of {length} bytes; expected at most {_MAX_HEADER}.")
        text = file.read(length).decode("latin-1").rstrip()
    found = _HEADER.fullmatch(text)
    if found is None or None in found.groups():
        raise RefusedFileError(f"{name} is not a readable array of numbers: its header is {text[:80]!r}. {_advice()}")
    try:
        dtype = np.dtype(found["descr"])
    except (TypeError, ValueError, OverflowError) as error:
        raise RefusedFileError(f"{name} has the dtype {found['descr']!r}, which NumPy does not know.") from error
    if dtype.hasobject:
        raise RefusedFileError(f"{name} is pickled, and loading that can run code. {_advice()}")
    shape = tuple(int(side.rstrip("L")) for side in re.findall(r"\d+L?", found["shape"]))
    return Header(shape, dtype, found["column_major"] == "True", 8 + width + length)


def check_length(header: Header, there: int, name: str) -> None:
    """Compare the size that the header announces with the size of the file, `there`, before any value is read."""
    if header.length + header.nbytes != there:
        raise RefusedFileError(
            f"{name} announces {header.dtype} of shape {header.shape}, {header.nbytes} bytes, but holds "
            f"{there - header.length}: fetch it again."
        )


def read_values(file: BufferedIOBase, header: Header, there: int, stored: int, name: str) -> np.ndarray:
    """Read the values after a header, of a file of `there` bytes that occupies `stored` on disk."""
    check_length(header, there, name)
    if not header.nbytes:
        raise RefusedFileError(f"{name} has shape {header.shape}: there is nothing in it.")
    check_expansion(name, header.nbytes, stored)
    with refuse_errors(name, "array of numbers", DOWNLOAD_AGAIN):
        flat = np.empty(header.nbytes, np.uint8)
        read_exactly(file, memoryview(flat))
        shaped = flat.view(header.dtype).reshape(header.shape, order="F" if header.column_major else "C")
        return shaped if header.dtype.isnative else shaped.astype(header.dtype.newbyteorder("="))


def _advice() -> str:
    return (
        "Pickled objects are refused, since loading them can run code: save a plain array with numpy.save or "
        "numpy.savez."
    )
