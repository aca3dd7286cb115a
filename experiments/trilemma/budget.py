"""A budget of seconds as a number of steps: how long a step takes is measured before the training, and recorded."""

import time
from typing import Any, NamedTuple

import numpy as np

from experiments.trilemma.config import Config
from experiments.trilemma.trainer import Trainer
from jaxgen.training import fit

SHARE, MOST = 0.06, 40  # of the budget that its measurement takes, and stretches of steps in it
CALLS = 4  # compiled calls of a stretch


class Budget(NamedTuple):
    """What a family's budget buys.

    Attributes:
        steps: training steps of each of its networks.
        seconds_per_step: the median of the measured stretches.
        spread: half the distance of their quartiles.
        compile_seconds: of the first call, less those of its steps.
    """

    steps: int
    seconds_per_step: float
    spread: float
    compile_seconds: float

    @property
    def seconds(self) -> float:
        """Training seconds of all steps."""
        return self.steps * self.seconds_per_step


def measure_budget(config: Config, trainer: Trainer) -> Budget:
    """Time steps of a training that is then thrown away."""
    stretch = CALLS * config.steps_per_call
    state, first = _timed(config, trainer, trainer.begin(config.seed), 0, config.steps_per_call)
    done, times = config.steps_per_call, []
    while len(times) < 3 or (sum(times) < SHARE * config.seconds and len(times) < MOST):
        state, seconds = _timed(config, trainer, state, done, stretch)
        done += stretch
        times.append(seconds)
    low, median, high = np.quantile(np.array(times) / stretch, [0.25, 0.5, 0.75])
    steps = int(np.clip(config.seconds / median, 1, config.steps))
    return Budget(steps, float(median), float(high - low) / 2, max(0.0, first - config.steps_per_call * float(median)))


def _timed(config: Config, trainer: Trainer, state: Any, done: int, steps: int) -> tuple[Any, float]:
    """The state after so many further steps, and their wall-clock seconds."""
    began = time.perf_counter()
    state, _ = fit(
        trainer.step, state, trainer.batches(config.seed), steps=done + steps, steps_per_call=config.steps_per_call,
        log_every=10**9, progress=False,
    )  # fmt: skip
    return state, time.perf_counter() - began
