"""A Bayesian network of a factor graph, with its tables."""

from collections.abc import Sequence
from functools import partial

import jax
import jax.numpy as jnp
import networkx as nx
from jaxtyping import Array

from jaxgen.graphical.bayesian import BayesianNetwork, BayesianStructure
from jaxgen.graphical.contraction import contract, join, shares
from jaxgen.graphical.factors import FactorGraph
from jaxgen.graphical.inference import check_possible, table_sizes, tables
from jaxgen.graphical.moral import orientation
from jaxgen.graphical.orders import EliminationOrder, elimination_order


def to_bayesian_network(graph: FactorGraph, order: Sequence[str] | None = None) -> BayesianNetwork:
    """A Bayesian network with the distribution of a factor graph.

    Its graph is the `orientation` of the factor graph's: chordal graphs keep their independencies, and others lose some
    to the fill edges. Its tables are exact conditionals, so Z is absorbed.

    Args:
        graph: the factor graph.
        order: all variables in the order of elimination; by default that of the fewest fill edges.

    Returns:
        The network. Its variables are in a topological order. Given states of its parents that rule out all of its own,
        a variable is uniform.

    Raises:
        ValueError: if Z is 0, a table would be too large, or the order does not name each variable once.

    Reference:
        Koller & Friedman 2009, "Probabilistic graphical models", theorem 4.13 and §4.5.2.
    """
    directed = orientation(graph.graph, order).graph
    names = tuple(nx.topological_sort(directed))
    parents = tuple(tuple(other for other in names if directed.has_edge(other, name)) for name in names)
    log_z, conditionals = _conditionals(graph, elimination_order(graph, names[::-1]), parents)
    check_possible(graph, log_z, None)
    return BayesianNetwork(BayesianStructure(graph.structure.domain.subset(names), parents), conditionals)


@partial(jax.jit, static_argnames=("order", "parents"))
def _conditionals(
    graph: FactorGraph, order: EliminationOrder, parents: tuple[tuple[str, ...], ...]
) -> tuple[Array, dict[str, Array]]:
    """log Z, and the conditional tables, which are the shares in what a variable is summed out of."""
    sizes, of, found = table_sizes(graph), dict(zip(reversed(order.names), parents, strict=True)), {}
    buckets, left = contract(tables(graph), order.names, sizes)
    for each in buckets:
        share = shares(each.tables)
        share = jnp.where(share.sum(-1, keepdims=True) > 0, share, 1 / share.shape[-1])
        for name, others, table in zip(each.names, each.others, share, strict=True):
            found[name] = join([((*others, name), table)], (*of[name], name), sizes)
    return join(left, (), sizes), found
