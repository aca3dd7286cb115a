"""Results of finished stages, kept in the run's folder so that a resumed run does not compute them again."""

import io
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import jax
import numpy as np

from jaxgen.core import all_processes, write_atomically

Result = TypeVar("Result")

# A record holds results only: NamedTuples of the experiments and the library, arrays, numbers, text and containers.
_ALLOWED = ("experiments.", "jaxgen.", "numpy.", "collections.")
_BUILTINS = {"complex", "dict", "frozenset", "list", "set", "slice", "tuple", "range", "bytearray"}


class _Writer(pickle.Pickler):
    """Writes records, with NumPy's arrays in place of JAX's."""

    def reducer_override(self, obj: Any) -> Any:
        return np.asarray(obj).__reduce__() if isinstance(obj, jax.Array) else NotImplemented


class _Reader(pickle.Unpickler):
    """Reads records, and refuses any other class: a run's folder may come from someone else."""

    def find_class(self, module: str, name: str) -> Any:
        plain = module.startswith(_ALLOWED) or module in ("numpy", "collections")
        if (plain and "." not in name) or (module == "builtins" and name in _BUILTINS):
            found = super().find_class(module, name)
            if isinstance(found, type) or module.startswith("numpy"):
                return found
        raise pickle.UnpicklingError(f"a record of a stage may not hold {module}.{name}")


def recorded(path: Path, compute: Callable[[], Result]) -> Result:
    """The result recorded at this path, or that of `compute()`, which is then recorded.

    Several processes compute together or not at all; the first writes. A record that cannot be read is computed anew.

    Args:
        path: the record's file.
        compute: returns numbers, texts, arrays, or NamedTuples, lists and dicts of them.

    Returns:
        The result, with NumPy arrays in place of JAX's.

    Raises:
        OSError: if the record cannot be written.
        pickle.UnpicklingError: if the result holds anything else.
    """
    found, result = _read(path)
    if all_processes(found):
        return result
    record = io.BytesIO()
    _Writer(record).dump(compute())
    record.seek(0)
    result = _Reader(record).load()  # what a resumed run will find
    if jax.process_index() == 0:
        write_atomically(path, lambda file: file.write(record.getvalue()))
    return result


def _read(path: Path) -> tuple[bool, Any]:
    if not path.is_file():
        return False, None
    try:
        with path.open("rb") as file:
            return True, _Reader(file).load()
    except Exception as error:  # a damaged file may raise anything
        print(f"{path} cannot be read ({type(error).__name__}: {error}): this stage is computed again")
        return False, None
