"""Graphs with named nodes: how they are made, and early refusals of names that they do not have."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import combinations

import networkx as nx

Names = str | Collection[str]
"""One name, or several."""


def directed_graph(parents: Mapping[str, Sequence[str]]) -> nx.DiGraph:
    """A directed acyclic graph from the parents of its nodes.

    Args:
        parents: the parents of each node, in any order of the nodes. A node that is only a parent may be left out.

    Returns:
        The graph. Its nodes are in the order in which they are first mentioned as keys, then as parents.

    Raises:
        ValueError: if the edges form a cycle, a parent is named twice, or the parents of a node are one text.

    Example:
        >>> graphical.directed_graph({"S": ["O"], "B": ["S"], "T": ["O", "A"], "M": ["B", "T", "A"], "C": []})
    """
    graph = nx.DiGraph()
    graph.add_nodes_from(parents)
    for child, names in parents.items():
        if isinstance(names, str):
            raise ValueError(f"the parents of {child!r} are the text {names!r}: give a sequence of names, [{names!r}]")
        if len(set(names)) < len(names):
            raise ValueError(f"the parents of {child!r} name one node twice: {', '.join(names)}")
        graph.add_edges_from((parent, child) for parent in names)
    check_acyclic(graph)
    return graph


def markov_graph(scopes: Iterable[Sequence[str]], names: Iterable[str] = ()) -> nx.Graph:
    """The undirected graph in which the variables of each factor are neighbours of each other.

    Args:
        scopes: the variables of each factor.
        names: further nodes, such as variables without a factor. They come first.

    Returns:
        The graph.
    """
    graph = nx.Graph()
    graph.add_nodes_from(names)
    for scope in scopes:
        graph.add_nodes_from(scope)
        graph.add_edges_from(combinations(scope, 2))
    return graph


def check_acyclic(graph: nx.DiGraph) -> None:
    """Raise ValueError for a graph with a directed cycle, naming the cycle."""
    try:
        cycle = nx.find_cycle(graph)
    except nx.NetworkXNoCycle:
        return
    path = " → ".join([cycle[0][0], *(head for _, head in cycle)])
    raise ValueError(f"a Bayesian network has no directed cycles, and this graph has {path}: remove one of these edges")


def check_names(known: Collection[str], *names: str) -> None:
    """Raise ValueError for a name that is not known."""
    for name in names:
        if name not in known:
            listed = ", ".join(map(str, list(known)[:20])) + (", …" if len(known) > 20 else "")
            raise ValueError(f"unknown variable {name!r}: there are {listed or 'none'}")


def as_names(names: Names) -> tuple[str, ...]:
    """One name or several as a tuple."""
    return (names,) if isinstance(names, str) else tuple(names)
