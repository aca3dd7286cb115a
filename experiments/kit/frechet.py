"""The Fréchet distance to the training images, in the features of a classifier."""

import numpy as np

from experiments.kit.classifier import Classifier
from jaxgen.metrics import frechet_distance

FLOOR, FRECHET = "held-out images", "Fréchet distance"


class FrechetDistance:
    """Fréchet distance of images in [−1, 1] to the training images.

    Args:
        classifier: whose features are compared.
        train_images: the training images.
        held_out: held-out images; the distance of the first n is `floor`.
        n: number of images in a set that is measured.
    """

    def __init__(self, classifier: Classifier, train_images: np.ndarray, held_out: np.ndarray, n: int):
        self._features, self._reference = classifier.features, classifier.features(train_images)
        self.floor = self(held_out[:n])

    def __call__(self, images: np.ndarray) -> float:
        """The distance."""
        return frechet_distance(self._features(np.clip(images, -1, 1)), self._reference)

    def between(self, images: np.ndarray, others: np.ndarray) -> float:
        """Fréchet distance of two sets of images; drawn from the same noise, they share their chance."""
        return frechet_distance(*(self._features(np.clip(x, -1, 1)) for x in (images, others)))
