"""The bytes of a tar, plain or compressed, read forwards within limits."""

from __future__ import annotations

import bz2
import gzip
import lzma
import re
from io import BufferedIOBase, BufferedReader
from pathlib import Path

from jaxgen.data.reading.untrusted import CHUNK, MAX_EXPANSION, RefusedFileError, open_regular, refuse_errors

ALWAYS_ALLOWED = 2**26  # bytes that any tar may unpack to; so many headers take seconds
_HEADER = 2**14  # bytes of one header with its extensions and long names; usually 512
_OPENERS = (
    (re.compile(rb"\x1f\x8b\x08"), gzip.open),
    (re.compile(rb"BZh[1-9]1AY&SY"), bz2.open),
    (re.compile(rb"\xfd7zXZ\0"), lzma.open),
)


class TarStream:
    """A forward-only file for `tarfile`, and a context manager, that limits what one header can read.

    `tarfile` alone reads extended headers of any stated length whole, follows negative sizes backwards for ever, and
    follows chains of headers without end. Here each of these is refused.
    """

    def __init__(self, path: Path):
        """Open the file; it is decompressed as it is read."""
        self._path = path
        self._plain = open_regular(path)
        with refuse_errors(path, "tar", "fetch it again"):
            self._file = _unpacked(self._plain)
        size = path.stat().st_size
        self._limit = size if self._file is self._plain else max(ALWAYS_ALLOWED, MAX_EXPANSION * size)
        self._position, self._allowed = 0, _HEADER
        self._last = b""

    def __enter__(self) -> TarStream:
        return self

    def __exit__(self, *exception: object) -> None:
        self._file.close()
        self._plain.close()

    def allow(self, size: int = _HEADER) -> None:
        """Allow the next `size` bytes to be read, of a header or of a member's content."""
        self._allowed = size

    @property
    def ended_well(self) -> bool:
        """Whether the last block read was zeros or the end of the file, as after the last member."""
        return not self._last.strip(b"\0")

    def tell(self) -> int:
        """Return the position in the tar."""
        return self._position

    def seek(self, position: int) -> None:
        """Move forwards to `position`."""
        if position < self._position:
            raise RefusedFileError(f"{self._path} has a member of negative size: do not trust it.")
        self._check(position)
        if self._file is self._plain:
            self._position = self._file.seek(position)
        while self._position < position and (passed := self._file.read(min(CHUNK, position - self._position))):
            self._position += len(passed)

    def read(self, size: int) -> bytes:
        """Read `size` bytes, or fewer at the end."""
        if not 0 <= size <= self._allowed:
            raise RefusedFileError(
                f"{self._path} has a header of {size} bytes or more; expected at most {_HEADER}: pack its files again, "
                "with tar --format=ustar."
            )
        self._check(self._position + size)
        self._last = self._file.read(size)
        self._allowed -= len(self._last)
        self._position += len(self._last)
        return self._last

    def _check(self, position: int) -> None:
        # A plain tar cannot expand.
        if self._file is not self._plain and position > self._limit:
            raise RefusedFileError(
                f"{self._path} unpacks to more than {self._limit:,} bytes, over {MAX_EXPANSION} times its size: it "
                "looks like a bomb. If you trust it, unpack it and give the folder."
            )


def _unpacked(plain: BufferedReader) -> BufferedIOBase:
    begin = plain.peek(16)
    return next((opener(plain) for mark, opener in _OPENERS if mark.match(begin)), plain)
