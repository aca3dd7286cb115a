"""Variational diffusion models: a bound that does not depend on the schedule's shape, and a schedule that is learned.

The homework's question on Kingma et al. (2021): the loss of T steps tends to that of continuous time, which depends on
the schedule through its ends alone. The shape is then free to minimise the variance of the estimated loss.
"""

from pathlib import Path

from experiments.kit import images, launch
from experiments.kit.run import begin
from experiments.vdm import EXERCISE
from experiments.vdm.config import PRESETS, Config
from experiments.vdm.measure import measure
from experiments.vdm.report import write
from experiments.vdm.train import build, objective_of, train


def main(config: Config) -> Path:
    """Load, train a model with a fixed and one with a learned schedule, measure, report."""
    data = images.load(config)
    net = images.fitting(build(config), data)
    run = begin(EXERCISE, config)
    objective = objective_of(config, net)
    models = {name: train(run, name, objective, data, learn=name == "learned") for name in ("fixed", "learned")}
    measured = measure(run, data, objective, models)
    return write(run, measured)


if __name__ == "__main__":
    launch.run(main, PRESETS)
