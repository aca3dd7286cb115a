"""Early refusals of arguments out of range. Traced values pass, because they are not known."""

from typing import Any, get_args

import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from jaxgen.core.tracing import is_traced


def check_positive(**values: ArrayLike | None) -> None:
    """Check that values are positive and finite; None and traced values pass.

    Args:
        **values: numbers or arrays of any shape, each under the name that the error gives.

    Raises:
        ValueError: if an entry of a value is not positive and finite.
    """
    for name, value in values.items():
        if not is_traced(value) and value is not None and not np.all(np.isfinite(value) & (np.asarray(value) > 0)):
            raise ValueError(f"{name} must be positive and finite, got {value}")


def check_not_negative(**values: ArrayLike | None) -> None:
    """Check that values are finite and ≥ 0; None and traced values pass.

    Args:
        **values: numbers or arrays of any shape, each under the name that the error gives.

    Raises:
        ValueError: if an entry of a value is negative or not finite.
    """
    for name, value in values.items():
        if not is_traced(value) and value is not None and not np.all(np.isfinite(value) & (np.asarray(value) >= 0)):
            raise ValueError(f"{name} must be finite and not negative, got {value}")


def check_at_least(least: int, **counts: int) -> None:
    """Check that each count is at least `least`.

    Args:
        least: the smallest count that passes.
        **counts: whole numbers, each under the name that the error gives.

    Raises:
        ValueError: if a count is below `least`.
    """
    for name, count in counts.items():
        if count < least:
            raise ValueError(f"{name} must be at least {least}, got {count}")


def check_choice(choices: Any, **values: str) -> None:
    """Check that each value is one of a few texts.

    Args:
        choices: the `Literal` type of the texts that pass, at least two.
        **values: texts, each under the name that the error gives.

    Raises:
        ValueError: if a value is none of them.
    """
    names = get_args(choices)
    listed = " or ".join(names) if len(names) == 2 else f"one of {', '.join(names)}"
    for name, value in values.items():
        if value not in names:
            raise ValueError(f"unknown {name} {value!r}: choose {listed}")


def check_floating(x: ArrayLike) -> None:
    """Check that data are floating point, unlike uint8 images.

    Args:
        x: data of any shape; only their dtype is checked, so they may be traced.

    Raises:
        ValueError: if the dtype is not floating point.
    """
    dtype = jnp.result_type(x)
    if not jnp.issubdtype(dtype, jnp.floating):
        raise ValueError(
            f"data must be floating point, got {dtype}: scale it first as the network will see it, for example images "
            "of 0 to 255 to [-1, 1] by x / 127.5 - 1"
        )
