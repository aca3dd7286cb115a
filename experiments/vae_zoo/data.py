"""The images of the comparison of autoencoders."""

from typing import NamedTuple

import numpy as np

from experiments.kit import images
from experiments.kit.launch import reading_data
from experiments.vae_zoo.config import Config
from jaxgen.data import DSprites, ImageDataset, digits

SHAPES = ("square", "ellipse", "heart")


class Data(NamedTuple):
    """Images in [−1, 1].

    Attributes:
        train: training images.
        held_out: held-out images.
        source: where they come from, for captions.
        levels: number of values that a pixel can take.
    """

    train: ImageDataset
    held_out: ImageDataset
    source: str
    levels: int


def load(config: Config) -> Data:
    """Training and held-out images; raises BadInput for images that could only fail after training."""
    levels = 256
    if config.data is not None or config.embedded == "sprites":
        found, source = images.load(config), images.source(config)
    elif config.embedded == "digits":
        with reading_data():
            found, source = images.split(digits(config.size), config), "scikit-learn's digits"
        # larger digits are interpolated
        levels = 17 if config.size == 8 else levels
    else:
        with reading_data():
            found, source = images.split(draw_dsprites(config), config), "dSprites"
    with reading_data():
        if len(found.held_out) < 2:
            raise ValueError(f"2 or more held-out images are measured, got {len(found.held_out)}: give more images")
    return Data(found.train, found.held_out, source, levels)


def draw_dsprites(config: Config) -> ImageDataset:
    """config.images of dSprites, drawn with replacement, labelled by shape."""
    everything = DSprites(size=config.size, average=config.size < 64)
    drawn = everything.take(np.random.default_rng(config.seed).integers(len(everything), size=config.images))
    return ImageDataset(drawn.images(drawn.codes), drawn.factors[:, 1], SHAPES)
