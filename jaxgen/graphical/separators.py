"""All minimal sets that separate two nodes."""

import networkx as nx

from jaxgen.graphical._graphs import check_acyclic, check_names


def minimal_separators(graph: nx.Graph, x: str, y: str) -> list[tuple[str, ...]]:
    """List every minimal set of nodes that separates two nodes.

    A set is minimal if no proper subset of it separates them. Minimal sets can differ in size. A graph can have
    exponentially many; the time between two of them is polynomial.

    Args:
        graph: a directed acyclic graph, where separation is d-separation, or an undirected graph.
        x: a node.
        y: another node.

    Returns:
        The sets, each in the order of the graph's nodes, the smallest first. An empty list if x and y are adjacent; the
        empty set alone if they are separated without one.

    Raises:
        ValueError: if a name is unknown, x is y, or a directed graph has a cycle.

    Reference:
        Shen & Liang 1997, "Efficient enumeration of all minimal separators in a graph"; for directed graphs
        van der Zander, Liśkiewicz & Textor 2014, "Constructing separators and adjustment sets in ancestral graphs".
    """
    check_names(graph, x, y)
    if x == y:
        raise ValueError(f"a variable cannot be separated from itself, got {x!r} twice")
    if graph.is_directed():
        check_acyclic(graph)
        relevant = {x, y} | nx.ancestors(graph, x) | nx.ancestors(graph, y)
        graph = nx.moral_graph(graph.subgraph(node for node in graph if node in relevant))
    if graph.has_edge(x, y):
        return []
    place = {node: i for i, node in enumerate(graph)}
    first = _beyond(graph, {x}, y)
    found, queue = {first}, [first]
    while queue:
        separator = queue.pop()
        near = nx.node_connected_component(nx.restricted_view(graph, separator, []), x)
        for node in separator:
            if not graph.has_edge(node, y):
                following = _beyond(graph, near | {node}, y)
                if following not in found:
                    found.add(following)
                    queue.append(following)
    ordered = (tuple(sorted(separator, key=place.__getitem__)) for separator in found)
    return sorted(ordered, key=lambda names: (len(names), [place[name] for name in names]))


def _beyond(graph: nx.Graph, near: set[str], y: str) -> frozenset[str]:
    """The neighbours of the component of y that is left without a connected set and its neighbours."""
    border = nx.node_boundary(graph, near)
    component = nx.node_connected_component(nx.restricted_view(graph, near | border, []), y)
    return frozenset(nx.node_boundary(graph, component))
