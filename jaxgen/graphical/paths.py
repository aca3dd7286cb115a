"""Separation in directed and undirected graphs, with the path that is the reason."""

from collections import deque
from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

import networkx as nx

from jaxgen.graphical._graphs import Names, as_names, check_acyclic, check_names


class Separation(NamedTuple):
    """Whether two sets of nodes are separated by a third, and why not.

    Attributes:
        separated: whether every path between them is blocked.
        path: the nodes of a shortest active path; None if they are separated. It meets no node twice.
        colliders: the nodes of this path at which two arrows meet, each with an observed node that opens it: the
            collider itself or one of its descendants. Empty in undirected graphs.
        reason: the finding in words.
    """

    separated: bool
    path: tuple[str, ...] | None
    colliders: dict[str, str]
    reason: str


class BlockedPath(NamedTuple):
    """A path between two nodes that is blocked.

    Attributes:
        path: its nodes.
        blocker: a node of the path that blocks it.
        reason: why, in words.
    """

    path: tuple[str, ...]
    blocker: str
    reason: str


def separation(graph: nx.Graph, x: Names, y: Names, given: Names = ()) -> Separation:
    """Decide whether two sets of nodes are separated by a third, by d-separation if the graph is directed.

    In a directed acyclic graph a path is active if each of its colliders is observed or has an observed descendant, and
    no other node of it is observed. In an undirected graph a path is active if none of its nodes is observed.

    The search takes time linear in the number of edges.

    Args:
        graph: a directed acyclic graph or an undirected graph.
        x: a node or several.
        y: a node or several, none of x.
        given: the observed nodes, none of x or y.

    Returns:
        The decision, with an active path if they are not separated.

    Raises:
        ValueError: if a name is unknown, x or y is empty, the sets overlap, or a directed graph has a cycle.

    Reference:
        Koller & Friedman 2009, "Probabilistic graphical models", definition 3.7 and algorithm 3.1.

    Example:
        >>> graph = graphical.directed_graph({"I": ["M", "S"], "D": ["I"]})
        >>> graphical.separation(graph, "M", "S", "D").reason
        'M → I ← S is active: I is a collider with the observed descendant D'
    """
    x, y, given = _checked(graph, x, y, given)
    path = _active_path(graph, x, y, set(given))
    if path is None:
        observed = f" given {', '.join(given)}" if given else ""
        return Separation(True, None, {}, f"every path from {', '.join(x)} to {', '.join(y)} is blocked{observed}")
    colliders = {}
    if graph.is_directed():
        for before, node, after in zip(path, path[1:], path[2:], strict=False):
            if graph.has_edge(before, node) and graph.has_edge(after, node):
                colliders[node] = node if node in given else next(_observed_below(graph, node, given))
    return Separation(False, path, colliders, f"{arrows(graph, path)} is active{_opened(colliders)}")


def blocked_paths(graph: nx.Graph, x: str, y: str, given: Names = ()) -> Iterator[BlockedPath]:
    """Iterate over the blocked paths between two nodes, each with a node that blocks it.

    Together they prove a separation. A graph can have exponentially many paths; take as many as you need with
    `itertools.islice`.

    Args:
        graph: a directed acyclic graph or an undirected graph.
        x: a node.
        y: another node.
        given: the observed nodes.

    Returns:
        The blocked paths, without repeated nodes, in no particular order. Active paths are left out.

    Raises:
        ValueError: as in `separation`.
    """
    _, _, observed = _checked(graph, x, y, given)
    return _blocked(graph, x, y, observed)


def arrows(graph: nx.Graph, path: tuple[str, ...]) -> str:
    """A path as text, such as "M → I ← S".

    Args:
        graph: a directed or an undirected graph.
        path: nodes, each a neighbour of the next.

    Returns:
        The text.
    """
    if not graph.is_directed():
        return " – ".join(path)
    steps = (f" → {head}" if graph.has_edge(tail, head) else f" ← {head}" for tail, head in pairwise(path))
    return path[0] + "".join(steps)


def _checked(graph: nx.Graph, x: Names, y: Names, given: Names) -> tuple[tuple[str, ...], ...]:
    sets = x, y, given = as_names(x), as_names(y), as_names(given)
    check_names(graph, *x, *y, *given)
    if not x or not y:
        raise ValueError("x and y must name at least one variable each")
    for one, two, what in ((x, y, "x and y"), (x, given, "x and given"), (y, given, "y and given")):
        if both := set(one) & set(two):
            raise ValueError(f"{what} must not overlap, both name {', '.join(sorted(both))}")
    if graph.is_directed():
        check_acyclic(graph)
    return sets


def _active_path(graph: nx.Graph, x: tuple[str, ...], y: tuple[str, ...], given: set[str]) -> tuple[str, ...] | None:
    """A shortest active path by breadth-first search over nodes and the direction in which they are reached.

    A shortest path over these states meets no node twice: where it would, leaving the node on the first visit is active
    too.
    """
    directed = graph.is_directed()
    opened = given.union(*(nx.ancestors(graph, node) for node in given)) if directed else set()
    upward = [(node, True) for node in x]  # True: as if reached from a child
    before: dict[tuple[str, bool], tuple[str, bool] | None] = dict.fromkeys(upward)
    queue = deque(upward)
    while queue:
        state = node, from_child = queue.popleft()
        if node in y:
            path = [node]
            while (state := before[state]) is not None:
                path.append(state[0])
            return tuple(reversed(path))
        following = []
        if not directed:
            following = [] if node in given else [(other, True) for other in graph.neighbors(node)]
        else:
            if node not in given:
                following += [(child, False) for child in graph.successors(node)]
            if (from_child and node not in given) or (not from_child and node in opened):
                following += [(parent, True) for parent in graph.predecessors(node)]
        for each in following:
            if each not in before:
                before[each] = state
                queue.append(each)
    return None


def _blocked(graph: nx.Graph, x: str, y: str, given: tuple[str, ...]) -> Iterator[BlockedPath]:
    for nodes in nx.all_simple_paths(graph.to_undirected(as_view=True), x, y):
        path = tuple(nodes)
        for before, node, after in zip(path, path[1:], path[2:], strict=False):
            if graph.is_directed() and graph.has_edge(before, node) and graph.has_edge(after, node):
                if node not in given and next(_observed_below(graph, node, given), None) is None:
                    why = f"at the collider {node}: neither it nor a descendant is observed"
                    yield BlockedPath(path, node, f"{arrows(graph, path)} is blocked {why}")
                    break
            elif node in given:
                yield BlockedPath(path, node, f"{arrows(graph, path)} is blocked at the observed {node}")
                break


def _observed_below(graph: nx.DiGraph, node: str, given: tuple[str, ...]) -> Iterator[str]:
    below = nx.descendants(graph, node)
    return (name for name in given if name in below)


def _opened(colliders: dict[str, str]) -> str:
    parts = [
        f"the collider {node} is observed" if node == by else f"{node} is a collider with the observed descendant {by}"
        for node, by in colliders.items()
    ]
    return f": {', and '.join(parts)}" if parts else ""
