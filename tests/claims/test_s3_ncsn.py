"""Claim of S3: the ratio of NCSNv2's noise levels, from the overlap of their radii."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import chi, norm

from jaxgen.diffusion import ncsn

PUBLISHED = {784: (1.082, 3), 3072: (1.0398, 4), 12288: (1.0195, 4)}  # γ and its decimals


def overlap(gamma, dims, law):
    width = np.sqrt(2 * dims) * (gamma - 1)
    return law(width + 3 * gamma) - law(width - 3 * gamma)


@pytest.mark.parametrize("dims", PUBLISHED)
def test_c3_5_with_the_density_for_phi_there_is_no_ratio(dims):
    """Read as the density φ the left side stays below 0 from γ = 1 on, −.4 at the published ratio: never .5."""
    candidates = np.linspace(1, 20, 200_001)
    assert overlap(candidates, dims, norm.pdf).max() < 1e-9
    assert overlap(PUBLISHED[dims][0], dims, norm.pdf) == pytest.approx(-norm.pdf(0), abs=1e-3)


@pytest.mark.parametrize("dims", PUBLISHED)
def test_c3_5_half_of_the_radii_are_shared(dims):
    """What the equation is about: the radius of N(0, I) falls within three deviations of N(0, γ² I)'s half of the time.

    By the exact law of the radius, χ_D. The equation's normal stand-in for it is off by about 1/√D.
    """
    assert round(ncsn.overlap_ratio(dims), PUBLISHED[dims][1]) == PUBLISHED[dims][0]
    for candidate, expected in ((ncsn.overlap_ratio(dims), 0.5), (ncsn.overlap_ratio(dims, 0.9), 0.9), (1.0, 0.9973)):
        centre, reach = candidate * np.sqrt(dims), 3 * candidate / np.sqrt(2)
        shared = chi.cdf(centre + reach, dims) - chi.cdf(centre - reach, dims)
        assert abs(shared - expected) < 1 / np.sqrt(dims)


@pytest.mark.slow
def test_c3_5_the_radius_of_a_gaussian_is_nearly_normal():
    """‖N(0, σ² I)‖ in D dimensions has mean √D σ and variance σ²/2 (NCSNv2, proposition 2), and half are shared."""
    dims, sigma, n = 784, 0.7, 20_000
    radius = np.float64(jnp.linalg.norm(sigma * jax.random.normal(jax.random.key(0), (n, dims)), axis=-1))
    error = sigma / np.sqrt(2 * n)
    assert abs(radius.mean() - np.sqrt(dims) * sigma) < 5 * error + sigma / (4 * np.sqrt(dims))
    np.testing.assert_allclose(radius.var(), sigma**2 / 2, rtol=5 * np.sqrt(2 / n) + 1 / dims)
    wider = ncsn.overlap_ratio(dims) * sigma
    shared = np.mean(np.abs(radius - wider * np.sqrt(dims)) < 3 * wider / np.sqrt(2))
    assert abs(shared - 0.5) < 1 / np.sqrt(dims) + 4 * np.sqrt(0.25 / n)
