"""Energies of two known densities of the plane: maximum likelihood, score matching and recovery likelihood.

The exam's questions on energy-based models. In the plane log Z is exact by quadrature, so every learned energy has a
divergence from the truth. A DDPM of about as many parameters says what sampling an energy costs.
"""

from pathlib import Path

from experiments.ebm import EXERCISE
from experiments.ebm.config import PRESETS, Config
from experiments.ebm.measure import measure
from experiments.ebm.report import write
from experiments.ebm.train import train
from experiments.kit import launch
from experiments.kit.run import begin


def main(config: Config) -> Path:
    """Train every method on both densities, measure, report."""
    run = begin(EXERCISE, config)
    trained = train(run)
    measured = measure(run, trained)
    return write(run, measured)


if __name__ == "__main__":
    launch.run(main, PRESETS)
