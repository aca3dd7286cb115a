"""The nearest image in pixels."""

import numpy as np

from experiments.kit.nearest import nearest_images


def test_nearest_image_and_its_distance():
    rng = np.random.default_rng(0)
    others = rng.normal(size=(50, 4, 5, 1)).astype(np.float32)
    images = others[[7, 3]] + 0.1
    index, distance = nearest_images(images, others)
    np.testing.assert_array_equal(index, [7, 3])
    np.testing.assert_allclose(distance, 0.1, rtol=1e-5)


def test_a_copy_is_its_own_nearest_image():
    images = np.random.default_rng(0).uniform(-1, 1, (20, 2, 2, 1)).astype(np.float32)
    index, distances = nearest_images(images[3:6], images)
    np.testing.assert_array_equal(index, [3, 4, 5])
    np.testing.assert_array_equal(distances, 0)
