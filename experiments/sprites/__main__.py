"""Game sprites with DDPM and DDIM: train a diffusion model on 16×16 images, sample it both ways, compare them.

Exercise 1 of the homework on DDPM, DDIM and score-based models: one-shot perturbation, ε-MSE training of a conditional
U-Net under a linear β schedule, 50 samples of each kind, what the noise z is for, and quality against wall time.
"""

from pathlib import Path

from experiments.kit import images, launch
from experiments.kit.classifier import train_classifier
from experiments.kit.run import begin
from experiments.sprites import EXERCISE
from experiments.sprites.config import PRESETS, Config
from experiments.sprites.draw import draw_again
from experiments.sprites.measure import measure
from experiments.sprites.report import write
from experiments.sprites.train import build, train


def main(config: Config) -> Path:
    """Load, train, measure, report; or, with `--from`, draw from the model of a finished run."""
    if config.draw_from is not None:
        return draw_again(config)
    data = images.load(config)
    net = images.fitting(build(config, data.train.num_classes), data)
    run = begin(EXERCISE, config)
    images.describe(run, data)
    model, history = train(run, net, data)
    classifier = train_classifier(run, data.train, data.held_out, steps=config.classifier_steps)
    measured = measure(run, data, model, history, classifier)
    return write(run, measured)


if __name__ == "__main__":
    launch.run(main, PRESETS)
