"""Factor graphs: named discrete variables with log-potentials, one pytree."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import networkx as nx
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from jaxgen.core import PytreeDataclass, as_float, is_traced
from jaxgen.graphical._domain import Domain, States
from jaxgen.graphical._graphs import as_names, check_names, markov_graph

Factors = Mapping[Any, ArrayLike | Sequence] | Iterable[tuple[Any, ArrayLike | Sequence]]
"""Tables by the names of their axes; pairs where two factors have the same variables."""


@jax.tree_util.register_static
@dataclass(frozen=True)
class FactorStructure:
    """The static part of a factor graph: its variables, and the variables of each factor.

    Attributes:
        domain: names and states.
        scopes: the variables of each factor, one for each axis of its table.
    """

    domain: Domain
    scopes: tuple[tuple[str, ...], ...]


class FactorGraph(PytreeDataclass):
    """A Markov network P(x) = 1/Z exp Σ_f log φ_f(x_f) over named discrete variables.

    `factor_graph` and `markov_network` make one and check it. Its leaves are the log-potentials, so it is its own
    parameters: `jax.grad` differentiates with respect to it, an optimiser updates it, and `jax.vmap` maps over graphs
    of one structure whose tables are stacked, as `jax.tree.map(lambda *tables: jnp.stack(tables), *graphs)` does.

    Attributes:
        structure: variables and scopes; static under `jit`.
        log_potentials: the table of each factor in nats, with an axis for each variable of its scope. −inf forbids an
            assignment.
    """

    structure: FactorStructure
    log_potentials: tuple[Float[Array, "..."], ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The variables."""
        return self.structure.domain.names

    @property
    def states(self) -> dict[str, int | tuple[str, ...]]:
        """The number of states of each variable, or their labels."""
        return self.structure.domain.states

    @property
    def scopes(self) -> tuple[tuple[str, ...], ...]:
        """The variables of each factor."""
        return self.structure.scopes

    @property
    def graph(self) -> nx.Graph:
        """The undirected graph in which the variables of each factor are neighbours."""
        return markov_graph(self.scopes, self.names)


def factor_graph(states: States, log_potentials: Factors) -> FactorGraph:
    """Make a factor graph from log-potentials.

    Args:
        states: the number of states of each variable, or their labels. A variable needs no factor.
        log_potentials: the table of each factor in nats by its variables, {("A", "B"): (2, 3)}; one variable may stand
            alone, {"A": (2,)}. Pairs (variables, table) allow two factors on the same variables. −inf is allowed.

    Returns:
        The factor graph. Tables keep their dtype if it is floating point.

    Raises:
        ValueError: if a variable is unknown or twice in a factor, a table has another shape than its variables ask for,
            or a concrete table holds NaN or +inf.

    Example:
        >>> model = graphical.factor_graph({"A": 2, "B": 3}, {"A": jnp.zeros(2), ("A", "B"): jnp.ones((2, 3))})
    """
    domain = Domain.of(states)
    scopes, tables = [], []
    for scope, table in _pairs(log_potentials):
        table = as_float(table)
        check_scope(domain, scope, table.shape, "the factor")
        if not is_traced(table) and np.any(np.isnan(table) | (np.asarray(table) == np.inf)):
            raise ValueError(f"the log-potentials of ({', '.join(scope)}) must be finite or −inf, got {table}")
        scopes.append(scope)
        tables.append(table)
    return FactorGraph(FactorStructure(domain, tuple(scopes)), tuple(tables))


def markov_network(states: States, potentials: Factors) -> FactorGraph:
    """Make a factor graph from potentials.

    Args:
        states: as in `factor_graph`.
        potentials: as the log-potentials of `factor_graph`, but the potentials themselves, ≥ 0 and finite.

    Returns:
        The factor graph. Where a potential is 0, its log-potential is −inf with a zero gradient.

    Raises:
        ValueError: as in `factor_graph`, or if a concrete potential is negative or not finite.
    """
    pairs = []
    for scope, table in _pairs(potentials):
        if not is_traced(table) and not np.all(np.isfinite(table) & (np.asarray(table) >= 0)):
            raise ValueError(f"the potentials of ({', '.join(scope)}) must be finite and not negative, got {table}")
        pairs.append((scope, safe_log(as_float(table))))
    return factor_graph(states, pairs)


def safe_log(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """The logarithm, −inf with a zero gradient at 0."""
    return jnp.where(x > 0, jnp.log(jnp.where(x > 0, x, 1)), -jnp.inf)


def check_scope(domain: Domain, scope: Sequence[str], shape: tuple[int, ...], what: str) -> None:
    """Raise ValueError for unknown or repeated variables, or a table of another shape."""
    check_names(domain.names, *scope)
    if len(set(scope)) < len(scope):
        raise ValueError(f"{what} ({', '.join(scope)}) names one variable twice")
    if shape != domain.shape(scope):
        sizes = ", ".join(f"{name} has {domain.size(name)} states" for name in scope)
        raise ValueError(
            f"the table of {what} ({', '.join(scope)}) must have shape {domain.shape(scope)}, because {sizes}; "
            f"got {shape}"
        )


def _pairs(factors: Factors) -> list[tuple[tuple[str, ...], Array]]:
    items = factors.items() if isinstance(factors, Mapping) else factors
    return [(as_names(scope), jnp.asarray(table)) for scope, table in items]
