"""Normalizing flows: exact likelihoods in the plane and of images, and what they say of samples.

The first part trains a flow of each kind on two densities that are known, so that the distance to the best possible
likelihood can be measured. The second trains Glow on digits and sprites. The third answers the exam's first question: a
model of almost perfect likelihood can draw noise, and a model of good samples can have a poor likelihood.
"""

from pathlib import Path

from experiments.flows import EXERCISE
from experiments.flows.config import PRESETS, Config
from experiments.flows.data import load
from experiments.flows.measure import measure
from experiments.flows.report import write
from experiments.flows.train import train
from experiments.flows.train_plane import train_plane
from experiments.kit import launch
from experiments.kit.classifier import train_classifier
from experiments.kit.run import begin


def main(config: Config) -> Path:
    """Load, train, measure, report."""
    data = load(config)
    run = begin(EXERCISE, config)
    plane = train_plane(run)
    models = train(run, data)
    sprites = data["sprites"]
    classifier = train_classifier(run, sprites.train, sprites.held_out, steps=config.classifier_steps)
    measured = measure(run, plane, data, models, classifier)
    return write(run, measured)


if __name__ == "__main__":
    launch.run(main, PRESETS)
