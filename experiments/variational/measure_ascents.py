"""Coordinate ascent and stochastic ascent on the conjugate models, against their exact evidence."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import numpy as np

from experiments.variational.config import Config
from experiments.variational.problems import Problem
from jaxgen import variational
from jaxgen.metrics import MeanAndError, mean_and_error

ROUNDING = 1e-12  # of the ELBO


class Ascents(NamedTuple):
    """Ascents on one model, in nats."""

    log_evidence: float
    elbo: np.ndarray  # (starts, 1 + 2 sweeps), at the start and after every update of one factor
    stochastic_elbo: np.ndarray  # (runs, steps), before every step
    batch_share: float  # a batch over the data
    optimum: Any  # the factors that coordinate ascent ends with from its best start

    @property
    def gap(self) -> np.ndarray:
        """log p(x) − ELBO of coordinate ascent, (starts, 1 + 2 sweeps)."""
        return self.log_evidence - self.elbo

    @property
    def best(self) -> int:
        """The start that ends highest."""
        return int(self.elbo[:, -1].argmax())

    @property
    def best_gap(self) -> float:
        """The gap at the end from the best start."""
        return float(self.gap[self.best, -1])

    @property
    def worst_gap(self) -> float:
        """The gap at the end from the worst start."""
        return float(self.gap[:, -1].max())

    @property
    def sweeps_needed(self) -> float:
        """The sweeps after which the best start is within .001 of its end."""
        along = self.gap[self.best]
        return float(np.argmax(along < along[-1] + 1e-3) / 2)

    @property
    def updates(self) -> int:
        """The number of updates of one factor, over all starts."""
        return self.elbo[:, 1:].size

    @property
    def largest_fall(self) -> float:
        """The largest fall of the ELBO in one update, relative to the ELBO; 0 where it is only rounding."""
        fall = float(np.max(-np.diff(self.elbo, axis=1) / np.abs(self.elbo[:, 1:])))
        return fall if fall > ROUNDING else 0.0

    @property
    def stochastic_excess(self) -> MeanAndError:
        """How far stochastic ascent ends below coordinate ascent, over its runs."""
        return mean_and_error(self.elbo[self.best, -1] - self.stochastic_elbo[:, -1])


def ascents(config: Config, models: Mapping[str, Problem]) -> dict[str, Ascents]:
    """Climb by both from random starts, on every model."""
    found = {}
    for i, (name, model) in enumerate(models.items()):

        def climb(key, model=model):
            return variational.coordinate_ascent(model.updates, model.elbo, model.start(key), config.sweeps)

        starts, runs = (
            jax.random.split(jax.random.fold_in(jax.random.key(seed), i), n)
            for seed, n in ((config.seed, config.starts), (config.seed + 1, config.seeds))
        )
        by_coordinates = jax.jit(jax.vmap(climb))(starts)
        elbos = np.asarray(by_coordinates.elbos).reshape(config.starts, -1)
        elbo = np.concatenate([np.asarray(by_coordinates.start)[:, None], elbos], 1)
        best = int(elbo[:, -1].argmax())
        found[name] = Ascents(
            log_evidence=model.log_evidence,
            elbo=elbo,
            stochastic_elbo=np.asarray(jax.jit(jax.vmap(model.stochastic))(runs)),
            batch_share=config.batch_size / len(model.x),
            optimum=jax.tree.map(lambda leaf, best=best: np.asarray(leaf[best]), by_coordinates.factors),
        )
    return found
