"""Distances of images in the features of a classifier, with the pixels for features."""

import numpy as np
import pytest

from experiments.kit.classifier import Classifier
from experiments.kit.frechet import FrechetDistance

PIXELS = Classifier(lambda x: x.reshape(len(x), -1), None, 1.0, "nothing")


@pytest.fixture
def images():
    return np.random.default_rng(0).uniform(-0.8, 0.8, (200, 1, 2, 1))


def test_the_distance_of_shifted_images_is_the_squared_shift(images):
    distance = FrechetDistance(PIXELS, images, images + 0.1, 200)
    assert distance.floor == pytest.approx(2 * 0.1**2, rel=1e-3)
    assert distance.between(images + 0.1, images - 0.1) == pytest.approx(2 * 0.2**2, rel=1e-3)
    assert distance(images * 10) == pytest.approx(distance(np.sign(images)), rel=0.2)  # most lie beyond the range


def test_the_quality_of_the_training_images_and_of_others(images):
    distance = FrechetDistance(PIXELS, images, images, 200)
    assert distance.quality(images) == (pytest.approx(0, abs=1e-6), 1, 1)
    found = FrechetDistance(PIXELS, 0.1 * images, images, 200).quality(0.8 + 0.1 * images[:20])
    assert (found.precision, found.recall) == (0, 0)
    assert found.frechet == pytest.approx(2 * 0.8**2, rel=0.05)
