"""JSON files of results and settings, written atomically."""

import dataclasses
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jaxgen.core import write_atomically


def to_jsonable(value: Any, where: str = "value") -> Any:
    """Convert a value to what JSON can hold.

    Arrays and scalars of NumPy and JAX become numbers, NaN and infinity become None, dataclasses, named tuples and
    mappings become objects, and paths become strings.

    Raises:
        TypeError: if it is anything else. The message holds the path to it, which begins with `where`.
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
        return {str(key): to_jsonable(item, f"{where}[{key!r}]") for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [to_jsonable(item, f"{where}[{i}]") for i, item in enumerate(value)]
    raise TypeError(f"{where} is a {type(value).__name__}, which JSON cannot hold: give numbers, text, lists, mappings")


def write_json(path: Path | str, value: Any) -> None:
    """Write a value to a JSON file atomically.

    Args:
        path: the file; its directory is created.
        value: numbers, strings, arrays, lists, mappings, dataclasses or named tuples. NaN and infinity become null.

    Raises:
        TypeError: if JSON cannot hold the value.
    """
    text = json.dumps(to_jsonable(value), indent=2, ensure_ascii=False, allow_nan=False)
    write_atomically(path, lambda file: file.write((text + "\n").encode()))
