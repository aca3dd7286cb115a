"""A Bayesian network of a factor graph, with its tables."""

from collections.abc import Sequence

import jax.numpy as jnp
import networkx as nx

from jaxgen.graphical.bayesian import BayesianNetwork, BayesianStructure
from jaxgen.graphical.factors import FactorGraph
from jaxgen.graphical.inference import marginal
from jaxgen.graphical.moral import orientation


def to_bayesian_network(graph: FactorGraph, order: Sequence[str] | None = None) -> BayesianNetwork:
    """A Bayesian network with the distribution of a factor graph.

    Its graph is the `orientation` of the factor graph's: chordal graphs keep their independencies, and others lose some
    to the fill edges. Its tables are conditionals of exact marginals, so Z is absorbed.

    Args:
        graph: the factor graph.
        order: all variables in the order of elimination; by default that of the fewest fill edges.

    Returns:
        The network. Its variables are in a topological order. Given states of its parents that have probability zero, a
        variable is uniform.

    Raises:
        ValueError: if Z is 0, a table would be too large, or the order does not name each variable once.

    Reference:
        Koller & Friedman 2009, "Probabilistic graphical models", theorem 4.13 and §4.5.2.
    """
    directed = orientation(graph.graph, order).graph
    names = tuple(nx.topological_sort(directed))
    domain, parents, tables = graph.structure.domain.subset(names), [], {}
    for name in names:
        of = tuple(other for other in names if directed.has_edge(other, name))
        joint = marginal(graph, (*of, name))
        total = joint.sum(-1, keepdims=True)
        tables[name] = jnp.where(total > 0, joint / jnp.where(total > 0, total, 1), 1 / joint.shape[-1])
        parents.append(of)
    return BayesianNetwork(BayesianStructure(domain, tuple(parents)), tables)
