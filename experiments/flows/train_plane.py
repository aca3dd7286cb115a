"""Training of every kind of flow on every density of the plane."""

import time
from functools import partial
from typing import Any, NamedTuple

import jax

from experiments.flows.config import Config
from experiments.flows.densities import densities
from experiments.flows.plane_flows import Kind, kinds
from experiments.kit.parallel import in_parallel
from experiments.kit.run import Run
from experiments.kit.toy_training import Training
from jaxgen.distributions import Distribution


class Trained(NamedTuple):
    """Parameters, and the seconds of training with compilation."""

    params: Any
    seconds: float


def train_plane(run: Run[Config]) -> dict[tuple[str, str], Trained]:
    """The flows by density and kind; each is a stage of the run, and each core trains one at a time."""
    jobs, names = {}, {}
    for kind_index, (kind, of) in enumerate(kinds(run.config).items()):
        for density_index, (density, truth) in enumerate(densities().items()):
            key = jax.random.fold_in(jax.random.fold_in(jax.random.key(run.config.seed), kind_index), density_index)
            names[density, kind] = name = f"training/{slug(kind)}/{slug(density)}"
            jobs[name] = partial(_stage, name=name, key=key, of=of, truth=truth)
    found = in_parallel(run, dict(reversed(jobs.items())))  # those that solve an ODE are last, and the longest
    return {which: found[name] for which, name in names.items()}


def _stage(run: Run[Config], *, name: str, key: jax.Array, of: Kind, truth: Distribution) -> Trained:
    config = run.config

    def loss(key, params):
        data_key, loss_key = jax.random.split(key)
        return of.loss(loss_key, params, truth.sample(data_key, config.plane_batch_size))

    def train():
        began = time.perf_counter()
        options = {"steps": of.steps, "learning_rate": config.plane_learning_rate, "progress": config.progress}
        trained = Training(loss, **options)(key, jax.jit(of.init)(key))
        return Trained(trained.params, time.perf_counter() - began)

    return run.stage(name, train)


def slug(name: str) -> str:
    """A name as part of a path."""
    return name.replace(",", "").replace(" ", "-")
