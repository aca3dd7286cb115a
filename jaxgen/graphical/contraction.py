"""Variable elimination: the buckets of a factor graph, summed or maximised one variable at a time.

Everything is a logarithm. All tables that hold a variable are added up before the maximum of each row is taken out, so
that rows neither underflow where the maxima of the tables are at different states, nor overflow.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

Tables = Sequence[tuple[tuple[str, ...], Array]]
"""Tables with the variables of their axes."""


class Bucket(NamedTuple):
    """What a variable was eliminated from.

    Attributes:
        name: the variable.
        others: the variables that it was joined with.
        table: the sum of their log-tables; the last axis is that of the variable.
    """

    name: str
    others: tuple[str, ...]
    table: Array


@jax.custom_jvp
def logsumexp(x: Float[Array, "*rows n"]) -> Float[Array, "*rows"]:
    """log Σ exp over the last axis, whose derivatives are 0 where a term or a whole row is −inf.

    `jax.nn.logsumexp` has NaN gradients in rows that are −inf throughout.
    """
    peak, terms = _scaled(x)
    return jnp.log(jnp.sum(terms, -1)) + peak[..., 0]


@logsumexp.defjvp
def _logsumexp_jvp(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    (x,), (tangent,) = primals, tangents
    _, terms = _scaled(x)
    total = jnp.sum(terms, -1, keepdims=True)
    # exp(x − log Σ exp x) would not sum to 1 where x is so large that the log of a sum of terms is lost in rounding
    share = terms / jnp.where(total > 0, total, 1)
    return logsumexp(x), jnp.sum(jnp.where(share > 0, share * tangent, 0), -1)


def _scaled(x: Array) -> tuple[Array, Array]:
    """The maximum of each row, and the exponentials of what is below it."""
    peak = jax.lax.stop_gradient(jnp.max(x, -1, keepdims=True))
    peak = jnp.where(jnp.isfinite(peak), peak, 0)
    return peak, jnp.exp(x - peak)


def maximum(x: Float[Array, "*rows n"]) -> Float[Array, "*rows"]:
    """The maximum over the last axis."""
    return jnp.max(x, -1)


def contract(
    tables: Tables,
    order: Sequence[str],
    sizes: Mapping[str, int],
    reduce: Callable[[Array], Array] = logsumexp,
) -> tuple[list[Bucket], Tables]:
    """Eliminate variables in turn.

    Args:
        tables: log-tables with the variables of their axes.
        order: the variables to eliminate.
        sizes: numbers of states.
        reduce: the sum over the last axis.

    Returns:
        The bucket of each variable, in this order, and the tables that are left over the variables that are not
        eliminated.
    """
    # an axis comes the earlier, the later its variable is eliminated: the one of the bucket is the last
    place = {name: len(order) - i for i, name in enumerate(order)}
    place |= {name: -i for i, name in enumerate(name for name in sizes if name not in place)}
    left, buckets = list(tables), []
    for name in order:
        mine = [each for each in left if name in each[0]]
        left = [each for each in left if name not in each[0]]
        scope = sorted({other for names, _ in mine for other in names} | {name}, key=lambda each: place[each])
        scope = [*(other for other in scope if other != name), name]
        table = join(mine, scope, sizes)
        buckets.append(Bucket(name, tuple(scope[:-1]), table))
        left.append((tuple(scope[:-1]), reduce(table)))
    return buckets, left


def join(tables: Tables, scope: Sequence[str], sizes: Mapping[str, int]) -> Array:
    """Add up log-tables over some of the variables of a scope, as one table over all of them."""
    shape = tuple(sizes[name] for name in scope)
    total = jnp.zeros(shape, jnp.result_type(jnp.float32, *(table.dtype for _, table in tables)))
    for names, table in tables:
        axes = sorted(range(len(names)), key=lambda axis: scope.index(names[axis]))
        aligned = [size if name in names else 1 for name, size in zip(scope, shape, strict=True)]
        total += jnp.transpose(table, axes).reshape(aligned)
    return total


def walk_back(buckets: Sequence[Bucket], choose: Callable[[int, Array], Array]) -> dict[str, Array]:
    """Assign states from the last bucket to the first, each given the states assigned before.

    Args:
        buckets: those of all variables.
        choose: (number of the bucket, log-weights of its variable's states (k,)) -> the state ().

    Returns:
        The state of each variable.
    """
    states: dict[str, Array] = {}
    for i, bucket in reversed(list(enumerate(buckets))):
        states[bucket.name] = choose(i, bucket.table[tuple(states[name] for name in bucket.others)])
    return states
