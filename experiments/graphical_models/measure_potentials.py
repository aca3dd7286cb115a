"""The Markov network's potentials: one scaled by 5, and a variable summed out."""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from experiments.graphical_models.config import Config
from experiments.graphical_models.networks import MARKOV, random_model
from jaxgen import graphical

FACTOR = 5.0
SUMMED_OUT = "C"


class Scaling(NamedTuple):
    """One potential times 5."""

    scope: tuple[str, ...]
    before: float  # Z
    after: float
    change: float  # the largest, of any probability in any factor's marginal

    @property
    def ratio(self) -> float:
        """Z after over Z before."""
        return self.after / self.before


class Marginalised(NamedTuple):
    """The Markov network before and after a variable is summed out."""

    name: str
    scope: tuple[str, ...]  # of the new factor
    entries: tuple[int, ...]  # shape of its table
    joined: list[tuple[str, str]]  # edges that are new
    before: float  # Z
    after: float
    change: float  # the largest, of any variable's marginal


def scalings(config: Config) -> list[Scaling]:
    """Scale each potential in turn."""
    graph = random_model(MARKOV, config.seed, config.states)
    z, marginals = float(jnp.exp(graphical.log_partition(graph))), graphical.factor_marginals(graph)
    found = []
    for i, scope in enumerate(graph.scopes):
        tables = [table + np.log(FACTOR) * (i == j) for j, table in enumerate(graph.log_potentials)]
        scaled = graph.replace(log_potentials=tuple(tables))
        change = max(
            float(jnp.abs(one - two).max())
            for one, two in zip(graphical.factor_marginals(scaled), marginals, strict=True)
        )
        found.append(Scaling(scope, z, float(jnp.exp(graphical.log_partition(scaled))), change))
    return found


def marginalised(config: Config) -> Marginalised:
    """Sum out C."""
    graph = random_model(MARKOV, config.seed, config.states)
    left = graphical.marginalise(graph, SUMMED_OUT)
    (new,) = [i for i, scope in enumerate(left.scopes) if scope not in graph.scopes]
    before, after = graphical.marginals(graph), graphical.marginals(left)
    return Marginalised(
        SUMMED_OUT,
        left.scopes[new],
        left.log_potentials[new].shape,
        [edge for edge in left.graph.edges if not graph.graph.has_edge(*edge)],
        float(jnp.exp(graphical.log_partition(graph))),
        float(jnp.exp(graphical.log_partition(left))),
        max(float(jnp.abs(after[name] - before[name]).max()) for name in after),
    )
