"""Variable elimination: the buckets of a factor graph, summed or maximised one variable at a time.

Everything is a logarithm. All tables that hold a variable are added up before the maximum of each row is taken out, so
that rows neither underflow where the maxima of the tables are at different states, nor overflow.

Variables that follow each other and are eliminated in the same way, such as those of a chain, are one loop of the
compiled program.
"""

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from jaxgen.graphical._runs import Step, runs_of

Tables = Sequence[tuple[tuple[str, ...], Array]]
"""Tables with the variables of their axes."""


class Buckets(NamedTuple):
    """What variables of one number of states were eliminated from, one after the other.

    Attributes:
        names: the variables.
        others: for each, the variables that it was joined with.
        tables: for each, the sum of their log-tables, (variables, *others, states).
    """

    names: tuple[str, ...]
    others: tuple[tuple[str, ...], ...]
    tables: Array


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
    share = shares(x)
    return logsumexp(x), jnp.sum(jnp.where(share > 0, share * tangent, 0), -1)


def shares(x: Float[Array, "*rows n"]) -> Float[Array, "*rows n"]:
    """exp(x) over its sum over the last axis; 0 in rows that are −inf throughout."""
    _, terms = _scaled(x)
    total = jnp.sum(terms, -1, keepdims=True)
    # exp(x − log Σ exp x) would not sum to 1 where x is so large that the log of a sum of terms is lost in rounding
    return terms / jnp.where(total > 0, total, 1)


def _scaled(x: Array) -> tuple[Array, Array]:
    """The maximum of each row, or the least finite number, and the exponentials of what is below it."""
    peak = jax.lax.stop_gradient(jnp.max(x, -1, keepdims=True, initial=jnp.finfo(x.dtype).min))
    return peak, jnp.exp(x - peak)


def maximum(x: Float[Array, "*rows n"]) -> Float[Array, "*rows"]:
    """The maximum over the last axis."""
    return jnp.max(x, -1)


def contract(
    tables: Tables,
    order: Sequence[str],
    sizes: Mapping[str, int],
    reduce: Callable[[Array], Array] = logsumexp,
) -> tuple[list[Buckets], Tables]:
    """Eliminate variables in turn.

    Args:
        tables: log-tables with the variables of their axes.
        order: the variables to eliminate.
        sizes: numbers of states.
        reduce: the sum over the last axis.

    Returns:
        The buckets of the variables, in this order, and the tables that are left over the variables that are not
        eliminated.
    """
    steps, left = steps_of([names for names, _ in tables], order, sizes)
    dtype = jnp.result_type(jnp.float32, *(table.dtype for _, table in tables))
    # the tables that are given and, behind them, the message of each step: an array, or a row of one
    found = [table.astype(dtype)[None] for _, table in tables]
    place = [(i, 0) for i in range(len(found))]

    def stacked(sources: Sequence[int]) -> Array:
        """Tables of one shape side by side."""
        rows = [place[source] for source in sources]
        whole, first = found[rows[0][0]], rows[0][1]
        if all(one[0] == two[0] and one[1] + 1 == two[1] for one, two in pairwise(rows)):
            return whole[first : first + len(rows)]
        return jnp.stack([found[i][row] for i, row in rows])

    buckets = []
    for run in runs_of(steps, len(tables)):
        of = [steps[i] for i in run.steps]
        shape = of[0].shape
        total = jnp.zeros((len(of), *shape), dtype)
        for k, (_, axes) in enumerate(of[0].members):
            if k != run.carried:
                total += _aligned(stacked([step.members[k][0] for step in of]), axes, shape)
        if run.carried is None:
            messages = reduce(total)
        else:
            source, axes = of[0].members[run.carried]

            def step(message: Array, table: Array, axes=axes, shape=shape) -> tuple[Array, tuple[Array, Array]]:
                table = table + _aligned(message[None], axes, shape)[0]
                message = reduce(table)
                return message, (table, message)

            _, (total, messages) = jax.lax.scan(step, stacked([source])[0], total)
        buckets.append(Buckets(tuple(step.name for step in of), tuple(step.others for step in of), total))
        place += [(len(found), row) for row in range(len(of))]
        found.append(messages)
    return buckets, [(names, stacked([source])[0]) for names, source in left]


def steps_of(
    scopes: Sequence[tuple[str, ...]], order: Sequence[str], sizes: Mapping[str, int]
) -> tuple[list[Step], list[tuple[tuple[str, ...], int]]]:
    """What each variable is eliminated from, and the scopes and numbers of the tables that are left."""
    # an axis comes the earlier, the later its variable is eliminated: the one of the bucket is the last
    later = {name: len(order) - i for i, name in enumerate(order)}
    later |= {name: -i for i, name in enumerate(name for name in sizes if name not in later)}
    left, steps = list(zip(scopes, range(len(scopes)), strict=True)), []
    for name in order:
        mine = [each for each in left if name in each[0]]
        left = [each for each in left if name not in each[0]]
        others = {other for names, _ in mine for other in names} - {name}
        scope = (*sorted(others, key=lambda each: later[each]), name)
        members = [(source, tuple(map(scope.index, names))) for names, source in mine]
        steps.append(Step(name, scope[:-1], tuple(sizes[each] for each in scope), tuple(members)))
        left.append((scope[:-1], len(scopes) + len(steps) - 1))
    return steps, left


def _aligned(tables: Float[Array, "n ..."], axes: tuple[int, ...], shape: tuple[int, ...]) -> Float[Array, "n ..."]:
    """Tables whose axes are some of a shape's, in any order, ready to be added to tables of this shape."""
    order = sorted(range(len(axes)), key=lambda i: axes[i])
    aligned = (size if axis in axes else 1 for axis, size in enumerate(shape))
    return jnp.transpose(tables, (0, *(1 + i for i in order))).reshape(len(tables), *aligned)


def join(tables: Tables, scope: Sequence[str], sizes: Mapping[str, int]) -> Array:
    """Add up log-tables over some of the variables of a scope, as one table over all of them."""
    shape = tuple(sizes[name] for name in scope)
    total = jnp.zeros((1, *shape), jnp.result_type(jnp.float32, *(table.dtype for _, table in tables)))
    for names, table in tables:
        total += _aligned(table[None], tuple(map(list(scope).index, names)), shape)
    return total[0]


def walk_back(buckets: Sequence[Buckets], choose: Callable[[Array, Array], Array]) -> dict[str, Int[Array, ""]]:
    """Assign states from the last bucket to the first, each given the states assigned before.

    Args:
        buckets: those of all variables.
        choose: (number of the variable in the order of elimination (), log-weights of its states (k,)) -> the state ().

    Returns:
        The state of each variable.
    """
    number = {name: i for i, name in enumerate(name for each in buckets for name in each.names)}

    def assign(states: Array, of: tuple[Any, Any, Array]) -> tuple[Array, None]:
        i, others, table = of
        row = table[tuple(states[others[axis]] for axis in range(len(others)))]
        return states.at[i].set(choose(i, row).astype(jnp.int32)), None

    states = jnp.zeros(len(number), jnp.int32)
    for each in reversed(buckets):
        numbers = np.array([number[name] for name in each.names])
        others = np.array([[number[other] for other in of] for of in each.others], int)
        if len(numbers) == 1:
            states, _ = assign(states, (numbers[0], others[0], each.tables[0]))
        else:
            states, _ = jax.lax.scan(assign, states, (numbers, others, each.tables), reverse=True)
    return {name: states[i] for name, i in number.items()}
