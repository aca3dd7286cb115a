"""Modularity of codes whose information about each factor can be counted."""

import numpy as np
import pytest

from jaxgen.metrics import modularity


def lattice(*sizes):
    return np.stack([axis.reshape(-1) for axis in np.meshgrid(*map(np.arange, sizes), indexing="ij")], 1)


def test_latents_of_one_factor_each_score_one_even_if_several_share_it():
    a, b, c = lattice(4, 6, 3).T
    codes = np.stack([a, -a, a // 2, b, c], 1)
    assert modularity(codes, np.stack([a, b, c], 1)) == pytest.approx(1, abs=1e-12)


def test_by_hand():
    """Of three factors, z₀ knows 2 bits of a; z₁ knows a's 2 bits and one of b's; z₂ one bit each of a, b and c."""
    a, b, c = lattice(4, 4, 4).T
    codes = np.stack([a, a + 10 * (b // 2), a // 2 + 2 * (b // 2) + 4 * (c // 2)], 1)
    expected = [1, 1 - 1**2 / (2 * 2**2), 1 - (1 + 1) / 2]
    assert modularity(codes, np.stack([a, b, c], 1), bins=40) == pytest.approx(np.mean(expected), abs=1e-12)


def test_a_latent_that_never_moves_counts_as_nothing():
    a, b = lattice(4, 4).T
    assert modularity(np.stack([a, b, np.zeros(16)], 1), np.stack([a, b], 1)) == pytest.approx(2 / 3, abs=1e-12)


def test_noise_scores_low():
    """What noise seems to know of k − 1 other factors is about what it seems to know of its best."""
    generator = np.random.default_rng(0)
    factors = generator.integers(0, 8, (5000, 4))
    scores = [modularity(generator.normal(size=(5000, 10)), factors) for _ in range(5)]
    # information is chi-squared with 133 degrees of freedom over 2n: its ratio to the best of four is near 1
    draws = generator.chisquare(133, (20_000, 4)) ** 2
    expected = np.mean(1 - (draws.sum(1) - draws.max(1)) / (3 * draws.max(1)))
    np.testing.assert_allclose(np.mean(scores), expected, atol=0.05)


def test_refusals():
    codes, factors = np.random.default_rng(0).normal(size=(20, 2)), lattice(5, 4)
    for arguments, message in [
        ((codes, factors[:, :1]), "modularity compares factors: pass two or more"),
        ((codes[:, :1], factors), "one latent has no second"),
        ((codes * np.nan, factors), "codes has NaN"),
        ((codes, factors, 1), "bins must be at least 2"),
    ]:
        with pytest.raises(ValueError, match=message):
            modularity(*arguments)
