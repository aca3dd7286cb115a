"""Results and configurations as JSON, written whole or not at all."""

import dataclasses
import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np


def plain(value: Any, where: str = "value") -> Any:
    """Returns value as what JSON can hold: arrays and NumPy or JAX scalars as numbers, NaN and infinity as None.

    Dataclasses, named tuples and mappings become objects. Raises TypeError, with the path to it, for anything else.
    """
    if isinstance(value, np.ndarray | np.generic | jax.Array):
        value = np.asarray(value).tolist()
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Path):
        return str(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if hasattr(value, "_asdict"):
        value = value._asdict()
    if isinstance(value, Mapping):
        return {str(key): plain(item, f"{where}[{key!r}]") for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item, f"{where}[{i}]") for i, item in enumerate(value)]
    raise TypeError(
        f"{where} is a {type(value).__name__}, which JSON cannot hold: give numbers, text, lists or mappings"
    )


def write_json(path: Path | str, value: Any) -> None:
    """Writes value to a JSON file, whole or not at all, NaN and infinity as null; raises TypeError as `plain` does."""
    text = json.dumps(plain(value), indent=2, ensure_ascii=False, allow_nan=False)
    write_whole(path, (text + "\n").encode())


def write_whole(path: Path | str, content: bytes) -> None:
    """Writes a file through a temporary neighbour, so that a reader or a crash never meets half of it."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_bytes(content)
        temporary.replace(path)
    except OSError as error:
        # a full disk is reported without the file's name
        raise OSError(error.errno, error.strerror, str(path)) from error
    finally:
        temporary.unlink(missing_ok=True)
