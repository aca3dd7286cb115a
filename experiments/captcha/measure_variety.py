"""How generated CAPTCHAs differ from those of training, and from each other."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from experiments.captcha.data import Data
from experiments.kit.nearest import nearest_images
from jaxgen.data import to_float
from jaxgen.metrics import MeanAndError, mean_and_error

SHOWN = 10


class Novelty(NamedTuple):
    """Root-mean-square distances to the nearest training image.

    Attributes:
        generated: mean over generated images.
        held_out: mean over held-out real images.
        images: the generated images that are nearest to a training image.
        nearest: those training images.
    """

    generated: MeanAndError
    held_out: MeanAndError
    images: np.ndarray
    nearest: np.ndarray


class Diversity(NamedTuple):
    """Root-mean-square differences of two images of one text.

    Attributes:
        texts: number of texts.
        generated: mean over pairs of generated images.
        real: mean over pairs of training images of the same texts; None where hardly any text has two.
    """

    texts: int
    generated: MeanAndError
    real: MeanAndError | None


def novelty(data: Data, images: np.ndarray) -> Novelty:
    """How far the nearest training image is, from generated and from held-out real images."""
    images, train = np.clip(images, -1, 1), to_float(data.train.images)
    index, distances = nearest_images(images, train)
    half = len(images) // 2
    held_out = to_float(np.concatenate([data.held_out.images[:half], data.unseen.images[:half]]))
    shown = np.argsort(distances)[:SHOWN]
    return Novelty(
        mean_and_error(distances),
        mean_and_error(nearest_images(held_out, train)[1]),
        images[shown],
        train[index[shown]],
    )


def pairs(tokens: np.ndarray, texts: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Which of the texts two images or more show, by their tokens (b, length), and the indices of two such images."""
    found = [np.flatnonzero((tokens == text).all(-1)) for text in texts]
    twice = [i for i, of in enumerate(found) if len(of) > 1]
    return np.array(twice, int), *(np.array([found[i][k] for i in twice], int) for k in range(2))


def diversity(data: Data, draw: Callable[[str, np.ndarray, int], np.ndarray], tokens: np.ndarray) -> Diversity | None:
    """How much two images of one text differ, generated and real.

    Args:
        data: the data.
        draw: (name, texts, seed) -> images.
        tokens: texts (n, length).

    Returns:
        The differences over texts of which training has two images, or over all texts where there are fewer than two
        of these; None where there are fewer than two texts.
    """
    texts = np.unique(tokens, axis=0)
    twice, a, b = pairs(data.train.labels, texts)
    compared = len(twice) > 1
    if compared:
        texts = texts[twice]
    elif len(texts) < 2:
        return None
    generated = difference(*(np.clip(draw(f"each text, set {i}", texts, 4 + i), -1, 1) for i in range(2)))
    real = difference(*(to_float(data.train.images[of]) for of in (a, b))) if compared else None
    return Diversity(len(texts), generated, real)


def difference(a: np.ndarray, b: np.ndarray) -> MeanAndError:
    """Mean over pairs of images of their root-mean-square difference."""
    return mean_and_error(np.sqrt(np.mean((a - b).reshape(len(a), -1) ** 2, axis=-1)))
