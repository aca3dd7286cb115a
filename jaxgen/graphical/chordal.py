"""Chordal graphs: the cycle that spoils chordality, fill edges, cliques and treewidth."""

from collections.abc import Iterable, Sequence
from itertools import combinations
from typing import NamedTuple

import networkx as nx

from jaxgen.graphical._graphs import check_names
from jaxgen.graphical._min_fill import eliminate, min_fill


class Chordality(NamedTuple):
    """Whether a graph is chordal.

    Attributes:
        chordal: whether every cycle of four or more nodes has a chord.
        cycle: the nodes of a shortest cycle of four or more nodes without a chord; None if the graph is chordal.
    """

    chordal: bool
    cycle: tuple[str, ...] | None


class Triangulation(NamedTuple):
    """A chordal graph that contains a graph.

    Attributes:
        graph: the chordal graph.
        fill: the edges that were added.
        order: the elimination order behind them. It is a perfect elimination order of the chordal graph.
        cliques: the maximal cliques of the chordal graph.
    """

    graph: nx.Graph
    fill: list[tuple[str, str]]
    order: tuple[str, ...]
    cliques: list[tuple[str, ...]]

    @property
    def width(self) -> int:
        """The size of the largest clique minus 1. The treewidth is the smallest width of all triangulations."""
        return max(map(len, self.cliques), default=0) - 1


def chordality(graph: nx.Graph) -> Chordality:
    """Decide whether an undirected graph is chordal.

    Args:
        graph: an undirected graph.

    Returns:
        The decision, with a chordless cycle if it is not.

    Raises:
        ValueError: if the graph is directed.
    """
    _check_undirected(graph)
    best = None
    for node in graph:
        for one, two in combinations(graph[node], 2):
            if graph.has_edge(one, two):
                continue
            # a shortest path that avoids the other neighbours of the node closes a cycle without a chord
            hidden = [node, *(other for other in graph[node] if other not in (one, two))]
            try:
                path = nx.shortest_path(nx.restricted_view(graph, hidden, []), one, two)
            except nx.NetworkXNoPath:
                continue
            if best is None or len(path) + 1 < len(best):
                best = (node, *path)
    return Chordality(best is None, best)


def triangulation(graph: nx.Graph, order: Sequence[str] | None = None) -> Triangulation:
    """Make an undirected graph chordal: eliminate its nodes in turn, joining the neighbours of each.

    Args:
        graph: an undirected graph.
        order: all its nodes in the order of elimination. By default, the node whose elimination adds the fewest edges
            is next. This heuristic adds none to a chordal graph; otherwise it need not find the fewest.

    Returns:
        The chordal graph and the edges that were added.

    Raises:
        ValueError: if the graph is directed, or the order does not name each node once.

    Reference:
        Koller & Friedman 2009, "Probabilistic graphical models", §9.4.3 and algorithm 9.4.
    """
    _check_undirected(graph)
    neighbours = {node: set(graph[node]) - {node} for node in graph}
    if order is None:
        order = min_fill(neighbours, dict.fromkeys(graph, 2))
    else:
        check_names(graph, *order)
        if sorted(order) != sorted(graph):
            raise ValueError(f"the order must name each of {', '.join(graph)} once, got {', '.join(order)}")
    chordal = nx.Graph(graph)
    for clique in eliminate(neighbours, order):
        chordal.add_edges_from(combinations(clique, 2))
    place = {node: i for i, node in enumerate(graph)}
    fill = [
        tuple(sorted(edge, key=place.__getitem__)) for edge in chordal.edges if not graph.has_edge(*edge)
    ]  # fmt: skip
    return Triangulation(chordal, sorted(fill), tuple(order), maximal_cliques(chordal))


def maximal_cliques(graph: nx.Graph) -> list[tuple[str, ...]]:
    """List the maximal cliques of an undirected graph.

    Args:
        graph: an undirected graph.

    Returns:
        The cliques, each in the order of the graph's nodes, sorted by that order.

    Raises:
        ValueError: if the graph is directed.
    """
    _check_undirected(graph)
    place = {node: i for i, node in enumerate(graph)}
    cliques: Iterable[list[str]] = nx.find_cliques(graph)
    ordered = (tuple(sorted(clique, key=place.__getitem__)) for clique in cliques)
    return sorted(ordered, key=lambda clique: [place[node] for node in clique])


def _check_undirected(graph: nx.Graph) -> None:
    if graph.is_directed():
        raise ValueError("this is a question on undirected graphs: take graphical.moral_graph(graph).graph")
