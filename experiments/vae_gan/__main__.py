"""VAE against GAN: train both on the same digits, and ask discriminators which of them they tell from real digits.

The homework's practical exercise: samples, interpolations and losses of both, what the GAN's own discriminator says of
each, and what discriminators say that are trained afresh on images that no model saw.
"""

from pathlib import Path

from experiments.kit import launch
from experiments.kit.classifier import train_classifier
from experiments.kit.run import begin
from experiments.vae_gan import EXERCISE
from experiments.vae_gan.config import PRESETS, Config
from experiments.vae_gan.data import load
from experiments.vae_gan.measure import measure
from experiments.vae_gan.report import write
from experiments.vae_gan.train import build, train


def main(config: Config) -> Path:
    """Load, train, measure, report."""
    data = load(config)
    nets = build(config, data)
    run = begin(EXERCISE, config)
    trained = train(run, nets, data)
    classifier = train_classifier(run, data.train, data.held_out, steps=config.classifier_steps)
    measured = measure(run, nets, data, trained, classifier)
    return write(run, measured)


if __name__ == "__main__":
    launch.run(main, PRESETS)
