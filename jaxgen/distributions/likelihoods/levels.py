"""What a likelihood is, and how values are read as levels."""

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array

Likelihood = Callable[[Array, Any], Array]
"""(x (B, *event), params) -> log p(x | params) in nats, summed over the event, (B,)."""


def check_levels(levels: int, low: float, high: float) -> None:
    """Raise ValueError unless levels ≥ 2 and low < high."""
    if levels < 2 or not low < high:
        raise ValueError(f"need levels >= 2 and low < high, got {levels}, {low} and {high}")


def check_shape(x: Array, params: Array) -> None:
    """Raise ValueError unless the model says one thing of every value: broadcasting would mix examples."""
    if x.shape != params.shape:
        raise ValueError(f"x and what is said of it must have one shape, got {x.shape} and {params.shape}")


def level_index(x: Array, levels: int, low: float, high: float) -> Array:
    """The index of the level nearest to x, a whole number as a float."""
    return jnp.clip(jnp.round((x - low) * ((levels - 1) / (high - low))), 0, levels - 1)


def event_sum(terms: Array) -> Array:
    """The sum over all but the first axis."""
    return terms.reshape(len(terms), -1).sum(-1)
