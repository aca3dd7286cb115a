"""NumPy's .npz archives, opened without trusting what they announce."""

from __future__ import annotations

import zipfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np

from jaxgen.data.reading.npy import DOWNLOAD_AGAIN, Header, check_length, read_header, read_values
from jaxgen.data.reading.untrusted import CHUNK, RefusedFileError, bytes_on_disk, open_regular, refuse_errors

_SHOWN = 10  # keys in an error message


class Member(NamedTuple):
    """An array of an archive, open at its first value."""

    file: zipfile.ZipExtFile
    header: Header
    there: int
    stored: int
    name: str

    def check_length(self) -> None:
        """Refuse an array of another size than it announces."""
        check_length(self.header, self.there, self.name)

    def values(self) -> np.ndarray:
        """Read the array; raises as `read_values` does."""
        return read_values(self.file, self.header, self.there, self.stored, self.name)


class NpzArchive:
    """The arrays of an .npz, and a context manager. Only the arrays asked for are unpacked, in memory.

    Attributes:
        keys: the names of the arrays. Members that are not .npy files are ignored.
    """

    keys: tuple[str, ...]

    def __init__(self, path: Path):
        """Open the archive and read its directory."""
        self._path = path
        self._source = _Source(path)
        try:
            with refuse_errors(path, ".npz", DOWNLOAD_AGAIN):
                self._zip = zipfile.ZipFile(self._source)
            names = self._zip.namelist()
            self._check(names)
        except BaseException:
            self._source.close()
            raise
        self.keys = tuple(name.removesuffix(".npy") for name in names if name.endswith(".npy"))

    def __enter__(self) -> NpzArchive:
        return self

    def __exit__(self, *exception: object) -> None:
        self._zip.close()
        self._source.close()

    @property
    def shown(self) -> str:
        """The first keys, for error messages."""
        more = len(self.keys) - _SHOWN
        return f"{[key[:80] for key in self.keys[:_SHOWN]]}{f' and {more} more' if more > 0 else ''}"

    @contextmanager
    def open(self, key: str) -> Iterator[Member]:
        """Open an array of `keys`."""
        name, info = f"{self._path}[{key}]", self._zip.getinfo(f"{key}.npy")
        if info.flag_bits & 1:
            raise RefusedFileError(f"{name} is encrypted: unpack it, and save it with numpy.savez.")
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            # Python decompresses the others without bound.
            raise RefusedFileError(f"{name} is compressed in another way than numpy.savez_compressed does: use that.")
        if info.compress_size > self._path.stat().st_size:
            raise RefusedFileError(f"{name} has {info.compress_size} bytes, more than the file: {DOWNLOAD_AGAIN}.")
        with refuse_errors(self._path, ".npz", DOWNLOAD_AGAIN):
            file = self._zip.open(info)
        with file:
            stored = min(info.compress_size, bytes_on_disk(self._path))
            yield Member(file, read_header(file, name), info.file_size, stored, name)

    def _check(self, names: list[str]) -> None:
        if twice := [name for name, count in Counter(names).items() if count > 1]:
            raise RefusedFileError(f"{self._path} holds {twice[0][:80]!r} twice: save it again with numpy.savez.")
        for name in names:
            if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts or "\\" in name:
                raise RefusedFileError(f"{self._path} holds {name[:80]!r}, a path out of its folder: do not trust it.")


class _Source(BufferedReader):
    """A file that limits single reads, as `ZipFile` reads the whole directory in one."""

    def __init__(self, path: Path):
        super().__init__(open_regular(path).detach())
        self._path, self._end = path, path.stat().st_size

    def read(self, size: int | None = -1) -> bytes:
        asked = self._end - self.tell() if size is None or size < 0 else size
        if asked > CHUNK:
            raise RefusedFileError(f"{self._path} lists its members in {asked} bytes; arrays need at most {CHUNK}.")
        return super().read(size)
