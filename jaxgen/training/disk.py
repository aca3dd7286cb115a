"""What an error about a file should say of its disk."""

import os
import shutil
from pathlib import Path


def disk_of(path: Path) -> str:
    """The disk that `path`, which need not exist, lies on, and the room there, in words."""
    try:
        place = next(p for p in (path, *path.parents) if p.exists()).resolve()
        mount = next(p for p in (place, *place.parents) if os.path.ismount(p))
        room = shutil.disk_usage(place)
    except (OSError, StopIteration):
        return "disk unknown"
    return f"disk {mount}: {room.free / 1e6:,.1f} MB of {room.total / 1e6:,.1f} MB free"
