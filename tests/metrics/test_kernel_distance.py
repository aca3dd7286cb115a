"""KID against its definition, its expectation, and a standard error that must cover the truth."""

import warnings

import numpy as np
import pytest

from jaxgen.metrics import kernel_distance


def rng(seed=0):
    return np.random.default_rng(seed)


def mean_shift_truth(shift):
    """(xy+1)³ = Σ c_p x^p y^p, c = 1, 3, 3, 1, so MMD² = Σ c_p (E x^p − E y^p)², for x ~ N(0,1) and y ~ N(shift,1)."""
    moments = np.array([1, shift, 1 + shift**2, 3 * shift + shift**3]) - np.array([1, 0, 1, 0])
    return float(np.sum([1, 3, 3, 1] * moments**2))


@pytest.mark.parametrize("shift", [0.0, 0.5])
def test_mean_is_unbiased(shift):
    generator = rng(1)
    draws = [
        kernel_distance(
            generator.normal(size=(60, 1)), shift + generator.normal(size=(80, 1)), subsets=5, subset_size=20
        )
        for _ in range(400)
    ]
    means = [draw.mean for draw in draws]
    assert abs(np.mean(means) - mean_shift_truth(shift)) < 3.5 * np.std(means, ddof=1) / np.sqrt(400)


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


def test_refuses_too_little_data_and_bad_features():
    x = rng().normal(size=(20, 3))
    for options in ({"subsets": 1}, {"subset_size": 1}):
        with pytest.raises(ValueError, match="2 subsets of size 2 or more"):
            kernel_distance(x, x, **options)
    with pytest.raises(ValueError, match="at least 4 samples"):
        kernel_distance(x, x[:3])
    with pytest.raises(ValueError, match="dimension 3 and 2"):
        kernel_distance(x, x[:, :2])
    with pytest.raises(ValueError, match="b has NaN"):
        kernel_distance(x, np.full_like(x, np.nan))
