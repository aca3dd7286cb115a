"""A lock file that one process at a time can hold; the system releases it when that process ends."""

import os
import socket
import weakref
from contextlib import suppress
from io import FileIO
from pathlib import Path

try:
    import fcntl
except ImportError:  # not on Windows
    fcntl = None

_open_locks: weakref.WeakSet[FileIO] = weakref.WeakSet()


class DirectoryInUse(RuntimeError):
    """Another run is writing to this directory."""


def acquire_lock(path: Path) -> FileIO | None:
    """Lock the file at `path`, creating it if needed, until the returned file is closed or the process ends.

    Returns:
        The open file, or None where the system or the disk does not support locks.

    Raises:
        DirectoryInUse: if the file is locked; the message names the process and the host.
    """
    if fcntl is None:
        return None
    file = path.open("a+b", buffering=0)
    this_process = f"process {os.getpid()} on {socket.gethostname()}"
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.seek(0)
        owner = file.read(200).decode(errors="replace").strip() or "another process"
        file.close()
        here = owner == this_process
        raise DirectoryInUse(
            f"{path.parent} is in use by {owner}"
            + (", this very one: close its other Checkpoints first" if here else ": wait for it, or stop it first")
            + ", or train in another directory"
        ) from None
    except OSError:
        file.close()
        return None
    with suppress(OSError):  # on a full disk the lock works, but does not name its owner
        file.truncate(0)
        file.write(this_process.encode())
    _open_locks.add(file)
    return file


def _close_locks() -> None:
    # a forked worker that outlives its parent must not keep the lock
    for file in list(_open_locks):
        file.close()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_close_locks)
