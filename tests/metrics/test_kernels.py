"""MMD² against a double loop, scikit-learn's kernels and closed forms; KID against its expectation and its error."""

import warnings
from functools import partial

import numpy as np
import pytest
from refusals import refuses
from scipy.spatial.distance import pdist
from sklearn.metrics import pairwise

from jaxgen.metrics import distances, kernel_distance, median_distance, mmd_squared, polynomial_kernel, rbf_kernel

rng = np.random.default_rng


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


@pytest.mark.parametrize("shift", [0.8, pytest.param(0.0, marks=pytest.mark.slow)])
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
        for _ in range(60)
    ]
    assert abs(np.mean(draws) - truth) < 4 * np.std(draws, ddof=1) / np.sqrt(60)


def test_unbiased_at_the_null_and_sometimes_negative():
    generator = rng(5)
    draws = [mmd_squared(*generator.normal(size=(2, 40, 2))) for _ in range(150)]
    assert abs(np.mean(draws)) < 4 * np.std(draws, ddof=1) / np.sqrt(150)
    assert min(draws) < 0


def test_median_distance_is_scipys_and_ignores_order_above_its_limit():
    x, y = rng(0).normal(size=(60, 3)), rng(1).normal(size=(50, 3))
    assert median_distance(x, y) == pytest.approx(np.median(pdist(np.concatenate([x, y]))), rel=1e-12)
    assert median_distance(x, y, limit=20) == pytest.approx(median_distance(x, y), rel=0.2)


def test_points_far_from_the_origin_lose_nothing():
    x, y = rng(0).normal(size=(40, 2)), rng(1).normal(size=(40, 2))
    assert mmd_squared(x + 1e6, y + 1e6) == pytest.approx(mmd_squared(x, y), rel=1e-6)


def mean_shift_truth(shift):
    """(xy+1)³ = Σ c_p x^p y^p, c = 1, 3, 3, 1, so MMD² = Σ c_p (E x^p − E y^p)², for x ~ N(0,1) and y ~ N(shift,1)."""
    moments = np.array([1, shift, 1 + shift**2, 3 * shift + shift**3]) - np.array([1, 0, 1, 0])
    return float(np.sum([1, 3, 3, 1] * moments**2))


@pytest.mark.parametrize("shift", [0.5, pytest.param(0.0, marks=pytest.mark.slow)])
def test_kernel_distance_is_unbiased(shift):
    generator = rng(1)
    draws = [
        kernel_distance(
            generator.normal(size=(60, 1)), shift + generator.normal(size=(80, 1)), subsets=5, subset_size=20
        )
        for _ in range(100)
    ]
    means = [draw.mean for draw in draws]
    assert abs(np.mean(means) - mean_shift_truth(shift)) < 3.5 * np.std(means, ddof=1) / np.sqrt(100)


@pytest.mark.slow
def test_standard_error_is_the_spread_over_fresh_data():
    """The naive spread over √subsets would be more than three times too small here."""
    generator = rng(2)
    draws = [
        kernel_distance(
            generator.normal(size=(200, 3)), 0.5 + generator.normal(size=(200, 3)), subsets=50, subset_size=50
        )
        for _ in range(80)
    ]
    true_spread = np.std([draw.mean for draw in draws], ddof=1)
    claimed = np.sqrt(np.mean([draw.standard_error**2 for draw in draws]))
    naive = np.sqrt(np.mean([draw.subset_std**2 / 50 for draw in draws]))
    assert 0.7 < claimed / true_spread < 1.5  # the spread of 80 draws is itself known to 8%
    assert naive < true_spread / 3


@pytest.mark.slow
def test_at_the_null_the_error_bar_covers_zero():
    generator = rng(3)
    covered = [
        abs(score.mean) < 3 * score.standard_error
        for score in (
            kernel_distance(*generator.normal(size=(2, 100, 4)), subsets=20, subset_size=50) for _ in range(50)
        )
    ]
    assert np.mean(covered) > 0.95


def test_the_seed_fixes_the_subsets():
    x, y = rng(0).normal(size=(60, 3)), rng(1).normal(size=(60, 3))
    options = {"subsets": 3, "subset_size": 10}
    assert kernel_distance(x, y, seed=7, **options) == kernel_distance(x, y, seed=7, **options)
    assert kernel_distance(x, y, seed=7, **options) != kernel_distance(x, y, seed=8, **options)


def test_subsets_are_cut_to_half_of_the_smaller_set_with_a_warning():
    x, y = rng(0).normal(size=(60, 3)), rng(1).normal(size=(200, 3))
    with pytest.warns(UserWarning, match="uses subsets of 30, not 40"):
        score = kernel_distance(x, y, subset_size=40)
    assert score.subset_size == 30
    assert score.subset_std > 0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert kernel_distance(x, y, subset_size=30).subset_size == 30


def test_refusals():
    x = rng(0).normal(size=(20, 2))
    rbf = lambda *bandwidths: lambda: mmd_squared(x, x, partial(rbf_kernel, bandwidths=bandwidths))
    refuses(
        *(("positive", rbf(*bandwidths)) for bandwidths in [(), (0.0,), (1.0, -1.0), (float("nan"),)]),
        ("give the RBF kernel a bandwidth", lambda: mmd_squared(np.zeros((20, 2)), np.zeros((20, 2)))),
        ("dimension 2 and 3", lambda: mmd_squared(x, np.zeros((20, 3)), polynomial_kernel)),
        ("dimension 2 and 3", lambda: median_distance(x, np.zeros((20, 3)))),
        ("y must hold at least 2 samples", lambda: mmd_squared(x, x[:1])),
        ("x has NaN", lambda: mmd_squared(np.full((20, 2), np.nan), x)),
        ("2 subsets of size 2 or more", lambda: kernel_distance(x, x, subsets=1)),
        ("2 subsets of size 2 or more", lambda: kernel_distance(x, x, subset_size=1)),
        ("at least 4 samples", lambda: kernel_distance(x, x[:3])),
        ("dimension 2 and 1", lambda: kernel_distance(x, x[:, :1])),
        ("b has NaN", lambda: kernel_distance(x, np.full_like(x, np.nan))),
    )
