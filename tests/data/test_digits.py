import sys

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.neighbors import KNeighborsClassifier

from jaxgen.data import digits, split_by_content


def test_every_grey_level_can_be_told_again():
    data, stored = digits(), load_digits()
    assert (data.images.shape, data.images.dtype) == ((1797, 8, 8, 1), np.uint8)
    np.testing.assert_array_equal(np.rint(data.images[..., 0] * 16.0 / 255), stored.images)
    assert (data.images.min(), data.images.max()) == (0, 255)
    np.testing.assert_array_equal(data.images == 255, stored.images[..., None] == 16)
    assert np.abs(data.images[..., 0] / 255 - stored.images / 16).max() <= 0.5 / 255
    np.testing.assert_array_equal(data.labels, stored.target)
    assert data.label_names == tuple("0123456789")


@pytest.mark.parametrize("size", [16, pytest.param(32, marks=pytest.mark.slow)])
def test_larger_ones_show_the_same(size):
    small, large = digits(), digits(size)
    assert large.images.shape == (1797, size, size, 1)
    factor = size // 8
    shrunk = large.images.reshape(-1, 8, factor, 8, factor).mean((2, 4))
    assert np.corrcoef(shrunk.reshape(-1), small.images.reshape(-1))[0, 1] > 0.98
    repeated = small.images.repeat(factor, 1).repeat(factor, 2)
    np.testing.assert_array_equal(digits(size, "nearest").images, repeated)


def test_the_labels_belong_to_the_images():
    train, test = split_by_content(digits(), 0.3)
    neighbour = KNeighborsClassifier(1).fit(train.images.reshape(len(train), -1), train.labels)
    assert neighbour.score(test.images.reshape(len(test), -1), test.labels) > 0.97


def test_refusals(monkeypatch):
    with pytest.raises(ValueError, match="size is 7; the digits have 8×8 pixels: ask for 8 or more"):
        digits(7)
    with pytest.raises(ValueError, match="resize_filter is 'cubic'"):
        digits(16, "cubic")
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(ImportError, match=r"the digits come with scikit-learn: pip install jaxgen\[experiments\]"):
        digits()
