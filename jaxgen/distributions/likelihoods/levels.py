"""The type of likelihoods, and the bins of discretised data."""

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array

from jaxgen.distributions.gaussian import Gaussian, at_least_float32

Likelihood = Callable[[Array, Any], Array]
"""A function (x (B, *event), params) -> log p(x | params) in nats, summed over the event: (B,)."""


def check_levels(levels: int, low: float, high: float) -> None:
    """Raise ValueError unless levels ≥ 2 and low < high."""
    if levels < 2 or not low < high:
        raise ValueError(f"need levels >= 2 and low < high, got {levels}, {low} and {high}")


def check_shape(x: Array, params: Array) -> None:
    """Raise ValueError unless x and its parameters have one shape: broadcasting would mix examples."""
    if x.shape != params.shape:
        raise ValueError(f"x and its parameters must have one shape, got {x.shape} and {params.shape}")


def level_index(
    x: Array, params: tuple[Array, Array], levels: int, low: float, high: float
) -> tuple[Array, Array, Array]:
    """The index of the level nearest to x (a whole number as a float), and location and scale in float32 at least."""
    location, scale = at_least_float32(Gaussian(*params))
    check_shape(x, location)
    x = x.astype(location.dtype)
    return jnp.clip(jnp.round((x - low) * ((levels - 1) / (high - low))), 0, levels - 1), location, scale


def event_sum(terms: Array) -> Array:
    """The sum over all but the first axis."""
    return terms.reshape(len(terms), -1).sum(-1)
