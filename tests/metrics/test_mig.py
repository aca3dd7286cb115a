"""The binned gap on codes whose score is known."""

import numpy as np
import pytest
from scipy.stats import entropy

from jaxgen.metrics import binned_mig

SIZES = (3, 6, 40, 32, 32)  # of dSprites' factors


def rng(seed=0):
    return np.random.default_rng(seed)


def lattice(*sizes):
    """Every combination once: factors that are balanced and independent to the last digit."""
    return np.stack([axis.reshape(-1) for axis in np.meshgrid(*map(np.arange, sizes), indexing="ij")], 1)


def test_a_perfect_code_loses_what_its_bins_cannot_tell():
    """Equally wide bins from 0 to V−1: those that hold several classes lose the entropy of which."""
    factors = lattice(3, 6, 40, 32)
    found = binned_mig(np.concatenate([3.0 * factors - 7, np.zeros((len(factors), 6))], 1), factors)
    # 40 classes fall two to a bin; of 32, two fall in each of twelve bins and one in each of eight
    expected = [1, 1, np.log(20) / np.log(40), 1 - (24 / 32) * np.log(2) / np.log(32)]
    np.testing.assert_allclose(found.per_factor, expected, rtol=1e-12)
    assert found.score == pytest.approx(np.mean(expected), rel=1e-12)
    assert binned_mig(factors, factors, bins=40).score == pytest.approx(1, rel=1e-12)


def test_ten_thousand_draws_of_dsprites_factors():
    """The figures that a perfect and a random code are known to have: .896 and .0003."""
    factors = np.stack([rng(i).integers(0, size, 10_000) for i, size in enumerate(SIZES)], 1)
    draws = rng(9).normal(size=(10_000, 10))
    assert binned_mig(np.concatenate([factors, draws[:, :5]], 1), factors).score == pytest.approx(0.896, abs=0.002)
    assert binned_mig(draws, factors).score == pytest.approx(0.0003, abs=0.0003)


def test_the_gap_is_to_the_second_best_and_over_the_factors_own_entropy():
    """Of a, four classes: z₀ knows 2 bits, z₁ one, z₂ none; of b, eight classes: z₂ knows one bit, the others none."""
    a, b = lattice(4, 8).T
    found = binned_mig(np.stack([a, a // 2, b % 2], 1), np.stack([a, b], 1))
    np.testing.assert_allclose(found.per_factor, [(2 - 1) / 2, (1 - 0) / 3], atol=1e-12)
    assert found.score == pytest.approx((1 / 2 + 1 / 3) / 2)
    np.testing.assert_allclose(found.mutual_information / np.log(2), [[2, 0], [1, 0], [0, 1]], atol=1e-12)


def test_two_latents_that_know_the_same_have_no_gap():
    a, b = lattice(4, 8).T
    found = binned_mig(np.stack([a, -a, a + 10 * b], 1), np.stack([a, b], 1), bins=1000)
    np.testing.assert_allclose(found.per_factor, [0, 1], atol=1e-12)


def test_unbalanced_factors_are_measured_by_their_own_entropy():
    a = np.repeat([0, 1, 2], [10, 30, 60])
    b = np.tile([0, 1], 50)
    codes = np.stack([a, np.zeros(100), np.minimum(a, 1)], 1)
    found = binned_mig(codes, np.stack([a, b], 1)[:, :1])
    expected = 1 - entropy([0.1, 0.9]) / entropy([0.1, 0.3, 0.6])
    np.testing.assert_allclose(found.per_factor, [expected], rtol=1e-12)


def test_a_turned_code_scores_less_the_more_it_is_turned():
    """Two uniform factors seen through a rotation: from 1 at no angle to 0 at 45°, where both latents know the same."""
    factors = lattice(20, 20)
    scores = []
    for angle in np.deg2rad([0, 10, 20, 30, 45]):
        rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        scores.append(binned_mig((factors - 9.5) @ rotation, factors).score)
    assert scores[0] == pytest.approx(1)
    assert (np.diff(scores) < -0.05).all()
    assert scores[-1] == pytest.approx(0, abs=0.01)


def test_refusals():
    codes, factors = rng().normal(size=(20, 2)), rng().integers(0, 3, (20, 2))
    for arguments, message in [
        ((codes[:, :1], factors), "one latent has no second"),
        ((codes + np.inf, factors), "codes has NaN or infinity"),
        ((codes, factors[:10]), "factors must be of shape"),
        ((codes, factors * [0, 1]), "columns .0. have one class each"),
        ((codes, factors, 0), "bins must be at least 2"),
    ]:
        with pytest.raises(ValueError, match=message):
            binned_mig(*arguments)
