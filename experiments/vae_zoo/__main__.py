"""Four autoencoders on one data set: VAE, VampPrior VAE, VQ-VAE and SC-VAE.

Exercise 2.2 of the report. The models differ in their codes (a Gaussian, indices into a codebook, or a sparse
combination of atoms) and in their priors over codes.
"""

from pathlib import Path

from experiments.kit import launch
from experiments.kit.classifier import train_classifier
from experiments.kit.run import begin
from experiments.vae_zoo import EXERCISE
from experiments.vae_zoo.config import PRESETS, Config
from experiments.vae_zoo.data import load
from experiments.vae_zoo.measure import measure
from experiments.vae_zoo.report import write
from experiments.vae_zoo.train import train


def main(config: Config) -> Path:
    """Load, train, measure, report."""
    data = load(config)
    run = begin(EXERCISE, config)
    models = train(run, data)
    classifier = train_classifier(run, data.train, data.held_out, steps=config.classifier_steps)
    measured = measure(run, data, models, classifier)
    return write(run, measured)


if __name__ == "__main__":
    launch.run(main, PRESETS)
