"""Elimination of nodes, and the order by the fewest fill edges."""

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import combinations

Neighbours = Mapping[str, set[str]]


def min_fill(neighbours: Neighbours, sizes: Mapping[str, int], keep: Collection[str] = ()) -> tuple[str, ...]:
    """Order nodes greedily: next is the one whose elimination adds the fewest edges.

    Args:
        neighbours: the neighbours of each node.
        sizes: the number of states of each node. Of nodes that add equally many edges, the one with the smallest table
            is next, and of these the first.
        keep: nodes that are not eliminated.

    Returns:
        The other nodes in the order of elimination.
    """
    around = {node: set(others) for node, others in neighbours.items()}
    left = {node: None for node in around if node not in keep}  # in order, unlike a set
    costs, order = {}, []
    while left:
        for node in left:
            if node not in costs:
                missing = sum(two not in around[one] for one, two in combinations(around[node], 2))
                costs[node] = missing, math.prod(sizes[each] for each in around[node]) * sizes[node]
        node = min(left, key=costs.__getitem__)
        order.append(node)
        del left[node]
        changed = _remove(around, node)
        # a cost depends on the edges between neighbours, so it can only change within two steps
        for each in changed:
            costs.pop(each, None)
            for other in around[each]:
                costs.pop(other, None)
    return tuple(order)


def eliminate(neighbours: Neighbours, order: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """Eliminate nodes in turn, and yield the clique of each: the node and the neighbours that it has by then."""
    around = {node: set(others) for node, others in neighbours.items()}
    for node in order:
        yield (node, *(other for other in neighbours if other in around[node]))
        _remove(around, node)


def _remove(around: dict[str, set[str]], node: str) -> set[str]:
    others = around.pop(node)
    for other in others:
        around[other] |= others - {other}
        around[other].discard(node)
    return others
