"""A file that one process at a time can hold, and that the system takes back however that process ends."""

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

_held: weakref.WeakSet[FileIO] = weakref.WeakSet()


class DirectoryInUse(RuntimeError):
    """Another run is writing to this directory."""


def hold(path: Path) -> FileIO | None:
    """Hold the file at `path`, made where there is none, until what is returned is closed or this process ends.

    Raises DirectoryInUse, with the process and host that hold it, if it is held. Where the system or the disk knows no
    locks, nothing is held and None returned.
    """
    if fcntl is None:
        return None
    file = path.open("a+b", buffering=0)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.seek(0)
        owner = file.read(200).decode(errors="replace").strip() or "another process"
        file.close()
        here = owner == _me()
        raise DirectoryInUse(
            f"{path.parent} is in use by {owner}"
            + (", this very one: close its other Checkpoints first" if here else ": wait for it, or stop it first")
            + ", or train in another directory"
        ) from None
    except OSError:
        file.close()
        return None
    with suppress(OSError):  # a full disk: held all the same, by nobody in particular
        file.truncate(0)
        file.write(_me().encode())
    _held.add(file)
    return file


def _me() -> str:
    return f"process {os.getpid()} on {socket.gethostname()}"


def _let_go() -> None:
    # a forked worker that outlives its parent must not keep the file held
    for file in list(_held):
        file.close()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_let_go)
