"""Rendered digits: their normalisation, which is MNIST's, their seed, and that their labels belong to them."""

import numpy as np
import pytest
from sklearn.neighbors import KNeighborsClassifier

from jaxgen.data import render_digits


@pytest.mark.parametrize("size", [16, pytest.param(28, marks=pytest.mark.slow)])
def test_they_fill_the_box_around_the_centre(size):
    data = render_digits(200, size)
    images = data.images[..., 0].astype(float)
    assert (data.images.shape, data.images.dtype) == ((200, size, size, 1), np.uint8)
    assert (images.max((1, 2)) == 255).all()
    assert (images[:, [0, 0, -1, -1], [0, -1, 0, -1]] == 0).all()  # corners are paper
    box = round(20 / 28 * size)
    for axis in (1, 2):
        inside = images.max(3 - axis) > 0
        first, last = inside.argmax(1), size - 1 - inside[:, ::-1].argmax(1)
        assert (last - first + 1 <= box).all()
        centre = (images.sum(3 - axis) @ np.arange(size)) / images.sum((1, 2))
        at_an_edge = (first == 0) | (last == size - 1)
        assert (np.abs(centre - (size - 1) / 2)[~at_an_edge] <= 0.5 + 1e-9).all()
    longest = np.maximum(*((images.max(axis) > 0).sum(1) for axis in (1, 2)))
    assert (longest >= box - 1).mean() > 0.95


def test_an_image_depends_on_the_seed_and_its_number_alone():
    several, few = render_digits(20, 8, seed=3), render_digits(5, 8, seed=3)
    np.testing.assert_array_equal(several.images[:5], few.images)
    np.testing.assert_array_equal(several.labels[:5], few.labels)
    assert (render_digits(20, 8, seed=4).images != several.images).any()


def test_the_labels_belong_to_the_images():
    train, test = render_digits(1500, 16, seed=0), render_digits(300, 16, seed=1)
    neighbour = KNeighborsClassifier(1).fit(train.images.reshape(1500, -1), train.labels)
    assert neighbour.score(test.images.reshape(300, -1), test.labels) > 0.95
    assert train.label_names == tuple("0123456789")
    # ten equally likely classes: the 99.9 % quantile of χ² with 9 degrees of freedom
    assert np.sum((np.bincount(train.labels, minlength=10) - 150) ** 2) / 150 < 27.9


@pytest.mark.parametrize(
    ("arguments", "message"), [((0,), "n is 0"), ((1, 7), "size is 7"), ((1, 16, -1), "seed is -1")]
)
def test_refusals(arguments, message):
    with pytest.raises(ValueError, match=message):
        render_digits(*arguments)
