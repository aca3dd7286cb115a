"""Fréchet distance against closed forms, scipy's matrix square root, and its own invariances."""

import warnings

import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg
from hostile import Marker
from hypothesis import given, settings
from hypothesis import strategies as st
from refusals import refuses

from jaxgen.metrics import (
    FrechetStatistics,
    frechet_distance,
    frechet_statistics,
    merge_statistics,
    read_frechet_statistics,
    write_frechet_statistics,
)

rng = np.random.default_rng


def random_spd(generator, d, rank=None):
    factor = generator.normal(size=(d, rank or 2 * d))
    return factor @ factor.T / factor.shape[1]


def gaussian(mean, cov, n=10**6):
    return FrechetStatistics(np.asarray(mean, float), np.asarray(cov, float), n)


def test_statistics_are_numpys_mean_and_unbiased_covariance():
    x = rng(0).normal(size=(40, 5)) + 7
    fit = frechet_statistics(x)
    np.testing.assert_allclose(fit.mean, x.mean(0), rtol=1e-14)
    np.testing.assert_allclose(fit.cov, np.cov(x, rowvar=False, ddof=1), rtol=1e-12)
    assert fit.n == 40
    assert fit.cov.dtype == np.float64


def test_float32_features_far_from_the_origin_keep_their_covariance():
    """Without float64 the covariance of unit noise around 1000 would be lost to cancellation."""
    x = (rng(0).normal(size=(5000, 3)) + 1000).astype(np.float32)
    np.testing.assert_allclose(
        frechet_statistics(jnp.asarray(x)).cov, np.cov(x.astype(np.float64), rowvar=False), rtol=1e-10
    )


def test_merged_chunks_equal_one_pass():
    x = rng(0).normal(size=(100, 4)) * [1, 2, 3, 4] + 10
    merged = merge_statistics(
        merge_statistics(frechet_statistics(x[:2]), frechet_statistics(x[2:60])), frechet_statistics(x[60:])
    )
    whole = frechet_statistics(x)
    np.testing.assert_allclose(merged.mean, whole.mean, rtol=1e-13)
    np.testing.assert_allclose(merged.cov, whole.cov, rtol=1e-11, atol=1e-13)
    assert merged.n == 100


def test_diagonal_gaussians_have_the_closed_form():
    """Commuting covariances: ‖Δμ‖² + Σ(s₁−s₂)²."""
    s1, s2 = np.array([0.5, 1.0, 3.0]), np.array([2.0, 1.0, 0.1])
    m1, m2 = np.array([1.0, 0, -1]), np.array([0.0, 2, 1])
    expected = 1 + 4 + 4 + np.sum((s1 - s2) ** 2)
    distance = frechet_distance(gaussian(m1, np.diag(s1**2)), gaussian(m2, np.diag(s2**2)))
    assert distance == pytest.approx(expected, rel=1e-13)


def test_scaled_data_have_the_closed_form():
    """Y = cX with mean μ: (c−1)²(‖μ‖² + Tr Σ)."""
    x = rng(0).normal(size=(200, 6)) @ rng(1).normal(size=(6, 6)) + 3
    fit = frechet_statistics(x)
    expected = 0.7**2 * (fit.mean @ fit.mean + np.trace(fit.cov))
    assert frechet_distance(x, 1.7 * x) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("seed", range(2))
def test_general_covariances_agree_with_scipys_square_root(seed):
    generator = rng(seed)
    c1, c2 = random_spd(generator, 12), random_spd(generator, 12)
    expected = np.trace(c1 + c2 - 2 * scipy.linalg.sqrtm(c1 @ c2).real)
    assert frechet_distance(gaussian(np.zeros(12), c1), gaussian(np.zeros(12), c2)) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("rank", [20, 50])
def test_singular_covariances_keep_their_digits(rank):
    """With known factors Σ = AAᵀ the cross term is ‖AᵀB‖_*; rooting clipped eigenvalues would lose half the digits."""
    a, b = rng(0).normal(size=(50, 20)), rng(1).normal(size=(50, rank))
    nuclear = scipy.linalg.svdvals(a.T @ b).sum()
    expected = np.sum(a**2) + np.sum(b**2) - 2 * nuclear
    zero = np.zeros(50)
    assert frechet_distance(gaussian(zero, a @ a.T), gaussian(zero, b @ b.T)) == pytest.approx(expected, rel=1e-12)


def test_a_point_mass_is_at_the_second_moment():
    cov = random_spd(rng(0), 4)
    point = gaussian(np.ones(4), np.zeros((4, 4)))
    assert frechet_distance(point, gaussian(np.zeros(4), cov)) == pytest.approx(4 + np.trace(cov), rel=1e-13)


def test_equal_covariances_give_the_squared_shift_exactly():
    cov = random_spd(rng(0), 30)
    shift = np.zeros(30)
    shift[3] = 0.25
    assert frechet_distance(gaussian(np.zeros(30), cov), gaussian(shift, cov)) == 0.0625
    x = rng(0).normal(size=(100, 3))
    assert frechet_distance(x, x) == 0.0


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), d=st.integers(1, 8))
def test_symmetric_rotation_invariant_and_never_negative(seed, d):
    generator = rng(seed)
    x, y = generator.normal(size=(50, d)), generator.normal(size=(60, d)) * 2 + 1
    rotation = np.linalg.qr(generator.normal(size=(d, d)))[0]
    offset = generator.normal(size=d)
    distance = frechet_distance(x, y)
    assert distance >= 0
    assert frechet_distance(y, x) == pytest.approx(distance, rel=1e-9)
    assert frechet_distance(x @ rotation + offset, y @ rotation + offset) == pytest.approx(distance, rel=1e-8)


def test_bias_of_samples_from_one_gaussian_falls_as_one_over_n():
    """In one dimension E = E(m̂₁−m̂₂)² + E(ŝ₁−ŝ₂)² → 2/n + 1/n = 3/n, both terms to leading order."""
    generator = rng(3)
    for n in (50, 200):
        draws = [frechet_distance(*generator.normal(size=(2, n, 1))) for _ in range(400)]
        error = np.std(draws) / np.sqrt(len(draws))
        # The next order of the expansion is O(1/n²).
        assert abs(np.mean(draws) - 3 / n) < 4 * error + 5 / n**2


def test_converges_to_the_distance_of_the_distributions():
    generator = rng(4)
    cov = np.array([[2.0, 0.6], [0.6, 1.0]])
    truth = frechet_distance(gaussian([0, 0], np.eye(2)), gaussian([1, -1], cov))
    estimates = [
        frechet_distance(generator.normal(size=(2000, 2)), generator.multivariate_normal([1, -1], cov, 2000))
        for _ in range(40)
    ]
    error = np.std(estimates, ddof=1) / np.sqrt(40)
    assert abs(np.mean(estimates) - truth) < 4 * error + 10 / 2000


def test_warns_when_samples_do_not_outnumber_dimensions():
    x, y = rng(0).normal(size=(8, 8)), rng(1).normal(size=(100, 8))
    with pytest.warns(UserWarning, match="8-dimensional features from 8 samples"):
        frechet_distance(x, y)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        frechet_distance(rng(0).normal(size=(9, 8)), y)


def test_refusals():
    x = rng(0).normal(size=(20, 3))
    y = rng(0).normal(size=(20, 4))
    refuses(
        ("dimension 3 and 4", lambda: frechet_distance(x, y)),
        ("dimension 3 and 4", lambda: merge_statistics(frechet_statistics(x), frechet_statistics(y))),
        ("NaN or infinity in 1 of 20 rows", lambda: frechet_distance(x, np.where(np.eye(20, 1) == 1, np.nan, x))),
        ("at least 2 samples", lambda: frechet_distance(x, x[:1])),
        ("shape", lambda: frechet_statistics(x[0])),
        ("covariance \\(d, d\\)", lambda: FrechetStatistics(np.zeros(3), np.eye(2), 10)),
        ("mean \\(d,\\)", lambda: FrechetStatistics(np.zeros((3, 1)), np.eye(3), 10)),
        ("NaN", lambda: FrechetStatistics(np.zeros(2), np.full((2, 2), np.nan), 10)),
        ("n=1", lambda: FrechetStatistics(np.zeros(2), np.eye(2), 1)),
    )


def test_statistics_are_written_and_read(tmp_path):
    statistics = frechet_statistics(np.random.default_rng(0).normal(size=(20, 3)))
    write_frechet_statistics(tmp_path / "s.npz", statistics)
    found = read_frechet_statistics(tmp_path / "s.npz")
    assert found.n == 20
    assert frechet_distance(found, statistics) == 0
    np.savez(tmp_path / "foreign.npz", mu=statistics.mean, sigma=statistics.cov)
    assert read_frechet_statistics(tmp_path / "foreign.npz", n=50).n == 50
    with pytest.raises(ValueError, match="does not say how many samples"):
        read_frechet_statistics(tmp_path / "foreign.npz")
    np.savez(tmp_path / "other.npz", mu=statistics.mean)
    with pytest.raises(ValueError, match="no arrays mu and sigma"):
        read_frechet_statistics(tmp_path / "other.npz")
    np.savez(tmp_path / "hostile.npz", mu=np.array([Marker(tmp_path / "made")], object), sigma=statistics.cov)
    with pytest.raises(ValueError, match="of plain arrays"):
        read_frechet_statistics(tmp_path / "hostile.npz")
    assert not (tmp_path / "made").exists()
    with pytest.raises(FileNotFoundError):
        read_frechet_statistics(tmp_path / "missing.npz")
