"""Controllable generation from one unconditional model: inpainting, colourisation, super-resolution, classes.

The seminar's section on conditioning without retraining (Song et al. 2021, §5): one score model answers questions that
it was never trained for, given a part of the image or a classifier of noisy images.
"""

from pathlib import Path

import jax.numpy as jnp

from experiments.controllable import EXERCISE
from experiments.controllable.config import PRESETS, Config
from experiments.controllable.measure import measure
from experiments.controllable.noisy_classifier import train_noisy_classifier
from experiments.controllable.report import write
from experiments.controllable.tasks import tasks
from experiments.kit import images, launch
from experiments.kit.classifier import train_classifier
from experiments.kit.run import BadInput, begin
from experiments.kit.score_model import train
from jaxgen.data import to_uint8
from jaxgen.diffusion import vp


def main(config: Config) -> Path:
    """Load, train the score model and two classifiers, measure, report."""
    data = images.load(config)
    if len(data.held_out) < config.observed:
        raise BadInput(f"--observed {config.observed} exceeds the {len(data.held_out)} held-out images")
    if not tasks(data.train.images.shape[1:], config.tasks):
        raise BadInput(f"--tasks {' '.join(config.tasks)} needs images of three channels: add another task")
    net = images.fitting(config.build_network(), data)
    run = begin(EXERCISE, config)
    train_images, held_out = to_uint8(data.train.images), jnp.asarray(to_uint8(data.held_out.images[:256]))
    model = train(run, "score", net, None, config.steps, config.seed, train_images, held_out)
    model = model._replace(process=vp())
    classifier = noisy = None
    if data.train.labels is not None:
        classifier = train_classifier(run, data.train, data.held_out, steps=config.classifier_steps)
        noisy = train_noisy_classifier(run, model.process, data, steps=config.noisy_classifier_steps)
    measured = measure(run, data, model, classifier, noisy)
    return write(run, measured)


if __name__ == "__main__":
    launch.run(main, PRESETS)
