"""The disk that a file lies on, for error messages."""

import os
import shutil
from pathlib import Path


def describe_disk(path: Path) -> str:
    """Return the mount point of the disk under `path` and its free space; the path need not exist."""
    try:
        place = next(p for p in (path, *path.parents) if p.exists()).resolve()
        mount = next(p for p in (place, *place.parents) if os.path.ismount(p))
        room = shutil.disk_usage(place)
    except (OSError, StopIteration):
        return "disk unknown"
    return f"disk {mount}: {room.free / 1e6:,.1f} MB of {room.total / 1e6:,.1f} MB free"
