"""Training of every kind of flow on every density of the plane."""

import time
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax

from experiments.flows.config import Config
from experiments.flows.densities import densities
from experiments.flows.plane_flows import Kind, kinds
from experiments.kit.parallel import in_parallel
from experiments.kit.run import Run
from experiments.kit.toy_training import Training


class Trained(NamedTuple):
    """Parameters, and the seconds of training without compilation."""

    params: Any
    seconds: float


def train_plane(run: Run[Config]) -> dict[tuple[str, str], Trained]:
    """The flows by density and kind; each is a stage of the run. Each core trains one kind at a time."""
    jobs = {kind: partial(_train, index=i, kind=kind, of=of) for i, (kind, of) in enumerate(kinds(run.config).items())}
    found = in_parallel(run, dict(reversed(jobs.items())))  # those that solve an ODE are last, and the longest
    return {(density, kind): found[kind][density] for kind in jobs for density in densities()}


def _train(run: Run[Config], *, index: int, kind: str, of: Kind) -> dict[str, Trained]:
    """The flows of one kind, by density."""
    fit, found = fitter(run.config, of), {}
    for i, density in enumerate(densities()):
        key = jax.random.fold_in(jax.random.fold_in(jax.random.key(run.config.seed), index), i)
        found[density] = run.stage(f"training/{slug(kind)}/{slug(density)}", partial(fit, key, i))
    return found


def fitter(config: Config, of: Kind) -> Callable[[jax.Array, int], Trained]:
    """A function (key, number of the density) -> Trained for a kind of flow, compiled once for all densities."""
    draws = [lambda key, of=of: of.sample(key, config.plane_batch_size) for of in densities().values()]

    def loss(key, params, density):
        data_key, loss_key = jax.random.split(key)
        return of.loss(loss_key, params, jax.lax.switch(density, draws, data_key))

    training = Training(loss, steps=of.steps, learning_rate=config.plane_learning_rate, progress=config.progress)
    first = jax.jit(of.init)

    def fit(key, density):
        params = first(key)
        training.compile(key, params, density)
        began = time.perf_counter()
        trained = training(key, params, density)
        return Trained(trained.params, time.perf_counter() - began)

    return fit


def slug(name: str) -> str:
    """A name as part of a path."""
    return name.replace(",", "").replace(" ", "-")
