"""Improved DDPM: train networks by several schedules and objectives, and compare their bounds and samples.

The seminar's section on Nichol & Dhariwal (2021): its figures of the signal along the chain and of quality when the
first part of the reverse chain is skipped, and tables of bits per dimension and Fréchet distance over schedule,
objective, variance and number of steps.
"""

from pathlib import Path

from experiments.improved_ddpm import EXERCISE
from experiments.improved_ddpm.config import PRESETS, Config
from experiments.improved_ddpm.measure import measure
from experiments.improved_ddpm.report import write
from experiments.improved_ddpm.train import build, train_all
from experiments.kit import images, launch
from experiments.kit.classifier import train_classifier
from experiments.kit.run import begin


def main(config: Config) -> Path:
    """Load, train, measure, report."""
    data = images.load(config)
    net = images.fitting(build(config, data.train.images.shape[-1]), data)
    run = begin(EXERCISE, config)
    networks = train_all(run, net, data)
    classifier = train_classifier(run, data.train, data.held_out, steps=config.classifier_steps)
    measured = measure(run, data, net, networks, classifier)
    return write(run, measured)


if __name__ == "__main__":
    launch.run(main, PRESETS)
