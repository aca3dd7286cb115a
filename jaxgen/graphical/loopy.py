"""Loopy belief propagation: approximate marginals where exact inference is too large."""

import math
import warnings
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import networkx as nx
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from jaxgen.core import check_at_least
from jaxgen.graphical._domain import Evidence
from jaxgen.graphical._wiring import wire
from jaxgen.graphical.contraction import logsumexp
from jaxgen.graphical.factors import FactorGraph
from jaxgen.graphical.inference import Masks

Messages = dict[int, Array]


class LoopyWarning(UserWarning):
    """Beliefs on a graph with cycles are not marginals."""


class Beliefs(NamedTuple):
    """What loopy belief propagation ends with.

    Attributes:
        marginals: the belief of each variable's states.
        factor_marginals: the belief of each factor's table.
        log_partition: the Bethe approximation of log Z, (). It is neither an upper nor a lower bound in general.
        residual: the largest change of a message's probabilities in the last iteration, (). If it is not near 0, the
            messages have not converged.
    """

    marginals: dict[str, Float[Array, " states"]]
    factor_marginals: tuple[Float[Array, "..."], ...]
    log_partition: Float[Array, ""]
    residual: Float[Array, ""]


def loopy_belief_propagation(
    graph: FactorGraph, evidence: Evidence | None = None, *, iterations: int = 100, damping: float = 0.5
) -> Beliefs:
    """Pass messages between variables and factors, all at once in each iteration.

    On a graph without cycles beliefs are the exact marginals after as many undamped iterations as the graph is long.

    Warning:
        On a graph with cycles this is an approximation without an error bound. Messages may not converge, may converge
        to a poor fixed point, and the beliefs are then often too sure. Look at `residual`, and compare with `marginals`
        on a small part of your graph. A `LoopyWarning` says so once for each call site.

    Args:
        graph: the factor graph.
        evidence: as in `log_partition`.
        iterations: the number of iterations, at least 1.
        damping: the share of the old message in the new one, in [0, 1). 0 converges fastest where it converges.

    Returns:
        The beliefs, the Bethe approximation of log Z, and the last change. Evidence of probability zero gives zeros or
        NaN.

    Raises:
        ValueError: if iterations or damping are out of range, or the evidence names an unknown variable or state.

    Reference:
        Kschischang, Frey & Loeliger 2001, "Factor graphs and the sum-product algorithm"; Yedidia, Freeman & Weiss 2005,
        "Constructing free-energy approximations and generalized belief propagation algorithms", eq. 29, 30 and 37.
    """
    check_at_least(1, iterations=iterations)
    if not 0 <= damping < 1:
        raise ValueError(f"damping must lie in [0, 1), got {damping}")
    if _has_cycle(graph):
        warnings.warn(
            "this factor graph has cycles, so loopy belief propagation is an approximation without an error bound: "
            "check residual, and compare with graphical.marginals where that is possible",
            LoopyWarning,
            stacklevel=2,
        )
    dtype = jnp.result_type(jnp.float32, *(table.dtype for table in graph.log_potentials))
    return _propagate(graph, graph.structure.domain.log_masks(evidence, dtype), iterations, damping)


def _has_cycle(graph: FactorGraph) -> bool:
    bipartite = nx.Graph()
    bipartite.add_nodes_from(("variable", name) for name in graph.names)
    for i, scope in enumerate(graph.scopes):
        bipartite.add_node(("factor", i))
        bipartite.add_edges_from((("factor", i), ("variable", name)) for name in scope)
    return bipartite.number_of_nodes() > 0 and not nx.is_forest(bipartite)


@partial(jax.jit, static_argnames="iterations")
def _propagate(graph: FactorGraph, masks: Masks, iterations: int, damping: ArrayLike) -> Beliefs:
    wiring, dtype = wire(graph.structure), jnp.result_type(jnp.float32, *graph.log_potentials)
    evidence = {size: jnp.stack([masks[name] for name in names]) for size, names in wiring.names.items()}
    tables = {
        shape: jnp.stack([graph.log_potentials[f] for f in group]).astype(dtype)
        for shape, group in wiring.factors.items()
    }

    def to_factors(messages: Messages) -> Messages:
        """What variables tell factors: the evidence and the messages of the other factors, never by a difference."""
        return {
            size: _normalised(evidence[size][wiring.target[size]] + _sum_of(of, wiring.others[size]))
            for size, of in messages.items()
        }

    def joined(told: Messages, shape: tuple[int, ...], without: int | None = None) -> Array:
        """The tables of a shape, and what all variables but one tell them."""
        total = tables[shape]
        for axis, (size, rows) in enumerate(zip(shape, wiring.rows[shape], strict=True)):
            if axis != without:
                total += told[size][rows].reshape(len(total), *(size if i == axis else 1 for i in range(len(shape))))
        return total

    def iterate(messages: Messages, _: None) -> tuple[Messages, Array]:
        told, new = to_factors(messages), {size: [] for size in messages}
        for shape, group in wiring.factors.items():
            for axis, size in enumerate(shape):
                table = jnp.moveaxis(joined(told, shape, axis), axis + 1, 1).reshape(len(group), size, -1)
                new[size].append(_normalised(logsumexp(table)))
        new = {size: jnp.concatenate(of) if of else messages[size] for size, of in new.items()}
        damped = jax.tree.map(lambda a, b: jnp.log((1 - damping) * jnp.exp(a) + damping * jnp.exp(b)), new, messages)
        changes = jax.tree.map(lambda a, b: jnp.max(jnp.abs(jnp.exp(a) - jnp.exp(b)), initial=0), damped, messages)
        return damped, jnp.max(jnp.stack([jnp.zeros((), dtype), *changes.values()]))

    start = {size: jnp.full((len(of), size), -math.log(size), dtype) for size, of in wiring.target.items()}
    messages, changes = jax.lax.scan(iterate, start, length=iterations)
    told = to_factors(messages)
    beliefs = {size: _normalised(evidence[size] + _sum_of(of, wiring.around[size])) for size, of in messages.items()}
    joint = {shape: _normalised(joined(told, shape)) for shape in tables}
    bethe = jnp.zeros((), dtype)
    for shape, belief in joint.items():
        bethe += jnp.sum(_means(belief, tables[shape]) - _means(belief, belief))
    for size, belief in beliefs.items():
        neighbours = (wiring.around[size] < len(wiring.target[size])).sum(1)
        bethe += jnp.sum((neighbours - 1) * _means(belief, belief))
    marginals = {name: belief for size, names in wiring.names.items()
                 for name, belief in zip(names, jnp.exp(beliefs[size]), strict=True)}  # fmt: skip
    factor_marginals = {f: belief for shape, group in wiring.factors.items()
                        for f, belief in zip(group, jnp.exp(joint[shape]), strict=True)}  # fmt: skip
    return Beliefs(
        {name: marginals[name] for name in graph.names},
        tuple(factor_marginals[f] for f in range(len(graph.scopes))),
        bethe,
        changes[-1],
    )


def _sum_of(messages: Float[Array, "rows k"], indices: np.ndarray) -> Float[Array, "n k"]:
    """The sums of rows; the index behind the last adds nothing."""
    return jnp.pad(messages, ((0, 1), (0, 0)))[indices].sum(1)


def _normalised(x: Float[Array, "n *shape"]) -> Float[Array, "n *shape"]:
    total = logsumexp(x.reshape(len(x), math.prod(x.shape[1:]))).reshape(len(x), *(1,) * (x.ndim - 1))
    return x - jnp.where(jnp.isfinite(total), total, 0)


def _means(log_weights: Float[Array, "n *shape"], values: Float[Array, "n *shape"]) -> Float[Array, " n"]:
    """Σ exp(log_weights) values of each row, where a weight of 0 counts for nothing."""
    possible = log_weights > -jnp.inf
    terms = jnp.where(possible, jnp.exp(log_weights) * jnp.where(possible, values, 0), 0)
    return terms.sum(tuple(range(1, terms.ndim)))
