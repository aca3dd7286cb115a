"""Bayesian networks: a conditional table for each variable."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import networkx as nx
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Key

from jaxgen.core import PytreeDataclass, as_float, check_positive, is_traced
from jaxgen.graphical._domain import Domain, States
from jaxgen.graphical._graphs import check_names, directed_graph
from jaxgen.graphical.factors import FactorGraph, check_scope, factor_graph, safe_log

Parents = Mapping[str, Sequence[str]]
"""The parents of each variable; one without parents may be left out."""

_TOLERANCE = 1e-4


@jax.tree_util.register_static
@dataclass(frozen=True)
class BayesianStructure:
    """The static part of a Bayesian network: its variables and their parents.

    Attributes:
        domain: names and states.
        parents: the parents of each variable, in the order of the names.
    """

    domain: Domain
    parents: tuple[tuple[str, ...], ...]


class BayesianNetwork(PytreeDataclass):
    """A Bayesian network P(x) = Π_v P(v | parents of v) over named discrete variables.

    `bayesian_network` makes one and checks it. Its leaves are the tables. `to_factor_graph` makes of it what the
    functions of inference take.

    Attributes:
        structure: variables and parents; static under `jit`.
        tables: P(v | parents) of each variable, with an axis for each parent and then that of the variable.
    """

    structure: BayesianStructure
    tables: dict[str, Float[Array, "..."]]

    @property
    def names(self) -> tuple[str, ...]:
        """The variables."""
        return self.structure.domain.names

    @property
    def states(self) -> dict[str, int | tuple[str, ...]]:
        """The number of states of each variable, or their labels."""
        return self.structure.domain.states

    @property
    def parents(self) -> dict[str, tuple[str, ...]]:
        """The parents of each variable."""
        return dict(zip(self.names, self.structure.parents, strict=True))

    @property
    def graph(self) -> nx.DiGraph:
        """The directed graph."""
        return directed_graph(self.parents)


def bayesian_network(states: States, parents: Parents, tables: Mapping[str, ArrayLike | Sequence]) -> BayesianNetwork:
    """Make a Bayesian network.

    Args:
        states: the number of states of each variable, or their labels.
        parents: the parents of each variable; one without parents may be left out.
        tables: the table P(v | parents) of each variable. Its axes are those of the parents, in the order given, and
            then that of the variable, along which it sums to 1.

    Returns:
        The network.

    Raises:
        ValueError: if the edges form a cycle, a variable is unknown or has no table, a table has another shape than its
            variables ask for, or a concrete table has a negative entry or does not sum to 1 within 1e-4.

    Example:
        >>> graphical.bayesian_network(
        ...     {"rain": ["no", "yes"], "wet": ["no", "yes"]},
        ...     {"wet": ["rain"]},
        ...     {"rain": [0.8, 0.2], "wet": [[0.9, 0.1], [0.2, 0.8]]},
        ... )
    """
    structure = bayesian_structure(states, parents)
    domain = structure.domain
    check_names(domain.names, *tables)
    if missing := [name for name in domain.names if name not in tables]:
        raise ValueError(f"no table for {', '.join(missing)}: every variable needs one")
    checked = {}
    for name, of in zip(domain.names, structure.parents, strict=True):
        table = as_float(jnp.asarray(tables[name]))
        check_scope(domain, (*of, name), table.shape, f"P({name}{' | ' * bool(of)}{', '.join(of)}), axes")
        checked[name] = _checked_table(name, of, table)
    return BayesianNetwork(structure, checked)


def bayesian_structure(states: States, parents: Parents) -> BayesianStructure:
    """Check and keep the variables and edges of a Bayesian network."""
    domain = Domain.of(states)
    check_names(domain.names, *parents, *(name for of in parents.values() for name in of))
    directed_graph(parents)
    return BayesianStructure(domain, tuple(tuple(parents.get(name, ())) for name in domain.names))


def random_bayesian_network(
    key: Key[Array, ""], states: States, parents: Parents, concentration: ArrayLike = 1.0
) -> BayesianNetwork:
    """Draw the tables of a Bayesian network from Dirichlet distributions.

    Args:
        key: one typed key.
        states: as in `bayesian_network`.
        parents: as in `bayesian_network`.
        concentration: the parameter > 0 of every symmetric Dirichlet distribution, (). 1 is uniform.

    Returns:
        The network.

    Raises:
        ValueError: as in `bayesian_network`, or if a concrete concentration is not positive.
    """
    check_positive(concentration=concentration)
    structure = bayesian_structure(states, parents)
    domain, tables = structure.domain, {}
    for size in sorted(set(domain.sizes)):  # all rows of one length at once, because each draw compiles for long
        shapes = {
            name: domain.shape(of) for name, of in zip(domain.names, structure.parents, strict=True)
            if domain.size(name) == size
        }  # fmt: skip
        ends = np.cumsum([math.prod(shape) for shape in shapes.values()])
        alpha = jnp.full(size, concentration, jnp.float32)
        rows = jax.random.dirichlet(jax.random.fold_in(key, size), alpha, (int(ends[-1]),))
        for (name, shape), part in zip(shapes.items(), jnp.split(rows, ends[:-1]), strict=True):
            tables[name] = part.reshape(*shape, size)
    return BayesianNetwork(structure, {name: tables[name] for name in domain.names})


def to_factor_graph(network: BayesianNetwork) -> FactorGraph:
    """The factor graph whose potentials are the conditional tables of a Bayesian network; its Z is 1.

    Args:
        network: the network.

    Returns:
        The factor graph. The scope of each factor is the parents of a variable and the variable.
    """
    scopes = [(*of, name) for name, of in network.parents.items()]
    return factor_graph(network.states, [(scope, safe_log(network.tables[scope[-1]])) for scope in scopes])


def _checked_table(name: str, parents: Sequence[str], table: Float[Array, "..."]) -> Float[Array, "..."]:
    if is_traced(table):
        return table
    values = np.asarray(table)
    if not np.all(np.isfinite(values) & (values >= 0)):
        raise ValueError(f"the table of {name!r} must hold probabilities, got {values}")
    sums = values.sum(-1)
    if not np.allclose(sums, 1, atol=_TOLERANCE):
        place = np.unravel_index(np.abs(sums - 1).argmax(), sums.shape)
        where = ", ".join(f"{parent} = {i}" for parent, i in zip(parents, place, strict=True))
        raise ValueError(
            f"the table of {name!r} must sum to 1 along its last axis, that of {name!r}; "
            f"{f'given {where} ' if where else ''}it sums to {sums[place]:g}"
        )
    return table
