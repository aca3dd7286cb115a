"""Flows of the plane beside the truth: densities, draws, and the distance of the likelihood from the entropy."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments.flows.config import Config
from experiments.flows.densities import EXTENT, densities
from experiments.flows.plane_flows import kinds
from experiments.flows.train_plane import Trained
from experiments.kit.plane import lattice
from experiments.kit.training import parameter_count
from jaxgen.distributions import standard_normal
from jaxgen.flows import Flow
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
        seconds: of training, without compilation.
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


def plane_flow(config: Config, name: str, kind: str, trained: Trained) -> PlaneFlow:
    """Measure a flow on points that it was not trained on."""
    truth, of = densities()[name], kinds(config)[kind]
    points = truth.sample(_key(config, 0), config.test_points)
    draws = _inverse(of.flow, trained.params, standard_normal().sample(_key(config, 1), (DRAWN, 2)))
    log_density, latents = _forward(of.flow, trained.params, jnp.concatenate([draws, points, _grid(config)]))
    back = _inverse(of.flow, trained.params, latents[:DRAWN])
    _, at_points, on_grid = np.split(np.asarray(log_density), np.cumsum([DRAWN, config.test_points]))
    density = np.exp(on_grid).reshape(config.cells, config.cells)
    return PlaneFlow(
        density=density,
        draws=np.asarray(draws),
        gap=mean_and_error(np.asarray(truth.log_density(points)) - at_points),
        mass=float(density.sum() * ((EXTENT[1] - EXTENT[0]) / config.cells) ** 2),
        round_trip=float(jnp.abs(back - draws).max()),
        seconds=trained.seconds,
        parameters=parameter_count(trained.params),
        sampling=of.sampling,
    )


@partial(jax.jit, static_argnums=0)
def _forward(flow: Callable[[Any], Flow], params: Any, x: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The log-densities and the latents of points."""
    made = flow(params)
    z, log_det = made.bijection.forward(x)
    return made.base.log_density(z) + log_det, z


@partial(jax.jit, static_argnums=0)
def _inverse(flow: Callable[[Any], Flow], params: Any, z: jax.Array) -> jax.Array:
    """The points of latents."""
    return flow(params).bijection.inverse(z)[0]


def _grid(config: Config) -> jax.Array:
    return jnp.asarray(lattice(EXTENT, config.cells).reshape(-1, 2), jnp.float32)


def _key(config: Config, use: int) -> jax.Array:
    return jax.random.fold_in(jax.random.key(config.seed + 1000), use)
