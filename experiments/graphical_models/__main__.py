"""Graphical models: statements on two Bayesian networks and a Markov network, decided with their witnesses.

The homework's question on graphical models. Separations are decided on the graphs and compared with exact inference on
random tables. Then networks are sampled, learned again from their samples, and queried. `--network FILE` takes a
network of your own.
"""

from pathlib import Path

import jax

from experiments.graphical_models import EXERCISE
from experiments.graphical_models.config import PRESETS, Config
from experiments.graphical_models.measure import measure
from experiments.graphical_models.network_file import read_subject
from experiments.graphical_models.report import write
from experiments.kit import launch
from experiments.kit.run import begin


def main(config: Config) -> Path:
    """Decide, measure and report."""
    with launch.reading_data():
        own = read_subject(config)
    run = begin(EXERCISE, config)
    with jax.enable_x64(True):  # independence is a difference of zero, which float32 blurs
        measured = measure(run, own)
    return write(run, measured)


if __name__ == "__main__":
    launch.run(main, PRESETS)
