"""Mutual information, MIG and modularity of binned codes, against scikit-learn's, counts by hand and known biases."""

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import entropy
from sklearn.metrics import mutual_info_score

from jaxgen.metrics import binned_mig, modularity, mutual_information

SIZES = (3, 6, 40, 32, 32)  # of dSprites' factors

rng = np.random.default_rng


def lattice(*sizes):
    return np.stack([axis.reshape(-1) for axis in np.meshgrid(*map(np.arange, sizes), indexing="ij")], 1)


@pytest.mark.parametrize("bins", [2, 20])
def test_is_scikit_learns_on_numpys_bins(bins):
    factors = rng(0).integers(0, 9, (400, 3))
    # the factors themselves too, since they lie on the edges of bins
    codes = np.concatenate([factors @ rng(1).normal(size=(3, 4)), rng(2).normal(size=(400, 1)), factors], 1)
    edges = [np.histogram(code, bins)[1][:-1] for code in codes.T]
    expected = [
        [mutual_info_score(np.digitize(code, edge), factor) for factor in factors.T]
        for code, edge in zip(codes.T, edges, strict=True)
    ]
    np.testing.assert_allclose(mutual_information(codes, factors, bins), expected, rtol=1e-10, atol=1e-14)


def test_information_by_hand():
    """Two fair coins: one latent shows the first, one both at once, one a quarter of the second, one nothing."""
    first, second = np.array([0, 0, 1, 1]), np.array([0, 1, 0, 1])
    codes = np.stack([first, 2 * first + second, first * second, np.full(4, 5.0)], 1).repeat(3, 0)
    found = mutual_information(codes, np.stack([first, second], 1).repeat(3, 0), bins=4)
    a_quarter = (
        0.25 * np.log(0.25 / (0.25 * 0.5)) + 0.25 * np.log(0.25 / (0.75 * 0.5)) + 0.5 * np.log(0.5 / (0.75 * 0.5))
    )
    expected = [[np.log(2), 0], [np.log(2), np.log(2)], [a_quarter, a_quarter], [0, 0]]
    np.testing.assert_allclose(found, expected, atol=1e-15)


def test_labels_order_and_scale_of_codes_do_not_matter():
    factors = rng(0).integers(0, 5, (300, 2))
    codes = factors + 0.3 * rng(1).normal(size=(300, 2))
    found = mutual_information(codes, factors)
    names = np.array([40, -3, 17, 0, 9])
    np.testing.assert_allclose(mutual_information(codes, names[factors]), found, rtol=1e-12)
    np.testing.assert_allclose(mutual_information(8.0 * codes - 16.0, factors), found, rtol=1e-12)
    np.testing.assert_allclose(mutual_information(jnp.asarray(codes), jnp.asarray(factors)), found, rtol=0.05)


def test_independent_codes_have_the_bias_of_the_estimate():
    """2n times the estimate is chi-squared with (bins − 1)(classes − 1) degrees of freedom (Wilks)."""
    n, bins, classes, latents = 20_000, 20, 8, 200
    factors = rng(0).integers(0, classes, (n, 1))
    found = mutual_information(rng(1).random((n, latents)), factors, bins)
    freedom = (bins - 1) * (classes - 1)
    error = np.sqrt(2 * freedom / latents) / (2 * n)
    assert abs(found.mean() - freedom / (2 * n)) < 4 * error


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


def test_latents_of_one_factor_each_are_modular_even_if_several_share_it():
    a, b, c = lattice(4, 6, 3).T
    codes = np.stack([a, -a, a // 2, b, c], 1)
    assert modularity(codes, np.stack([a, b, c], 1)) == pytest.approx(1, abs=1e-12)


def test_modularity_by_hand():
    """Of three factors, z₀ knows 2 bits of a; z₁ knows a's 2 bits and one of b's; z₂ one bit each of a, b and c."""
    a, b, c = lattice(4, 4, 4).T
    codes = np.stack([a, a + 10 * (b // 2), a // 2 + 2 * (b // 2) + 4 * (c // 2)], 1)
    expected = [1, 1 - 1**2 / (2 * 2**2), 1 - (1 + 1) / 2]
    assert modularity(codes, np.stack([a, b, c], 1), bins=40) == pytest.approx(np.mean(expected), abs=1e-12)


def test_a_latent_that_never_moves_counts_as_nothing():
    a, b = lattice(4, 4).T
    assert modularity(np.stack([a, b, np.zeros(16)], 1), np.stack([a, b], 1)) == pytest.approx(2 / 3, abs=1e-12)


@pytest.mark.slow
def test_noise_is_hardly_modular():
    """What noise seems to know of k − 1 other factors is about what it seems to know of its best."""
    generator = rng(0)
    factors = generator.integers(0, 8, (5000, 4))
    scores = [modularity(generator.normal(size=(5000, 10)), factors) for _ in range(5)]
    # information is chi-squared with 133 degrees of freedom over 2n: its ratio to the best of four is near 1
    draws = generator.chisquare(133, (20_000, 4)) ** 2
    expected = np.mean(1 - (draws.sum(1) - draws.max(1)) / (3 * draws.max(1)))
    np.testing.assert_allclose(np.mean(scores), expected, atol=0.05)


def test_refusals():
    codes, factors = rng(0).normal(size=(20, 2)), rng(0).integers(0, 3, (20, 2))
    for arguments, message in [
        ((codes[:, :1], factors), "one latent has no second"),
        ((codes[0], factors), r"codes must be an array of shape \(n, d\)"),
        ((np.where(codes > 0, np.nan, codes), factors), "codes has NaN"),
        ((codes, factors[:10]), r"factors must be of shape \(20, k\), .* got \(10, 2\)"),
        ((codes, factors[:, 0]), r"got \(20,\)"),
        ((codes, factors[:, :0]), r"got \(20, 0\)"),
        ((codes, factors / 2), "factors must be integers, the class of each factor, got float64"),
        ((codes, factors * [1, 0]), r"columns \[1\] have one class each.*leave them out, as by factors\[:, \[0\]\]"),
        ((codes, factors, 1), "bins must be at least 2, got 1"),
    ]:
        for metric in (mutual_information, binned_mig, modularity):
            with pytest.raises(ValueError, match=message):
                metric(*arguments)
    with pytest.raises(ValueError, match="modularity compares factors: pass two or more"):
        modularity(codes, factors[:, :1])
