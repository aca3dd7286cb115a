"""Bits per dimension of uniform noise, whose entropy is known, and the standard error of a mean."""

import math

import numpy as np
import pytest
from refusals import refuses

from jaxgen.metrics import bits_per_dim, dequantisation_offset, mean_and_error


def test_offsets():
    assert dequantisation_offset(256, 0.0, 1.0) == 8
    assert dequantisation_offset() == dequantisation_offset(256, -1.0, 1.0) == 7
    assert dequantisation_offset(2, 0.0, 1.0) == 1


@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (-1.0, 1.0), (-0.5, 2.5)])
def test_noise_images_cost_their_entropy(low, high):
    """Uniform integers have 8 bits each; their dequantised density is uniform, 1/(high − low) per dimension."""
    dims = 12
    log_density = np.full(3, -dims * math.log(high - low))
    np.testing.assert_allclose(bits_per_dim(log_density, dims, dequantisation_offset(256, low, high)), 8, rtol=1e-6)
    np.testing.assert_allclose(bits_per_dim(log_density, dims, 0.0), math.log2(high - low), rtol=1e-5, atol=1e-6)


def test_the_standard_error_is_the_spread_of_the_mean():
    """Over 4,000 sets of 25 values the means scatter by the error that each set tells."""
    values = np.random.default_rng(0).exponential(3.0, (4000, 25))
    found = [mean_and_error(row) for row in values]
    assert np.std([e.mean for e in found]) == pytest.approx(3 / 5, rel=0.05)
    assert np.mean([e.error**2 for e in found]) == pytest.approx((3 / 5) ** 2, rel=0.05)
    assert mean_and_error(np.array([1.0, 3.0])) == (2.0, 1.0)


def test_refusals():
    refuses(
        ("levels >= 2 and low < high", lambda: dequantisation_offset(256, 1.0, 1.0)),
        ("dims >= 1", lambda: bits_per_dim(np.ones(3), 0)),
        ("two or more values", lambda: mean_and_error(np.ones(1))),
    )
