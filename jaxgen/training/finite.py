"""Checks that the arrays of a training state are finite."""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, PyTree

# The fields of a TrainState, wherever one lies within a state.
_FIELDS = {"params", "opt_state", "ema", "carry"}


def is_inexact(x: Any) -> bool:
    """Whether x, an array or a number, has a floating-point or complex type."""
    return jnp.issubdtype(x.dtype if hasattr(x, "dtype") else jnp.result_type(x), jnp.inexact)


def first_nonfinite(state: PyTree) -> str | None:
    """Return the path of the first array that is not finite, or None.

    NaN is refused in every array of any pytree. Infinities are refused in the attributes `params` and `ema` only: an
    optimiser may begin with one, such as the lowest loss so far. An attribute `carry` may hold anything.
    """
    paths, arrays, strict = [], [], []
    for path, leaf in jax.tree_util.tree_leaves_with_path(state):
        field = next((name for key in path if (name := getattr(key, "name", None)) in _FIELDS), None)
        if field != "carry" and is_inexact(leaf):
            paths.append(path)
            arrays.append(leaf)
            strict.append(field in ("params", "ema"))
    found = zip(paths, jax.device_get(_nonfinite(arrays, strict)), strict=True)
    return next((jax.tree_util.keystr(path, simple=True, separator="/") for path, bad in found if bad), None)


@jax.jit
def _nonfinite(arrays: list[Any], strict: list[Any]) -> list[Array]:
    return [jnp.any(jnp.isnan(x) | (only & jnp.isinf(x))) for x, only in zip(arrays, strict, strict=True)]
