"""Markov blankets, moral graphs, and directed graphs of undirected ones."""

from collections.abc import Sequence
from itertools import combinations
from typing import NamedTuple

import networkx as nx

from jaxgen.graphical._graphs import check_acyclic, check_names
from jaxgen.graphical.chordal import triangulation


class MarkovBlanket(NamedTuple):
    """The nodes that separate a node from all others.

    Attributes:
        parents: its parents.
        children: its children.
        co_parents: the other parents of its children.
    """

    parents: tuple[str, ...]
    children: tuple[str, ...]
    co_parents: tuple[str, ...]

    @property
    def names(self) -> frozenset[str]:
        """All of them."""
        return frozenset(self.parents + self.children + self.co_parents)


class MoralGraph(NamedTuple):
    """The moral graph of a directed graph.

    Attributes:
        graph: the undirected graph.
        marriages: the edges that were added between parents, each with the children that they share.
    """

    graph: nx.Graph
    marriages: dict[tuple[str, str], tuple[str, ...]]


class Orientation(NamedTuple):
    """A directed graph that asserts no independence which an undirected graph lacks.

    Attributes:
        graph: the directed acyclic graph.
        fill: edges that were added. Without them it has exactly the independencies of the undirected graph.
    """

    graph: nx.DiGraph
    fill: list[tuple[str, str]]


def markov_blanket(graph: nx.DiGraph, name: str) -> MarkovBlanket:
    """The Markov blanket of a node: its parents, its children, and the other parents of its children.

    Args:
        graph: a directed acyclic graph.
        name: the node.

    Returns:
        The blanket by kinship. A co-parent that is also a parent or a child is listed as that alone.

    Raises:
        ValueError: if the name is unknown, or the graph has a cycle or is undirected.
    """
    _check_directed(graph)
    check_names(graph, name)
    parents, children = tuple(graph.predecessors(name)), tuple(graph.successors(name))
    others = {other for child in children for other in graph.predecessors(child)} - {name, *parents, *children}
    return MarkovBlanket(parents, children, tuple(other for other in graph if other in others))


def moral_graph(graph: nx.DiGraph) -> MoralGraph:
    """The moral graph: the edges without their directions, and an edge between any two parents of a node.

    It is the smallest undirected graph that asserts no independence which the directed graph lacks.

    Args:
        graph: a directed acyclic graph.

    Returns:
        The undirected graph and its added edges.

    Raises:
        ValueError: if the graph has a cycle or is undirected.

    Reference:
        Koller & Friedman 2009, "Probabilistic graphical models", definition 4.16 and proposition 4.8.
    """
    _check_directed(graph)
    undirected, marriages = nx.Graph(), {}
    undirected.add_nodes_from(graph)
    undirected.add_edges_from(graph.edges)
    place = {node: i for i, node in enumerate(graph)}
    for child in graph:
        for pair in combinations(sorted(graph.predecessors(child), key=place.__getitem__), 2):
            if not graph.has_edge(*pair) and not graph.has_edge(*pair[::-1]):
                marriages[pair] = (*marriages.get(pair, ()), child)
    undirected.add_edges_from(marriages)
    return MoralGraph(undirected, marriages)


def orientation(graph: nx.Graph, order: Sequence[str] | None = None) -> Orientation:
    """A directed graph for an undirected one: triangulated, then each edge points to the node eliminated earlier.

    The parents of a node are pairwise adjacent, so the directed graph has the independencies of the triangulated graph
    exactly.

    Args:
        graph: an undirected graph.
        order: all its nodes in the order of elimination; by default that of the fewest fill edges.

    Returns:
        The directed graph, and the fill edges that it has beyond the undirected one.

    Raises:
        ValueError: if the graph is directed, or the order does not name each node once.

    Reference:
        Koller & Friedman 2009, "Probabilistic graphical models", theorem 4.13.
    """
    found = triangulation(graph, order)
    place = {node: i for i, node in enumerate(found.order)}
    directed = nx.DiGraph()
    directed.add_nodes_from(reversed(found.order))
    directed.add_edges_from(sorted(edge, key=place.__getitem__, reverse=True) for edge in found.graph.edges)
    return Orientation(directed, found.fill)


def _check_directed(graph: nx.Graph) -> None:
    if not graph.is_directed():
        raise ValueError("this is a question on directed graphs: take graphical.orientation(graph).graph")
    check_acyclic(graph)
