"""Dequantised integers come back, and fill their cells evenly."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import kstest

from jaxgen.data import dequantise

KEYS = jax.random.split(jax.random.key(0), 2000)


@pytest.mark.parametrize(
    ("levels", "low", "high"),
    [
        (200, -0.1, 0.7),
        *(
            pytest.param(*case, marks=pytest.mark.slow)
            for case in ((256, -1.0, 1.0), (256, 0.0, 1.0), (2, 0.0, 1.0), (10, -3.0, 1.0))
        ),
    ],
)
def test_dequantised_integers_come_back_and_fill_their_cells(levels, low, high):
    images = np.tile(np.arange(levels, dtype=np.uint8), (2000, 1))[..., None]
    y = dequantise(KEYS, images, levels, low, high)
    others = dequantise(KEYS[np.r_[0, 2:2000, 1]], images, levels, low, high)
    np.testing.assert_array_equal(others[0], y[0])  # of its own key alone
    assert not (others[1:] == y[1:]).all((1, 2)).any()
    assert y.dtype == jnp.float32
    assert low <= y.min() < y.max() < high
    cells = levels * (np.float64(y) - low) / (high - low)
    np.testing.assert_array_equal(np.floor(cells), images)
    assert kstest((cells % 1)[:, levels // 2, 0], "uniform").pvalue > 1e-3
    assert kstest((cells % 1)[:200].ravel(), "uniform").pvalue > 1e-3


def test_refusals():
    for levels, low, value, message in (
        *((levels, -1.0, 1, "2 to 256 levels, and low < high") for levels in (257, 1)),
        (256, 1.0, 1, "2 to 256 levels, and low < high"),
        (4, -1.0, 4, "4 levels have values 0 to 3, got 4"),
    ):
        with pytest.raises(ValueError, match=message):
            dequantise(KEYS[:2], np.full((2, 3), value, np.uint8), levels, low)
