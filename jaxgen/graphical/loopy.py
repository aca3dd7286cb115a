"""Loopy belief propagation: approximate marginals where exact inference is too large."""

import warnings
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import networkx as nx
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from jaxgen.core import check_at_least
from jaxgen.graphical._domain import Evidence
from jaxgen.graphical.contraction import join, logsumexp
from jaxgen.graphical.factors import FactorGraph
from jaxgen.graphical.inference import Masks, table_sizes

Messages = list[list[Array]]


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
    sizes, scopes = table_sizes(graph), graph.scopes
    around = {name: [(f, s.index(name)) for f, s in enumerate(scopes) if name in s] for name in graph.names}

    def to_factor(messages: Messages, name: str, without: int | None) -> Array:
        """What a variable tells a factor: the evidence and the messages of its other factors, never by a difference."""
        others = [messages[f][axis] for f, axis in around[name] if f != without]
        return _normalised(sum(others, masks[name]))

    def to_variable(messages: Messages, f: int, axis: int) -> Array:
        scope = scopes[f]
        incoming = [((name,), to_factor(messages, name, f)) for i, name in enumerate(scope) if i != axis]
        last = [*(name for i, name in enumerate(scope) if i != axis), scope[axis]]
        table = join([(scope, graph.log_potentials[f]), *incoming], last, sizes)
        return _normalised(logsumexp(table.reshape(-1, sizes[scope[axis]]).T))

    def iterate(messages: Messages, _: None) -> tuple[Messages, Array]:
        new = [[to_variable(messages, f, axis) for axis in range(len(scope))] for f, scope in enumerate(scopes)]
        damped = jax.tree.map(lambda a, b: jnp.log((1 - damping) * jnp.exp(a) + damping * jnp.exp(b)), new, messages)
        changes = jax.tree.map(lambda a, b: jnp.max(jnp.abs(jnp.exp(a) - jnp.exp(b))), damped, messages)
        return damped, jnp.max(jnp.stack([jnp.zeros(()), *jax.tree.leaves(changes)]))

    start = [[_normalised(jnp.zeros_like(masks[name])) for name in scope] for scope in scopes]
    messages, changes = jax.lax.scan(iterate, start, length=iterations)
    beliefs = {name: to_factor(messages, name, None) for name in graph.names}
    joint = []
    for f, scope in enumerate(scopes):
        incoming = [((name,), to_factor(messages, name, f)) for name in scope]
        joint.append(_normalised(join([(scope, graph.log_potentials[f]), *incoming], scope, sizes)))
    bethe = jnp.zeros((), changes.dtype)
    for table, belief in zip(graph.log_potentials, joint, strict=True):
        bethe += _mean(belief, table) - _mean(belief, belief)
    for name, belief in beliefs.items():
        bethe += (len(around[name]) - 1) * _mean(belief, belief)
    return Beliefs(jax.tree.map(jnp.exp, beliefs), tuple(map(jnp.exp, joint)), bethe, changes[-1])


def _normalised(x: Float[Array, "..."]) -> Float[Array, "..."]:
    total = logsumexp(x.reshape(-1))
    return x - jnp.where(jnp.isfinite(total), total, 0)


def _mean(log_weights: Float[Array, "..."], values: Float[Array, "..."]) -> Float[Array, ""]:
    """Σ exp(log_weights) values, where a weight of 0 counts for nothing."""
    possible = log_weights > -jnp.inf
    return jnp.sum(jnp.where(possible, jnp.exp(log_weights) * jnp.where(possible, values, 0), 0))
