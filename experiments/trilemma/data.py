"""The images that all families see, rounded to one number of levels."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments.kit import images
from experiments.kit.images import Images
from experiments.kit.levels import as_integers, rounded
from experiments.kit.run import BadInput
from experiments.trilemma.config import Config
from jaxgen.data import ImageDataset


class Data(NamedTuple):
    """Training and held-out images in [−1, 1], at values of equidistant levels.

    Attributes:
        train: training images.
        held_out: images that no model sees.
        names: names of the classes.
        levels: number of levels.
    """

    train: ImageDataset
    held_out: ImageDataset
    names: tuple[str, ...]
    levels: int

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of an image."""
        return self.train.images.shape[1:]

    @property
    def integers(self) -> np.ndarray:
        """Training images as integers in 0 … levels − 1, which every family is trained on."""
        return as_integers(self.train.images, self.levels)

    @property
    def held_out_integers(self) -> np.ndarray:
        """Held-out images, likewise."""
        return as_integers(self.held_out.images, self.levels)


def load(config: Config) -> Data:
    """Training and held-out images; raises BadInput where there are too few of them."""
    found = images.load(config)
    most = max(config.sets * config.samples, config.likelihood_images, config.code_images)
    for name, part, least in (("training", found.train, config.reference), ("held-out", found.held_out, most)):
        if len(part) < least:
            raise BadInput(f"{least} {name} images are compared, but there are only {len(part)}: give more images")
    return _rounded(found, config.levels)


def _rounded(found: Images, levels: int) -> Data:
    parts = (
        ImageDataset(rounded(of.images, levels), of.labels, of.label_names) for of in (found.train, found.held_out)
    )
    return Data(*parts, tuple(found.names), levels)


def as_floats(integers: jax.Array, levels: int) -> jax.Array:
    """Integers as images in [−1, 1], float32, within what is compiled."""
    return 2 * jnp.asarray(integers, jnp.float32) / (levels - 1) - 1
