"""Where a run writes: one fresh directory each."""

import re
from datetime import datetime
from pathlib import Path


def run_directory(root: Path | str, name: str) -> Path:
    """Makes and returns root/name/<local time>/, with _2, _3, … added where that exists: no run overwrites another.

    Raises ValueError for a name that is not one plain path component.
    """
    if not re.fullmatch(r"\w[\w.-]*", name):
        raise ValueError(
            f"a run's name is letters, digits, '_', '-' and '.', beginning with a letter or digit; got {name!r}"
        )
    time = datetime.now().strftime("%Y-%m-%d_%H-%M-%S")
    directory, i = Path(root) / name / time, 1
    while True:
        try:
            directory.mkdir(parents=True)
        except FileExistsError:
            i += 1
            directory = directory.with_name(f"{time}_{i}")
        else:
            return directory
