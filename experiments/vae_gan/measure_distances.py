"""Distances of every set from held-out real images, in the features of a classifier of digits."""

import warnings
from typing import NamedTuple

import numpy as np

from experiments.kit.classifier import Classifier
from experiments.kit.nearest import nearest_images
from experiments.kit.run import Run
from experiments.vae_gan.config import Config
from experiments.vae_gan.data import Data
from experiments.vae_gan.draw import Sets, number
from jaxgen.metrics import frechet_distance, kernel_distance, precision_recall

NEIGHBOURS = 500  # images whose nearest training image is looked for


class Distances(NamedTuple):
    """Of one set, for each repetition, (repetitions,) each.

    Attributes:
        frechet: Fréchet distance.
        kernel: kernel distance.
        precision: share of the set within balls around real images.
        recall: share of real images within balls around those of the set.
        nearest: median root-mean-square distance in pixels to the nearest training image.
    """

    frechet: np.ndarray
    kernel: np.ndarray
    precision: np.ndarray
    recall: np.ndarray
    nearest: np.ndarray


def measure_distances(
    run: Run[Config], data: Data, classifier: Classifier, sets: list[Sets]
) -> tuple[dict[str, Distances], float]:
    """The distances of every set, and the median distance in pixels of held-out images to the training images."""
    real = data.held_out.images[: number(run.config, data)]

    def look() -> tuple[dict[str, Distances], float]:
        reference = classifier.features(real)
        found = {}
        for name in sets[0]:
            rows = [distances(reference, classifier.features(of[name])) for of in sets]
            nearest = [nearest_images(of[name][:NEIGHBOURS], data.train.images)[1] for of in sets]
            found[name] = Distances(*np.transpose(rows), np.median(nearest, axis=-1))
        return found, float(np.median(nearest_images(real[:NEIGHBOURS], data.train.images)[1]))

    return run.stage("distances", look)


def distances(real: np.ndarray, generated: np.ndarray) -> tuple[float, float, float, float]:
    """Fréchet distance, kernel distance, precision and recall of features."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="kernel_distance of")  # it takes the largest subsets that it can
        kernel = kernel_distance(real, generated, subsets=20)
    found = precision_recall(real, generated)
    return frechet_distance(generated, real), kernel.mean, found.precision, found.recall
