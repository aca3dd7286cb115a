"""The independencies that graphs assert, and whether one graph is a map of another's."""

from collections.abc import Iterator
from itertools import chain, combinations
from typing import NamedTuple

import networkx as nx

from jaxgen.graphical.paths import separation


class Independence(NamedTuple):
    """The statement that x and y are independent given observed variables."""

    x: str
    y: str
    given: frozenset[str]

    def __str__(self) -> str:
        """Such as "A ⊥ O | S"."""
        return f"{self.x} ⊥ {self.y}" + (f" | {', '.join(sorted(self.given))}" if self.given else "")


class IMap(NamedTuple):
    """Whether a graph asserts only independencies of another.

    Attributes:
        holds: whether it is an I-map.
        counterexample: an independence that it asserts and the other graph lacks; None if it is an I-map.
    """

    holds: bool
    counterexample: Independence | None


class PerfectMap(NamedTuple):
    """Whether two graphs assert the same independencies.

    Attributes:
        holds: whether they do.
        unfounded: an independence of the candidate that the other graph lacks, or None.
        lost: an independence of the other graph that the candidate lacks, or None.
    """

    holds: bool
    unfounded: Independence | None
    lost: Independence | None


def independencies(graph: nx.Graph, max_nodes: int = 12) -> Iterator[Independence]:
    """Iterate over every independence between two nodes that a graph asserts.

    Args:
        graph: a directed acyclic graph or an undirected graph of n nodes, which has n(n − 1)/2 · 2ⁿ⁻² statements to
            decide.
        max_nodes: the largest n that is accepted.

    Returns:
        The independencies, those of few observed variables first for each pair. x comes before y in the graph's order.

    Raises:
        ValueError: if the graph has more nodes.
    """
    if len(graph) > max_nodes:
        raise ValueError(
            f"a graph of {len(graph)} nodes has too many statements to decide: ask graphical.separation for single "
            f"ones, graphical.minimal_separators for a pair, or pass max_nodes={len(graph)}"
        )
    return _independencies(graph)


def i_map(candidate: nx.Graph, of: nx.Graph) -> IMap:
    """Decide whether a graph asserts only independencies that another graph has too.

    An undirected candidate is one if any two nodes that are not adjacent are separated in the other graph by all the
    rest; a directed candidate, if each node is separated in it by its parents from its other predecessors.

    Args:
        candidate: a directed acyclic graph or an undirected graph.
        of: another of the same nodes.

    Returns:
        The decision, with a counterexample if it is not.

    Raises:
        ValueError: if the graphs have different nodes, or a directed graph has a cycle.

    Reference:
        Koller & Friedman 2009, "Probabilistic graphical models", definition 3.3 and theorem 4.5.
    """
    if set(candidate) != set(of):
        raise ValueError(f"the graphs have different nodes: {', '.join(candidate)} and {', '.join(of)}")
    for statement in _basis(candidate):
        if not separation(of, statement.x, statement.y, statement.given).separated:
            return IMap(False, statement)
    return IMap(True, None)


def perfect_map(candidate: nx.Graph, of: nx.Graph) -> PerfectMap:
    """Decide whether two graphs assert the same independencies.

    Args:
        candidate: a directed acyclic graph or an undirected graph.
        of: another of the same nodes.

    Returns:
        The decision, with what is asserted without ground and what is lost.

    Raises:
        ValueError: as in `i_map`.
    """
    forth, back = i_map(candidate, of), i_map(of, candidate)
    return PerfectMap(forth.holds and back.holds, forth.counterexample, back.counterexample)


def _basis(graph: nx.Graph) -> Iterator[Independence]:
    """Independencies from which all others of the graph follow."""
    if graph.is_directed():
        order = list(nx.lexicographical_topological_sort(graph, key=list(graph).index))
        for i, node in enumerate(order):
            parents = frozenset(graph.predecessors(node))
            yield from (Independence(other, node, parents) for other in order[:i] if other not in parents)
    else:
        for one, two in nx.non_edges(graph):
            yield Independence(one, two, frozenset(graph) - {one, two})


def _independencies(graph: nx.Graph) -> Iterator[Independence]:
    for x, y in combinations(graph, 2):
        rest = [node for node in graph if node not in (x, y)]
        for given in chain.from_iterable(combinations(rest, n) for n in range(len(rest) + 1)):
            if separation(graph, x, y, given).separated:
                yield Independence(x, y, frozenset(given))
