"""Variational inference where the exact answer is known: bounds, their gradients, mini-batches, and encoders.

The homework's section on variational inference, and the Gamma–exponential model. Coordinate ascent and stochastic
ascent on conjugate models are compared with the exact evidence and posterior, every gradient estimator with the closed
form, and encoders with the optimum of each datum.
"""

from pathlib import Path

import jax

from experiments.kit import launch
from experiments.kit.run import begin
from experiments.variational import EXERCISE
from experiments.variational.config import PRESETS, Config
from experiments.variational.measure import measure
from experiments.variational.report import write


def main(config: Config) -> Path:
    """Measure and report; the models have closed forms, and their data are drawn."""
    run = begin(EXERCISE, config)
    with jax.enable_x64(True):  # bounds are compared to a ten-thousandth of a nat, and updates to rounding
        measured = measure(run)
    return write(run, measured)


if __name__ == "__main__":
    launch.run(main, PRESETS)
