"""Early refusals of arguments out of range. Traced values pass, because they are not known."""

from typing import Any

import jax
import numpy as np
from jax.typing import ArrayLike


def is_traced(*values: Any) -> bool:
    """Whether any leaf of the values is traced."""
    return any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves(values))


def check_positive(**values: ArrayLike | None) -> None:
    """Raise ValueError, with the name, unless each value is positive and finite; None and traced values pass."""
    for name, value in values.items():
        if not is_traced(value) and value is not None and not np.all(np.isfinite(value) & (np.asarray(value) > 0)):
            raise ValueError(f"{name} must be positive and finite, got {value}")


def check_not_negative(**values: ArrayLike | None) -> None:
    """Raise ValueError, with the name, unless each value is finite and ≥ 0; None and traced values pass."""
    for name, value in values.items():
        if not is_traced(value) and value is not None and not np.all(np.isfinite(value) & (np.asarray(value) >= 0)):
            raise ValueError(f"{name} must be finite and not negative, got {value}")


def check_at_least(least: int, **counts: int) -> None:
    """Raise ValueError, with the name, for a count below `least`."""
    for name, count in counts.items():
        if count < least:
            raise ValueError(f"{name} must be at least {least}, got {count}")
