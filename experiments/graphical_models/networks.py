"""The two Bayesian networks and the Markov network of the exercise, with places to draw them."""

from collections.abc import Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
import networkx as nx

from jaxgen import graphical

Places = Mapping[str, tuple[float | int, float | int]]


class Given(NamedTuple):
    """A network of the exercise: a name, its graph, the scopes of its potentials if it is undirected, and places."""

    name: str
    graph: nx.Graph
    scopes: list[tuple[str, ...]] | None
    places: Places


FIRST = Given(
    "first network",
    graphical.directed_graph({"M": [], "S": [], "F": [], "I": ["M", "S"], "T": ["F"], "D": ["I", "T"]}),
    None,
    {"M": (0, 2), "S": (1.2, 2), "F": (2.4, 2), "I": (0.6, 1), "T": (2.4, 1), "D": (1.5, 0)},
)
SECOND = Given(
    "second network",
    graphical.directed_graph(
        {"C": [], "O": [], "A": [], "S": ["O"], "B": ["S"], "T": ["O", "A"], "M": ["B", "T", "A"]}
    ),
    None,
    {"C": (3, 3), "O": (1, 3), "A": (2.4, 2.4), "S": (0, 2), "B": (0, 1), "T": (1.3, 1.25), "M": (1.5, -0.1)},
)
SCOPES = [("A", "B", "C"), ("B", "C", "D"), ("C", "D", "F"), ("F", "E"), ("B", "E"), ("E", "G")]
MARKOV = Given(
    "Markov network",
    graphical.markov_graph(SCOPES),
    SCOPES,
    {"A": (0, 1.2), "B": (1, 2), "C": (1, 0.5), "D": (2.1, 1.2), "F": (2.2, 0), "E": (3.2, 2), "G": (4.1, 0.9)},
)
GIVEN = (FIRST, SECOND, MARKOV)


def random_model(given: Given, seed: int, states: int) -> graphical.FactorGraph:
    """A network with random tables: uniform conditionals, or standard normal log-potentials."""
    sizes, key = dict.fromkeys(given.graph, states), jax.random.key(seed)
    if given.scopes is None:
        parents = {name: list(given.graph.predecessors(name)) for name in given.graph}
        network = graphical.random_bayesian_network(key, sizes, parents)
        tables = {name: table / table.sum(-1, keepdims=True) for name, table in doubled(network.tables).items()}
        return graphical.to_factor_graph(network.replace(tables=tables))
    tables = [
        (scope, jax.random.normal(jax.random.fold_in(key, i), (states,) * len(scope), jnp.float64))
        for i, scope in enumerate(given.scopes)
    ]
    return graphical.factor_graph(sizes, tables)


def doubled(tables):
    """Tables in float64."""
    return jax.tree.map(lambda table: table.astype(jnp.float64), tables)
