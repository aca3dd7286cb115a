"""Opening and refusing untrusted files, and limits on how far they may expand."""

from __future__ import annotations

import stat
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedIOBase, BufferedReader
from pathlib import Path

# The most that a file may expand: datasets expand less, bombs more (docs/measurements.md, `data.load_images`).
MAX_EXPANSION = 250
ALWAYS_ALLOWED = 2**29  # bytes that any file may expand to
CHUNK = 2**20  # bytes per read


class RefusedFileError(ValueError):
    """A file is broken or untrustworthy; the message names it, says what is wrong and what to do."""


def open_regular(path: Path) -> BufferedReader:
    """Open a regular file in binary mode. A pipe could block for ever, and a device may have no end."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise RefusedFileError(f"{path} is a folder, pipe, socket or device; give a plain file.")
        return path.open("rb")
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{path} does not exist (looked in {Path.cwd()}).") from error
    except OSError as error:
        raise RefusedFileError(f"{path} is not readable ({error.strerror}): change its mode, or drop it.") from error


def bytes_on_disk(path: Path) -> int:
    """Return the bytes that a file occupies on disk, without the holes of a sparse file."""
    found = path.stat()
    blocks = 512 * getattr(found, "st_blocks", 0)
    return min(found.st_size, blocks) if blocks else found.st_size


def check_expansion(what: str | Path, inflated: int, stored: int) -> None:
    """Refuse contents far larger in memory than on disk."""
    if inflated > max(ALWAYS_ALLOWED, MAX_EXPANSION * stored):
        raise RefusedFileError(
            f"{what} grows from {stored:,} bytes on the disk to {inflated:,} or more in memory, over {MAX_EXPANSION} "
            "times: it looks like a bomb. If you trust it, unpack it and save it again as a plain .npy."
        )


@contextmanager
def refuse_errors(what: str | Path, kind: str, remedy: str) -> Iterator[None]:
    """Turn any error of a decoder into a `RefusedFileError`, and silence its warnings."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except RefusedFileError:
        raise
    except Exception as error:  # decoders raise struct.error, IndexError, RecursionError, MemoryError …
        reason = f"{error}"[:200] or type(error).__name__
        raise RefusedFileError(f"{what} is not a readable {kind} ({reason}): {remedy}.") from error


@contextmanager
def prefixing_errors(path: str | Path) -> Iterator[None]:
    """Turn ValueErrors about the contents of a file into ones that name it."""
    try:
        yield
    except RefusedFileError:
        raise
    except ValueError as error:
        raise RefusedFileError(f"{path}: {error}") from error


def read_exactly(file: BufferedIOBase, target: memoryview) -> None:
    """Fill `target` chunk by chunk, without a second buffer."""
    done = 0
    while done < len(target):
        read = file.readinto(target[done : done + CHUNK])
        if not read:
            raise EOFError(f"{len(target) - done} bytes are missing")
        done += read
