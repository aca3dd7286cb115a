"""The digits and the sprites, rounded to a number of levels."""

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from experiments.flows.config import Config
from experiments.kit import images
from experiments.kit.launch import reading_data
from experiments.kit.levels import as_integers, rounded
from jaxgen.data import ImageDataset, render_digits


class Data(NamedTuple):
    """Images of one kind, in [−1, 1] at the middles of their levels.

    Attributes:
        train: training images.
        held_out: images that no model sees.
        levels: number of levels.
    """

    train: ImageDataset
    held_out: ImageDataset
    levels: int

    @property
    def integers(self) -> tuple[np.ndarray, np.ndarray]:
        """Training and held-out images as integers in 0 … levels − 1."""
        return as_integers(self.train.images, self.levels), as_integers(self.held_out.images, self.levels)


def load(config: Config) -> dict[str, Data]:
    """Digits and sprites; raises BadInput for images that could only fail after training."""
    with reading_data():
        digits = render_digits(config.digits, 8, config.seed)
        found = {"digits": images.split(digits, config), "sprites": images.load(config)}
    return {
        name: Data(*(replace(part, images=rounded(part.images, config.levels)) for part in each), config.levels)
        for name, each in found.items()
    }
