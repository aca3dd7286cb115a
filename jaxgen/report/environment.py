"""What a run ran on, so that its numbers can be found again."""

import os
import platform
from importlib.metadata import PackageNotFoundError, version

import jax


def environment() -> dict[str, str]:
    """Returns the versions of Python, jax and jaxgen and the devices in use."""
    devices = jax.devices()
    kind = devices[0].device_kind
    device = f"{os.cpu_count()} CPU cores" if devices[0].platform == "cpu" else f"{len(devices)} × {kind}"
    return {
        "jaxgen": _version("jaxgen"),
        "jax": jax.__version__,
        "Python": platform.python_version(),
        "device": device,
        "system": f"{platform.system()} {platform.machine()}",
    }


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:  # run from a source tree that was not installed
        return "not installed"
