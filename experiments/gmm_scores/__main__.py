"""Scores of a two-dimensional Gaussian mixture: exact and learned fields, Langevin dynamics, and annealing.

Exercise 2 of the homework on score-based models. The mixture is drawn from `--seed`. Networks trained by denoising
score matching at one σ learn the score of p * N(0, σ² I), not of p. One network for all σ, with annealed Langevin
dynamics, also knows the score where data are few, and gives the modes their weights.
"""

from pathlib import Path

from experiments.gmm_scores import EXERCISE
from experiments.gmm_scores.config import PRESETS, Config
from experiments.gmm_scores.measure import measure
from experiments.gmm_scores.report import write
from experiments.gmm_scores.train import train
from experiments.kit import launch
from experiments.kit.run import begin
from jaxgen.distributions import random_mixture


def main(config: Config) -> Path:
    """Draw the mixture, train, measure, report."""
    run = begin(EXERCISE, config)
    models = train(run, random_mixture(config.seed))
    measured = measure(run, models)
    return write(run, measured)


if __name__ == "__main__":
    launch.run(main, PRESETS)
