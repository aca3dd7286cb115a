"""The directory that a run writes to, and the environment it ran in."""

import os
import platform
import re
from contextlib import suppress
from datetime import datetime
from itertools import count
from pathlib import Path

import jax

import jaxgen


def run_directory(root: Path | str, name: str) -> Path:
    """Create the directory root/name/<local time>/; append _2, _3, … if it exists, so that no run overwrites another.

    Args:
        root: directory of all runs.
        name: the run's name: letters, digits, '_', '-' and '.', beginning with a letter or digit.

    Returns:
        The path of the new directory.

    Raises:
        ValueError: if the name has other characters.
    """
    if not re.fullmatch(r"\w[\w.-]*", name):
        raise ValueError(f"a run's name is letters, digits, '_', '-', '.', the first a letter or digit; got {name!r}")
    directory = first = Path(root) / name / datetime.now().strftime("%Y-%m-%d_%H-%M-%S")
    for i in count(2):
        with suppress(FileExistsError):
            directory.mkdir(parents=True)
            break
        directory = first.with_name(f"{first.name}_{i}")
    return directory


def describe_environment() -> dict[str, str]:
    """Return the versions of Python, jax and jaxgen, the devices and the operating system."""
    devices = jax.devices()
    return {
        "jaxgen": jaxgen.__version__,
        "jax": jax.__version__,
        "Python": platform.python_version(),
        "device": f"{os.cpu_count()} CPU cores"
        if devices[0].platform == "cpu"
        else f"{len(devices)} × {devices[0].device_kind}",
        "system": f"{platform.system()} {platform.machine()}",
    }
