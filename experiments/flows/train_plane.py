"""Training of every kind of flow on every density of the plane."""

import time
from functools import partial
from typing import Any, NamedTuple

import jax

from experiments.flows.densities import densities
from experiments.flows.plane_flows import kinds
from experiments.kit.run import Run
from experiments.kit.toy_training import Training


class Trained(NamedTuple):
    """Parameters, and the seconds of training with compilation."""

    params: Any
    seconds: float


def train_plane(run: Run) -> dict[tuple[str, str], Trained]:
    """The flows by density and kind; each is a stage of the run."""
    config, found = run.config, {}
    for kind_index, (kind, of) in enumerate(kinds(config).items()):
        for density_index, (density, truth) in enumerate(densities().items()):

            def loss(key, params, of=of, truth=truth):
                data_key, loss_key = jax.random.split(key)
                return of.loss(loss_key, params, truth.sample(data_key, config.plane_batch_size))

            def fit(key, of=of, loss=loss):
                began = time.perf_counter()
                options = {"steps": of.steps, "learning_rate": config.plane_learning_rate, "progress": config.progress}
                trained = Training(loss, **options)(key, jax.jit(of.init)(key))
                return Trained(trained.params, time.perf_counter() - began)

            key = jax.random.fold_in(jax.random.fold_in(jax.random.key(config.seed), kind_index), density_index)
            name = f"training/{slug(kind)}/{slug(density)}"
            found[density, kind] = run.stage(name, partial(fit, key))
    return found


def slug(name: str) -> str:
    """A name as part of a path."""
    return name.replace(",", "").replace(" ", "-")
