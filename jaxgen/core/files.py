"""Files that are written whole or not at all."""

import os
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any


def write_atomically(path: Path | str, write: Callable[[IO[bytes]], Any]) -> None:
    """Write a file by replacing it with a temporary neighbour, so that no reader sees half of it.

    Args:
        path: the file; its directory is created.
        write: a function that writes the content to the open binary file that it is given.

    Raises:
        OSError: if the file cannot be written, such as on a full disk. The error names the file. An old file is then
            left as it was.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{uuid.uuid4().hex}.partial")
    try:
        with partial.open("wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError as error:  # a full disk is reported without the file's name
        raise OSError(error.errno, error.strerror or str(error), str(path)) from error
    finally:
        partial.unlink(missing_ok=True)
