"""A fingerprint of a function's computation, the same in every process and run of one version of JAX."""

import enum
from collections.abc import Callable
from hashlib import blake2b
from typing import Any

import jax
import numpy as np
from jax.extend.core import ClosedJaxpr, Jaxpr, Literal
from jaxtyping import PyTree


def fingerprint(function: Callable[..., PyTree], *arguments: PyTree) -> str:
    """A digest of the jaxpr of the function: its operations, shapes, dtypes and the constants that it closes over.

    Names, addresses and positions in source files are left out. Two functions that differ only in what a Python
    callback does have one fingerprint.
    """
    digest = blake2b(digest_size=16)
    _add(digest.update, jax.make_jaxpr(function)(*arguments))
    return digest.hexdigest()


def _add(update: Callable[[bytes], None], value: Any) -> None:
    """Feed a jaxpr, or a parameter of one of its equations, to the digest."""
    match value:
        case ClosedJaxpr() | Jaxpr():  # one class from JAX 0.12 on
            _add(update, list(getattr(value, "consts", ())))
            value = getattr(value, "jaxpr", value)
            numbers: dict[Any, int] = {}
            for variable in [*value.constvars, *value.invars]:
                update(f"{numbers.setdefault(variable, len(numbers))}:{variable.aval.str_short()};".encode())
            for equation in value.eqns:
                update(equation.primitive.name.encode())
                _add(update, [v.val if isinstance(v, Literal) else numbers[v] for v in equation.invars])
                _add(update, {name: param for name, param in sorted(equation.params.items()) if name != "name"})
                for variable in equation.outvars:
                    update(f"{numbers.setdefault(variable, len(numbers))}:{variable.aval.str_short()};".encode())
            _add(update, [v.val if isinstance(v, Literal) else numbers[v] for v in value.outvars])
        case dict():
            _add(update, list(value.items()))
        case list() | tuple():
            update(b"(")
            for item in value:
                _add(update, item)
            update(b")")
        case jax.Array() if jax.dtypes.issubdtype(value.dtype, jax.dtypes.prng_key):
            _add(update, jax.random.key_data(value))
        case jax.Array() | np.ndarray() | np.generic():
            array = np.asarray(value)
            update(f"{array.dtype}{array.shape}".encode() + array.tobytes())
        case enum.Enum():
            update(f"{value!s};".encode())
        case str() | int() | float() | complex() | None | np.dtype():
            update(f"{value};".encode())
        case _:  # a function, a sharding, …: their text may hold an address
            update(type(value).__name__.encode())
