"""Dequantised integers come back, and fill their cells evenly."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import kstest

from jaxgen.data import dequantise


@pytest.mark.parametrize(
    ("levels", "low", "high"), [(256, -1.0, 1.0), (256, 0.0, 1.0), (2, 0.0, 1.0), (10, -3.0, 1.0), (200, -0.1, 0.7)]
)
def test_dequantised_integers_come_back_and_fill_their_cells(levels, low, high):
    images = jnp.tile(jnp.arange(levels, dtype=jnp.uint8), (2000, 1)).reshape(2000, levels, 1)
    y = dequantise(jax.random.split(jax.random.key(0), 2000), images, levels, low, high)
    assert y.dtype == jnp.float32
    assert low <= y.min() < y.max() < high
    cells = levels * (np.float64(y) - low) / (high - low)
    np.testing.assert_array_equal(np.floor(cells), images)
    assert kstest((cells % 1)[:, levels // 2, 0], "uniform").pvalue > 1e-3
    assert kstest((cells % 1)[:200].ravel(), "uniform").pvalue > 1e-3


def test_dequantisation_by_its_own_key():
    keys = jax.random.split(jax.random.key(0), 4)
    images = jnp.full((4, 3, 3), 17, jnp.uint8)
    y = dequantise(keys, images)
    np.testing.assert_array_equal(dequantise(keys[1:2], images[1:2])[0], y[1])
    assert len(np.unique(y)) > 30


@pytest.mark.parametrize(("levels", "low"), [(257, -1.0), (1, -1.0), (256, 1.0)])
def test_refusals(levels, low):
    keys = jax.random.split(jax.random.key(0), 2)
    with pytest.raises(ValueError, match="2 to 256 levels, and low < high"):
        dequantise(keys, jnp.ones((2, 3), jnp.uint8), levels, low)


def test_levels_beyond_the_last_are_refused():
    keys = jax.random.split(jax.random.key(0), 2)
    with pytest.raises(ValueError, match="4 levels have values 0 to 3, got 4"):
        dequantise(keys, jnp.full((2, 3), 4, jnp.uint8), 4)
