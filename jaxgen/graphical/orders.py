"""Elimination orders, and the refusal of tables that would be too large."""

import math
from collections.abc import Collection, Sequence
from functools import lru_cache
from typing import NamedTuple

from jaxgen.core import check_at_least
from jaxgen.graphical._graphs import Names, as_names, check_names
from jaxgen.graphical._min_fill import eliminate, min_fill
from jaxgen.graphical.factors import FactorGraph, FactorStructure

MAX_ENTRIES = 2**24


class EliminationOrder(NamedTuple):
    """The order in which variables are summed out, and what it costs.

    Attributes:
        names: the variables in this order.
        cliques: of each variable, itself and the variables that it is joined with when it is summed out.
        entries: the number of entries of the largest table.
    """

    names: tuple[str, ...]
    cliques: tuple[tuple[str, ...], ...]
    entries: int

    @property
    def width(self) -> int:
        """The size of the largest clique minus 1, an upper bound of the treewidth."""
        return max(map(len, self.cliques), default=0) - 1


def elimination_order(
    graph: FactorGraph,
    names: Sequence[str] | None = None,
    *,
    keep: Names = (),
    max_entries: int = MAX_ENTRIES,
) -> EliminationOrder:
    """Choose an order of elimination, or check a given one.

    The default order is greedy: next is the variable whose elimination adds the fewest edges to the graph, and of these
    the one with the smallest table. The order in which the graph names its variables, such as the rows of a grid, is
    taken instead where its tables have fewer entries together, or where the greedy order's are too large. The best
    order is NP-hard to find.

    Args:
        graph: the factor graph.
        names: the variables in an order of your own, all that are not kept.
        keep: a variable or several that are not summed out.
        max_entries: the largest table that is accepted. A float32 table of the default 2²⁴ entries takes 64 MiB; a
            gradient keeps the tables of all variables.

    Returns:
        The order.

    Raises:
        ValueError: if a table would be larger, with the clique behind it; if a variable is unknown, or named twice or
            not at all.

    Reference:
        Koller & Friedman 2009, "Probabilistic graphical models", §9.4.3.2.
    """
    check_at_least(1, max_entries=max_entries)
    keep = as_names(keep)
    known = graph.names
    check_names(known, *keep, *(names or ()))
    if names is not None and sorted([*names, *keep]) != sorted(known):
        raise ValueError(
            f"an order and what is kept must name each of {', '.join(known)} once, got {', '.join(names)}"
            + (f" and {', '.join(keep)}" if keep else "")
        )
    orders = _orders(graph.structure, None if names is None else tuple(names), frozenset(keep))
    order = next((each for each in orders if each.entries <= max_entries), orders[0])
    domain = graph.structure.domain
    for clique in (*order.cliques, keep):
        check_entries(clique, domain.shape(clique), max_entries)
    return order


def check_entries(clique: Collection[str], shape: tuple[int, ...], max_entries: int) -> None:
    """Raise ValueError for a table that is too large, naming its clique."""
    if math.prod(shape) <= max_entries:
        return
    listed = ", ".join(f"{name} ({size})" for name, size in zip(clique, shape, strict=True))
    raise ValueError(
        f"exact inference would need a table over the clique of {len(clique)} variables {listed}: "
        f"{math.prod(shape):,} entries, more than max_entries={max_entries:,}. Pass an order of your own or a larger "
        "max_entries to graphical.elimination_order, or use graphical.loopy_belief_propagation, which is approximate"
    )


@lru_cache(maxsize=256)
def _orders(
    structure: FactorStructure, names: tuple[str, ...] | None, keep: frozenset[str]
) -> tuple[EliminationOrder, ...]:
    """The given order, or the greedy one and that of the names, the one of fewer entries first."""
    domain = structure.domain
    neighbours = {name: set() for name in domain.names}
    for scope in structure.scopes:
        for name in scope:
            neighbours[name].update(set(scope) - {name})
    sizes = dict(zip(domain.names, domain.sizes, strict=True))
    # what is kept ends in one table, so it is a clique
    for name in keep:
        neighbours[name] |= keep - {name}
    named = tuple(name for name in domain.names if name not in keep)
    found = []
    for each in (min_fill(neighbours, sizes, keep), named) if names is None else (names,):
        cliques = tuple(eliminate(neighbours, each))
        entries = [math.prod(sizes[name] for name in clique) for clique in cliques]
        found.append((sum(entries), EliminationOrder(each, cliques, max(entries, default=1))))
    return tuple(order for _, order in sorted(found, key=lambda of: of[0]))
