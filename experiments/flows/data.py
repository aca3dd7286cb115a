"""The digits and the sprites, rounded to a number of levels."""

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from experiments.flows.config import Config
from experiments.kit import images
from experiments.kit.launch import reading_data
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


def as_integers(values: np.ndarray, levels: int) -> np.ndarray:
    """The levels of values in [−1, 1]; others are clipped."""
    return np.clip(np.floor((values + 1) / 2 * levels), 0, levels - 1).astype(np.uint8)


def as_images(integers: np.ndarray, levels: int) -> np.ndarray:
    """Values in [−1, 1] of levels, whose lowest is −1 and whose highest is 1."""
    return (2 * np.asarray(integers, np.float32) / (levels - 1) - 1).astype(np.float32)


def rounded(values: np.ndarray, levels: int) -> np.ndarray:
    """Values of equidistant levels."""
    return as_images(as_integers(values, levels), levels)
