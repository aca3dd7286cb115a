"""Discrete diffusion: masked, uniform and ordinal chains on palette sprites, binary digits and text.

Each chain is trained by its bound in continuous time with the same network. Their bits per token stand beside n-gram
models, and on a law that can be enumerated beside the exact value.
"""

from pathlib import Path

from experiments.discrete import EXERCISE
from experiments.discrete.config import PRESETS, Config
from experiments.discrete.data import load
from experiments.discrete.measure import measure
from experiments.discrete.report import write
from experiments.discrete.train import train
from experiments.kit import launch
from experiments.kit.run import begin


def main(config: Config) -> Path:
    """Load, train, measure, report."""
    data = load(config)
    run = begin(EXERCISE, config)
    models = train(run, data)
    measured = measure(run, data, models)
    return write(run, measured)


if __name__ == "__main__":
    launch.run(main, PRESETS)
