"""How the messages of loopy belief propagation are laid out in arrays."""

from typing import NamedTuple

import numpy as np

from jaxgen.graphical.factors import FactorStructure


class Wiring(NamedTuple):
    """The messages from factors to variables in rows, those to variables of k states in one array (rows, k).

    What is alike lies side by side, so that the size of the compiled program depends on the number of shapes alone.

    Attributes:
        factors: of each shape of a table, the numbers of the factors.
        rows: of each shape and axis, the rows of these factors' messages.
        names: of each k, the variables.
        target: of each k, the number of the variable of each row.
        others: of each k and row, the other rows to the same variable, filled up with the number of rows.
        around: of each k and variable, its rows, filled up likewise.
    """

    factors: dict[tuple[int, ...], list[int]]
    rows: dict[tuple[int, ...], list[slice]]
    names: dict[int, list[str]]
    target: dict[int, np.ndarray]
    others: dict[int, np.ndarray]
    around: dict[int, np.ndarray]


def wire(structure: FactorStructure) -> Wiring:
    """Lay the factors and the messages of a graph side by side."""
    domain, scopes = structure.domain, structure.scopes
    names: dict[int, list[str]] = {}
    for name, size in zip(domain.names, domain.sizes, strict=True):
        names.setdefault(size, []).append(name)
    factors: dict[tuple[int, ...], list[int]] = {}
    for f, scope in enumerate(scopes):
        factors.setdefault(domain.shape(scope), []).append(f)
    rows: dict[tuple[int, ...], list[slice]] = {}
    target: dict[int, list[int]] = {size: [] for size in names}
    for shape, group in factors.items():
        rows[shape] = []
        for axis, size in enumerate(shape):
            begin = len(target[size])
            target[size] += [names[size].index(scopes[f][axis]) for f in group]
            rows[shape].append(slice(begin, len(target[size])))
    targets = {size: np.array(of, int) for size, of in target.items()}
    around = {size: [np.flatnonzero(of == v) for v in range(len(names[size]))] for size, of in targets.items()}
    others = {
        size: [around[size][v][around[size][v] != row] for row, v in enumerate(of)] for size, of in targets.items()
    }
    return Wiring(
        factors,
        rows,
        names,
        targets,
        {size: _filled(others[size], len(of)) for size, of in targets.items()},
        {size: _filled(around[size], len(of)) for size, of in targets.items()},
    )


def _filled(lists: list[np.ndarray], filler: int) -> np.ndarray:
    """Lists as rows of one length."""
    found = np.full((len(lists), max(map(len, lists), default=0)), filler)
    for row, each in zip(found, lists, strict=True):
        row[: len(each)] = each
    return found
