"""The generative trilemma: families of generative models on one data set, under one budget of training seconds.

Tables 5-1 and 5-2 and figure 5-2 of the seminar, drawn from measurements: quality, coverage, speed, training speed,
networks, likelihoods and codes of eight families, beside the literature's numbers.
"""

from pathlib import Path

from experiments.kit import images, launch
from experiments.kit.classifier import train_classifier
from experiments.kit.run import begin
from experiments.trilemma import EXERCISE
from experiments.trilemma.config import PRESETS, Config
from experiments.trilemma.data import load
from experiments.trilemma.families import families
from experiments.trilemma.measure import measure
from experiments.trilemma.report import write
from experiments.trilemma.train import train


def main(config: Config) -> Path:
    """Load, train, measure, report."""
    data = load(config)
    images.fitting(config.unet(), data)
    run = begin(EXERCISE, config)
    chosen = families(config, data)
    trained = train(run, chosen, data)
    classifier = train_classifier(run, data.train, data.held_out, steps=config.classifier_steps)
    measured = measure(run, data, chosen, trained, classifier)
    return write(run, measured)


if __name__ == "__main__":
    launch.run(main, PRESETS)
