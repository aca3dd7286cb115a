"""The Fréchet distance to the training images, in the features of a classifier."""

from typing import NamedTuple

import numpy as np

from experiments.kit.classifier import Classifier
from jaxgen.metrics import frechet_distance, precision_recall

FLOOR, FRECHET = "held-out images", "Fréchet distance"


class Quality(NamedTuple):
    """Fréchet distance to the training images, and precision and recall against as many of those."""

    frechet: float
    precision: float
    recall: float


class FrechetDistance:
    """Fréchet distance of images in [−1, 1] to the training images.

    Args:
        classifier: whose features are compared.
        train_images: the training images.
        held_out: held-out images; the distance of the first n is `floor`.
        n: number of images in a set that is measured.
    """

    def __init__(self, classifier: Classifier, train_images: np.ndarray, held_out: np.ndarray, n: int):
        self._classifier, self._reference = classifier, classifier.features(train_images)
        self.floor = self(held_out[:n])

    def __call__(self, images: np.ndarray) -> float:
        """The distance."""
        return frechet_distance(self._features(images), self._reference)

    def quality(self, images: np.ndarray) -> Quality:
        """The distance, precision and recall."""
        features = self._features(images)
        found = precision_recall(self._reference[: len(images)], features)
        return Quality(frechet_distance(features, self._reference), found.precision, found.recall)

    def between(self, images: np.ndarray, others: np.ndarray) -> float:
        """Fréchet distance of two sets of images; drawn from the same noise, they share their chance."""
        return frechet_distance(self._features(images), self._features(others))

    def _features(self, images: np.ndarray) -> np.ndarray:
        return self._classifier.features(np.clip(images, -1, 1))
