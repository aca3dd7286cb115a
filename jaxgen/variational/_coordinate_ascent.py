"""Mean-field coordinate ascent: each factor in turn becomes the best, the others being what they are."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


class CoordinateAscent(NamedTuple):
    """The factors at the end, the ELBO at the start (), and after every update, (sweeps, updates)."""

    factors: Any
    start: Array
    elbos: Array


def coordinate_ascent(
    updates: Sequence[Callable[[Any], Any]], elbo: Callable[[Any], Float[Array, ""]], factors: Any, sweeps: int
) -> CoordinateAscent:
    """Applies the updates in turn, `sweeps` times, and keeps the ELBO after each (Blei et al. 2017, algorithm 1).

    Where each update sets one factor to q_j ∝ exp E_{−j} log p(x, z), its optimum given the others, the ELBO never
    falls; it ends in a local optimum, which depends on the start. factors: a pytree, as updates take and return it.
    Raises ValueError for no updates, or unless sweeps ≥ 1.
    """
    if not updates or sweeps < 1:
        raise ValueError(f"need at least one update and one sweep, got {len(updates)} and {sweeps}")

    def sweep(factors: Any, _: None) -> tuple[Any, Array]:
        elbos = []
        for update in updates:
            factors = update(factors)
            elbos.append(elbo(factors))
        return factors, jnp.stack(elbos)

    start = elbo(factors)
    factors, elbos = jax.lax.scan(sweep, factors, None, length=sweeps)
    return CoordinateAscent(factors, start, elbos)
