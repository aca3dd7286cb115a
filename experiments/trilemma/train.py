"""The trainings of all families: each network gets the same seconds."""

from functools import cache, partial
from typing import Any, NamedTuple

import jax

from experiments.kit.run import Run
from experiments.kit.training import parameter_count
from experiments.trilemma.budget import Budget, measure_budget
from experiments.trilemma.config import Config
from experiments.trilemma.data import Data
from experiments.trilemma.family import Family
from experiments.trilemma.trainer import Trainer
from jaxgen.training import Diverged, History

TWIN_SEED = 100  # beyond the first one's


class Snapshot(NamedTuple):
    """Averaged parameters in the middle or at the end of a training, after so many steps."""

    steps: int
    params: Any


class Trained(NamedTuple):
    """A trained family.

    Attributes:
        budget: what its seconds bought.
        parameters: number of parameters of all networks that are trained.
        snapshots: along the training, the last at its end.
        twin: averaged parameters of the training from another seed; None without.
        history: of the losses of the first seed.
    """

    budget: Budget
    parameters: int
    snapshots: list[Snapshot]
    twin: Any
    history: History

    @property
    def params(self) -> Any:
        """The averaged parameters at the end."""
        return self.snapshots[-1].params


def train(run: Run[Config], families: dict[str, Family], data: Data) -> dict[str, Trained]:
    """Train every family, and some from a second seed."""
    return {name: train_family(run, name, family, data) for name, family in families.items()}


def train_family(run: Run[Config], name: str, family: Family, data: Data) -> Trained:
    """Measure what the seconds of a family buy, and train it for as many steps."""
    config = run.config
    trainer = cache(partial(Trainer, config, family, data))  # made only if something is left to train
    budget: Budget = run.stage(f"budget/{name}", lambda: measure_budget(config, trainer()))

    def params_after(folder: str, seed: int, steps: int) -> Any:
        try:
            return run.stage(
                f"parameters/{folder}/{steps}", lambda: trainer().train(run, folder, seed, steps, budget.steps)
            )
        except Diverged as error:
            remedy = "Begin a run with a lower learning rate, or continue this one without it, by --models"
            raise Diverged(f"{family.title}: {error}. {remedy}", error.history) from error

    steps = sorted({max(1, round(share * budget.steps)) for share in config.marks})
    snapshots = [Snapshot(count, params_after(name, config.seed, count)) for count in steps]
    twin = None
    if name in config.twins:
        twin = params_after(f"{name}-twin", config.seed + TWIN_SEED, budget.steps)
    count = parameter_count(jax.eval_shape(family.training.initial, config.seed))
    return Trained(budget, count, snapshots, twin, History.read(run.directory / name / "metrics.jsonl"))
