"""A budget of seconds as a number of steps: how long a step takes is measured before the training, and recorded."""

import time
from typing import Any, NamedTuple

import numpy as np

from experiments.trilemma.config import Config
from experiments.trilemma.trainer import Trainer
from jaxgen.training import fit

SHARE = 0.06  # of the budget that its measurement takes
STRETCHES = 4  # of steps that are timed, at least
MOST = 100  # compiled calls of a stretch


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
    call, allowed = config.steps_per_call, SHARE * config.seconds
    state, first = _timed(config, trainer, trainer.begin(config.seed), 0, call)
    state, once = _timed(config, trainer, state, call, call)
    stretch, done, times = call * int(np.clip(allowed / STRETCHES / once, 1, MOST)), 2 * call, []
    while len(times) < STRETCHES:
        state, seconds = _timed(config, trainer, state, done, stretch)
        done += stretch
        times.append(seconds)
    low, median, high = np.quantile(np.array(times) / stretch, [0.25, 0.5, 0.75])
    steps = int(np.clip(config.seconds / median, 1, config.steps))
    return Budget(steps, float(median), float(high - low) / 2, max(0.0, first - call * float(median)))


def _timed(config: Config, trainer: Trainer, state: Any, done: int, steps: int) -> tuple[Any, float]:
    """The state after so many further steps, and their wall-clock seconds."""
    began = time.perf_counter()
    state, _ = fit(
        trainer.step, state, trainer.batches(config.seed), steps=done + steps, steps_per_call=config.steps_per_call,
        log_every=10**9, progress=False,
    )  # fmt: skip
    return state, time.perf_counter() - began
