"""The digits of the comparison: those of training, and those that no model sees."""

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from experiments.kit import images
from experiments.kit.launch import reading_data
from experiments.kit.run import BadInput
from experiments.vae_gan.config import Config
from jaxgen.data import ImageDataset, digits, render_digits

SOURCES = {"rendered": "rendered in 16 fonts", "digits": "scikit-learn's digits"}


class Data(NamedTuple):
    """Images in [−1, 1], rounded to the grey levels.

    Attributes:
        train: the images that the models are trained on.
        held_out: real images that no model sees.
        source: where they come from, for captions.
    """

    train: ImageDataset
    held_out: ImageDataset
    source: str


def load(config: Config) -> Data:
    """Training and held-out images; raises BadInput for images that could only fail after training."""
    if config.data is not None:
        found, source = images.load(config, config.held_out), images.source(config)
    else:
        with reading_data():
            drawn = digits() if config.embedded == "digits" else render_digits(config.images, config.size, config.seed)
            found, source = images.split(drawn, config, config.held_out), SOURCES[config.embedded]
    least = min(len(found.train), len(found.held_out))
    if least < 8 * config.repetitions:
        raise BadInput(
            f"{len(found.train)} training and {len(found.held_out)} held-out images are too few for --repetitions "
            f"{config.repetitions}: give at least {8 * config.repetitions} of each"
        )
    if len(found.train) < config.gan_batch_size:
        raise BadInput(f"--gan-batch-size {config.gan_batch_size} exceeds the {len(found.train)} training images")
    rounded = (replace(each, images=quantised(each.images, config.levels)) for each in found)
    return Data(*rounded, source)


def quantised(values: np.ndarray, levels: int) -> np.ndarray:
    """Values, clipped to [−1, 1] and rounded to the nearest of equidistant levels."""
    steps = (levels - 1) / 2
    return (np.rint((np.clip(values, -1, 1) + 1) * steps) / steps - 1).astype(np.float32)
