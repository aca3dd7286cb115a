"""What Metropolis-adjusted chains have in common: their state, and a log-density with its gradient."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
from jaxtyping import Array, Float

LogDensity = Callable[[Array], Array]
"""x (B, *event) -> (B,), up to a constant, of each example alone."""


class MetropolisState(NamedTuple):
    """The state of chains that accept or reject proposals.

    Attributes:
        x: positions (B, *event).
        log_density: their log-densities (B,), up to the constant that the target leaves open.
        gradient: its gradients (B, *event).
        acceptance: the probability (B,) with which the last proposal was accepted; 1 at the start.
    """

    x: Float[Array, "b *event"]
    log_density: Float[Array, " b"]
    gradient: Float[Array, "b *event"]
    acceptance: Float[Array, " b"]


def value_and_gradient(
    log_density: LogDensity, x: Float[Array, "b *event"]
) -> tuple[Float[Array, " b"], Float[Array, "b *event"]]:
    """The log-densities (B,) and their gradients (B, *event), by one evaluation forwards and backwards."""

    def total(x: Array) -> tuple[Array, Array]:
        values = log_density(x)
        if values.shape != x.shape[:1]:
            raise ValueError(f"a log-density must return one value per example, {x.shape[:1]}, got {values.shape}")
        return values.sum(), values

    gradient, values = jax.grad(total, has_aux=True)(x)
    return values, gradient


def positions(state: Any) -> Float[Array, "b *event"]:
    """Return the positions of a chain's state: its `x`, or the state itself where it has none.

    Args:
        state: a state of any chain of this room.

    Returns:
        The positions (B, *event).
    """
    return getattr(state, "x", state)
