"""How files of strangers are opened and refused, and how far they may grow when they are unpacked."""

from __future__ import annotations

import stat
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedIOBase, BufferedReader
from pathlib import Path

# Times that a file may grow: published sets reach 116 (dSprites, deflated) and photographs 20; a bomb of zeros reaches
# 1032 in a gzip or zip, 7000 in an xz and a million in an image.
MAX_EXPANSION = 250
ALWAYS_ALLOWED = 2**29  # bytes that any file may grow to, however small it is
CHUNK = 2**20  # bytes read at once


class RefusedFileError(ValueError):
    """A file that is not read; the message names it, says what is wrong with it and what to do."""


def open_regular(path: Path) -> BufferedReader:
    """Open a file for reading in binary, if it is one: a pipe would be waited for, and a device may never end.

    Raises:
        FileNotFoundError: no such file.
        RefusedFileError: a folder, pipe, socket or device, or a file that may not be read.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise RefusedFileError(f"{path} is a folder, pipe, socket or device; give a plain file.")
        return path.open("rb")
    except FileNotFoundError:
        raise
    except OSError as error:
        raise RefusedFileError(f"{path} is not readable ({error.strerror}): change its mode, or drop it.") from error


def bytes_on_disk(path: Path) -> int:
    """Return the bytes that a file takes on the disk: its holes, which are read as zeros, count for nothing."""
    found = path.stat()
    blocks = 512 * getattr(found, "st_blocks", 0)
    return min(found.st_size, blocks) if blocks else found.st_size


def check_expansion(what: str | Path, inflated: int, stored: int) -> None:
    """Refuse what becomes far larger in memory than it is on the disk.

    Raises:
        RefusedFileError: `inflated` bytes are above `ALWAYS_ALLOWED` and more than `MAX_EXPANSION` times the `stored` ones.
    """
    if inflated > max(ALWAYS_ALLOWED, MAX_EXPANSION * stored):
        raise RefusedFileError(
            f"{what} grows from {stored:,} bytes on the disk to {inflated:,} or more in memory, over {MAX_EXPANSION} "
            "times: it looks like a bomb. If you trust it, unpack it and save it again as a plain .npy."
        )


@contextmanager
def refuse_errors(what: str | Path, kind: str, remedy: str) -> Iterator[None]:
    """Turn whatever a decoder trips over in a hostile file into a `RefusedFileError`, and silence its warnings."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except RefusedFileError:
        raise
    except Exception as error:  # decoders raise anything: struct.error, IndexError, RecursionError, MemoryError …
        reason = f"{error}"[:200] or type(error).__name__
        raise RefusedFileError(f"{what} is not a readable {kind} ({reason}): {remedy}.") from error


@contextmanager
def prefixing_errors(path: str | Path) -> Iterator[None]:
    """Put the file's name before what is wrong with its contents."""
    try:
        yield
    except RefusedFileError:
        raise
    except ValueError as error:
        raise RefusedFileError(f"{path}: {error}") from error


def read_exactly(file: BufferedIOBase, target: memoryview) -> None:
    """Fill `target`, in pieces, so that nothing but it takes memory.

    Raises:
        EOFError: the file ends before.
    """
    done = 0
    while done < len(target):
        read = file.readinto(target[done : done + CHUNK])
        if not read:
            raise EOFError(f"{len(target) - done} bytes are missing")
        done += read
