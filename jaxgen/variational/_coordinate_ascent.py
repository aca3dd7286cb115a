"""Mean-field coordinate ascent: each factor in turn is optimised with the others fixed."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxgen.core import check_at_least


class CoordinateAscent(NamedTuple):
    """The final factors, the ELBO at the start () and after every update (sweeps, updates)."""

    factors: Any
    start: Array
    elbos: Array


def coordinate_ascent(
    updates: Sequence[Callable[[Any], Any]], elbo: Callable[[Any], Float[Array, ""]], factors: Any, sweeps: int
) -> CoordinateAscent:
    """Apply the updates in turn, `sweeps` times, and record the ELBO after each.

    If each update sets one factor to its optimum given the others, q_j ∝ exp E_{−j} log p(x, z), the ELBO never falls
    and converges to a local optimum that depends on the start.

    Args:
        updates: functions factors -> factors.
        elbo: factors -> ().
        factors: the start, any pytree.
        sweeps: the number of sweeps ≥ 1.

    Returns:
        The final factors, and the ELBO at the start () and after every update (sweeps, updates).

    Raises:
        ValueError: if there are no updates, or sweeps < 1.

    Reference:
        Blei et al. 2017, algorithm 1.
    """
    check_at_least(1, updates=len(updates), sweeps=sweeps)

    def sweep(factors: Any, _: None) -> tuple[Any, Array]:
        elbos = []
        for update in updates:
            factors = update(factors)
            elbos.append(elbo(factors))
        return factors, jnp.stack(elbos)

    start = elbo(factors)
    factors, elbos = jax.lax.scan(sweep, factors, None, length=sweeps)
    return CoordinateAscent(factors, start, elbos)
