"""MMD² against a double loop, scikit-learn's kernels, and the closed form for Gaussians under an RBF kernel."""

from functools import partial

import numpy as np
import pytest
from scipy.spatial.distance import pdist
from sklearn.metrics import pairwise

from jaxgen.metrics import distances, median_distance, mmd_squared, polynomial_kernel, rbf_kernel


def rng(seed=0):
    return np.random.default_rng(seed)


def test_kernels_are_scikit_learns():
    x, y = rng(0).normal(size=(7, 5)), rng(1).normal(size=(9, 5))
    ours, theirs = polynomial_kernel(x, y), pairwise.polynomial_kernel(x, y, degree=3, gamma=1 / 5, coef0=1)
    np.testing.assert_allclose(ours, theirs, rtol=1e-12)
    expected = (pairwise.rbf_kernel(x, y, gamma=1 / (2 * 0.5**2)) + pairwise.rbf_kernel(x, y, gamma=1 / (2 * 2**2))) / 2
    np.testing.assert_allclose(rbf_kernel(x, y, bandwidths=(0.5, 2)), expected, rtol=1e-11)


@pytest.mark.parametrize("kernel", [polynomial_kernel, partial(rbf_kernel, bandwidths=(0.7, 3.0))])
def test_equals_the_estimators_own_double_sum(kernel):
    x, y = rng(0).normal(size=(11, 3)), rng(1).normal(size=(8, 3)) + 0.5
    k = lambda a, b: kernel(a[None], b[None]).item()
    within = lambda z: np.mean([k(z[i], z[j]) for i in range(len(z)) for j in range(len(z)) if i != j])
    across = np.mean([k(a, b) for a in x for b in y])
    assert mmd_squared(x, y, kernel) == pytest.approx(within(x) + within(y) - 2 * across, rel=1e-10)


def test_blocks_change_nothing(monkeypatch):
    x, y = rng(0).normal(size=(50, 3)), rng(1).normal(size=(31, 3))
    whole = mmd_squared(x, y)
    monkeypatch.setattr(distances, "_BLOCK_ENTRIES", 7 * 31)
    assert len(list(distances.row_blocks(50, 31))) == 8
    assert mmd_squared(x, y) == pytest.approx(whole, rel=1e-10)


@pytest.mark.parametrize("shift", [0.0, 0.8])
def test_gaussians_under_an_rbf_kernel_have_the_closed_form(shift):
    """E exp(−‖x−y‖²/2s²) = (s²/(s²+v))^{d/2} exp(−‖Δ‖²/2(s²+v)), where v is the variance of x−y per axis."""
    d, s, scale = 2, 1.3, 1.5
    mean_kernel = lambda v, gap2: (s**2 / (s**2 + v)) ** (d / 2) * np.exp(-gap2 / (2 * (s**2 + v)))
    truth = mean_kernel(2, 0) + mean_kernel(2 * scale**2, 0) - 2 * mean_kernel(1 + scale**2, d * shift**2)
    generator = rng(2)
    draws = [
        mmd_squared(
            generator.normal(size=(200, d)),
            shift + scale * generator.normal(size=(150, d)),
            partial(rbf_kernel, bandwidths=(s,)),
        )
        for _ in range(200)
    ]
    assert abs(np.mean(draws) - truth) < 4 * np.std(draws, ddof=1) / np.sqrt(200)


def test_unbiased_at_the_null_and_sometimes_negative():
    generator = rng(5)
    draws = [mmd_squared(*generator.normal(size=(2, 40, 2))) for _ in range(400)]
    assert abs(np.mean(draws)) < 4 * np.std(draws, ddof=1) / np.sqrt(400)
    assert min(draws) < 0


def test_median_distance_is_scipys_and_ignores_order_above_its_limit():
    x, y = rng(0).normal(size=(60, 3)), rng(1).normal(size=(50, 3))
    assert median_distance(x, y) == pytest.approx(np.median(pdist(np.concatenate([x, y]))), rel=1e-12)
    assert median_distance(x, y, limit=20) == pytest.approx(median_distance(x, y), rel=0.2)


def test_points_far_from_the_origin_lose_nothing():
    x, y = rng(0).normal(size=(40, 2)), rng(1).normal(size=(40, 2))
    assert mmd_squared(x + 1e6, y + 1e6) == pytest.approx(mmd_squared(x, y), rel=1e-6)


def test_refuses_bad_bandwidths_and_samples():
    x = rng().normal(size=(20, 2))
    for bandwidths in [(), (0.0,), (1.0, -1.0), (float("nan"),)]:
        with pytest.raises(ValueError, match="positive"):
            mmd_squared(x, x, partial(rbf_kernel, bandwidths=bandwidths))
    with pytest.raises(ValueError, match="give the RBF kernel a bandwidth"):
        mmd_squared(np.zeros((20, 2)), np.zeros((20, 2)))
    with pytest.raises(ValueError, match="dimension 2 and 3"):
        mmd_squared(x, np.zeros((20, 3)), polynomial_kernel)
    with pytest.raises(ValueError, match="dimension 2 and 3"):
        median_distance(x, np.zeros((20, 3)))
    with pytest.raises(ValueError, match="y must hold at least 2 samples"):
        mmd_squared(x, x[:1])
    with pytest.raises(ValueError, match="x has NaN"):
        mmd_squared(np.full((20, 2), np.nan), x)
