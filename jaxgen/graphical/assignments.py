"""The most probable assignment, exact samples, and the probability of assignments."""

from collections.abc import Mapping
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Int, Key

from jaxgen.core import check_at_least, threefry_key
from jaxgen.graphical._domain import Evidence
from jaxgen.graphical._graphs import check_names
from jaxgen.graphical.contraction import contract, join, maximum, walk_back
from jaxgen.graphical.factors import FactorGraph
from jaxgen.graphical.inference import Masks, check_possible, log_partition, prepare, table_sizes, tables
from jaxgen.graphical.orders import MAX_ENTRIES, EliminationOrder

Assignment = Mapping[str, ArrayLike]
"""The index of a state of each variable."""


class MostProbable(NamedTuple):
    """A most probable assignment.

    Attributes:
        states: the index of the state of each variable, ().
        log_weight: the sum of the log-potentials there, (), the largest of all.
    """

    states: dict[str, Int[Array, ""]]
    log_weight: Float[Array, ""]


def most_probable(
    graph: FactorGraph, evidence: Evidence | None = None, *, order: EliminationOrder | None = None
) -> MostProbable:
    """An assignment of the largest probability given the evidence, by elimination with maxima in the place of sums.

    Of several such assignments it is the same one in every call.

    Args:
        graph: the factor graph.
        evidence: as in `log_partition`.
        order: as in `log_partition`.

    Returns:
        The assignment of all variables and its log-weight. `log_weight - log_partition(graph, evidence)` is its
        log-probability given the evidence.

    Raises:
        ValueError: as in `log_partition`, or if the evidence has probability zero.

    Reference:
        Koller & Friedman 2009, "Probabilistic graphical models", algorithm 13.1.
    """
    masks, order = prepare(graph, evidence, order)
    found = _most_probable(graph, masks, order)
    check_possible(graph, found.log_weight, evidence)
    return found


def sample(
    key: Key[Array, ""],
    graph: FactorGraph,
    samples: int,
    evidence: Evidence | None = None,
    *,
    order: EliminationOrder | None = None,
) -> dict[str, Int[Array, " samples"]]:
    """Draw independent exact samples given the evidence, by elimination and then backwards through its tables.

    Args:
        key: one typed key. Sample i depends on the key and i alone.
        graph: the factor graph.
        samples: the number of samples, at least 1.
        evidence: as in `log_partition`.
        order: as in `log_partition`.

    Returns:
        The index of the state of each variable, (samples,).

    Raises:
        ValueError: as in `log_partition`, or if the evidence has probability zero.

    Reference:
        Dawid 1992, "Applications of a general propagation algorithm for probabilistic expert systems", §7.
    """
    check_at_least(1, samples=samples)
    masks, order = prepare(graph, evidence, order)
    log_z, found = _sample(key, graph, masks, order, samples)
    check_possible(graph, log_z, evidence)
    return found


def log_weight(graph: FactorGraph, states: Assignment) -> Float[Array, "..."]:
    """The sum of the log-potentials at an assignment of all variables, log Z + log P.

    Args:
        graph: the factor graph.
        states: the index of a state of each variable, () or (n,) alike.

    Returns:
        The log-weights in nats, of the states' shape.

    Raises:
        ValueError: if a variable has no state, is unknown, or has a concrete state out of range.
    """
    domain = graph.structure.domain
    check_names(domain.names, *states)
    if missing := [name for name in domain.names if name not in states]:
        raise ValueError(f"no states of {', '.join(missing)}: log_probability takes some of the variables")
    index = {name: jnp.asarray(domain.index(name, states[name])) for name in domain.names}
    terms = [
        table[tuple(index[name] for name in scope)]
        for scope, table in zip(graph.scopes, graph.log_potentials, strict=True)
    ]
    shape = jnp.broadcast_shapes(*(each.shape for each in index.values()))
    return sum(terms, jnp.zeros(shape, jnp.float32))


def log_probability(
    graph: FactorGraph, states: Assignment, *, order: EliminationOrder | None = None
) -> Float[Array, "..."]:
    """log P(states) of an assignment of all variables or of some, whose others are summed out.

    Its negative is a loss. With all variables its gradient is the difference of two means of the same statistics, under
    the data and under the model, as for every energy-based model.

    Args:
        graph: the factor graph.
        states: the index of a state of each variable of concern, () or (n,) alike.
        order: as in `log_partition`.

    Returns:
        The log-probabilities in nats, of the states' shape.

    Raises:
        ValueError: as in `log_partition`.

    Reference:
        Koller & Friedman 2009, "Probabilistic graphical models", proposition 20.3.
    """
    log_z = log_partition(graph, order=order)
    check_possible(graph, log_z, None)
    if set(states) == set(graph.names):
        return log_weight(graph, states) - log_z
    domain = graph.structure.domain
    check_names(domain.names, *states)
    index = {name: jnp.asarray(domain.index(name, of)) for name, of in states.items()}
    shape = jnp.broadcast_shapes(*(each.shape for each in index.values()))
    flat = {name: jnp.broadcast_to(each, shape).reshape(-1) for name, each in index.items()}
    if not flat:
        return jnp.zeros(())
    return (jax.vmap(lambda some: log_partition(graph, some, order=order))(flat) - log_z).reshape(shape)


@partial(jax.jit, static_argnames="order")
def _most_probable(graph: FactorGraph, masks: Masks, order: EliminationOrder) -> MostProbable:
    sizes = table_sizes(graph)
    buckets, left = contract(tables(graph, masks), order.names, sizes, maximum)
    states = walk_back(buckets, lambda i, row: jnp.argmax(row))
    return MostProbable({name: states[name] for name in graph.names}, join(left, (), sizes))


@partial(jax.jit, static_argnames=("order", "samples"))
def _sample(
    key: Array, graph: FactorGraph, masks: Masks, order: EliminationOrder, samples: int
) -> tuple[Array, dict[str, Array]]:
    sizes = table_sizes(graph)
    buckets, left = contract(tables(graph, masks), order.names, sizes)
    log_z = join(left, (), sizes)
    states = np.array([sizes[name] for name in order.names], int)
    begins = np.cumsum(states) - states

    def draw(key: Array) -> dict[str, Array]:
        # all at once, because random numbers take long to compile; "high" keeps states of a probability below 1e-7,
        # which 23 bits of a uniform number never reach
        noise = jax.random.gumbel(key, (states.sum(),), log_z.dtype, mode="high")

        def choose(i: ArrayLike, row: Array) -> Array:
            return jnp.argmax(row + jax.lax.dynamic_slice_in_dim(noise, jnp.asarray(begins)[i], len(row)))

        found = walk_back(buckets, choose)
        return {name: found[name] for name in graph.names}

    keys = jax.vmap(partial(jax.random.fold_in, threefry_key(key)))(jnp.arange(samples))
    return log_z, jax.lax.map(draw, keys, batch_size=max(1, MAX_ENTRIES // max(1, states.sum())))
