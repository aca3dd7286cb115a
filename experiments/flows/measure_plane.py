"""Flows of the plane beside the truth: densities, draws, and the distance of the likelihood from the entropy."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments.flows.config import Config
from experiments.flows.densities import EXTENT, densities
from experiments.flows.plane_flows import kinds
from experiments.flows.train_plane import Trained
from experiments.kit.plane import lattice
from experiments.kit.training import parameter_count
from jaxgen.metrics import MeanAndError, mean_and_error

DRAWN = 1000  # points that are shown


class Plane(NamedTuple):
    """A density on the lattice (cells, cells), draws (n, 2), and its entropy in nats."""

    density: np.ndarray
    draws: np.ndarray
    entropy: MeanAndError


class PlaneFlow(NamedTuple):
    """A trained flow.

    Attributes:
        density: its density on the lattice, (cells, cells).
        draws: its draws, (n, 2).
        gap: E[log p − log q] in nats at new points of p: the Kullback–Leibler divergence.
        mass: the sum of the density over the lattice's cells.
        round_trip: the largest distance of a draw from inverse(forward(draw)).
        seconds: of training, with compilation.
        parameters: number of parameters.
        sampling: network calls for a sample.
    """

    density: np.ndarray
    draws: np.ndarray
    gap: MeanAndError
    mass: float
    round_trip: float
    seconds: float
    parameters: int
    sampling: str


def truths(config: Config) -> dict[str, Plane]:
    """The densities themselves."""
    found = {}
    for name, of in densities().items():
        x = of.sample(_key(config, 0), config.test_points)
        density = np.exp(np.asarray(of.log_density(_grid(config)))).reshape(config.cells, config.cells)
        found[name] = Plane(density, np.asarray(x[:DRAWN]), mean_and_error(-np.asarray(of.log_density(x))))
    return found


def plane_flow(config: Config, density: str, kind: str, trained: Trained) -> PlaneFlow:
    """Measure a flow on points that it was not trained on."""
    truth, of = densities()[density], kinds(config)[kind]

    @jax.jit
    def evaluate(params, x):
        return of.flow(params).log_density(x)

    @jax.jit
    def drawn(params, key):
        flow = of.flow(params)
        x = flow.sample(key, (DRAWN, 2))
        z, _ = flow.bijection.forward(x)
        back, _ = flow.bijection.inverse(z)
        return x, jnp.abs(back - x).max()

    x = truth.sample(_key(config, 0), config.test_points)
    grid = np.exp(np.asarray(evaluate(trained.params, _grid(config)))).reshape(config.cells, config.cells)
    draws, round_trip = drawn(trained.params, _key(config, 1))
    return PlaneFlow(
        density=grid,
        draws=np.asarray(draws),
        gap=mean_and_error(np.asarray(truth.log_density(x)) - np.asarray(evaluate(trained.params, x))),
        mass=float(grid.sum() * ((EXTENT[1] - EXTENT[0]) / config.cells) ** 2),
        round_trip=float(round_trip),
        seconds=trained.seconds,
        parameters=parameter_count(trained.params),
        sampling=of.sampling,
    )


def _grid(config: Config) -> jax.Array:
    return jnp.asarray(lattice(EXTENT, config.cells).reshape(-1, 2), jnp.float32)


def _key(config: Config, use: int) -> jax.Array:
    return jax.random.fold_in(jax.random.key(config.seed + 1000), use)
