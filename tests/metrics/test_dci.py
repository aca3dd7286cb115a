"""DCI of importance matrices worked by hand, and of codes whose importance is known."""

import sys

import numpy as np
import pytest
from scipy.stats import entropy

from jaxgen.metrics import dci, disentanglement_completeness

rng = np.random.default_rng


def test_perfect_even_and_empty_latents():
    assert disentanglement_completeness(np.eye(4)) == pytest.approx((1, 1))
    assert disentanglement_completeness(np.ones((5, 3))) == pytest.approx((0, 0), abs=1e-12)
    # a latent and a factor of no importance count for nothing
    padded = np.pad(np.eye(3), ((0, 2), (0, 1)))
    assert disentanglement_completeness(padded) == pytest.approx((1, 1))


def test_by_hand():
    """z₀ serves v₀ alone, z₁ and z₂ serve v₁ evenly; z₂ has also three times that for v₀."""
    importance = np.array([[2.0, 0.0], [0.0, 1.0], [3.0, 1.0]])
    # rows: shares 2/7, 1/7, 4/7 of the whole; entropies to the base 2
    expected_d = 2 / 7 + 1 / 7 + 4 / 7 * (1 - entropy([0.75, 0.25], base=2))
    # columns: 5/7 and 2/7; to the base 3
    expected_c = 5 / 7 * (1 - entropy([0.4, 0, 0.6], base=3)) + 2 / 7 * (1 - entropy([0, 0.5, 0.5], base=3))
    assert disentanglement_completeness(importance) == pytest.approx((expected_d, expected_c))
    assert disentanglement_completeness(9 * importance) == pytest.approx((expected_d, expected_c))
    assert disentanglement_completeness(importance.T) == pytest.approx((expected_c, expected_d))


def test_many_latents_for_one_factor_are_incomplete_but_disentangled():
    disentanglement, completeness = disentanglement_completeness(np.repeat(np.eye(2), 3, axis=0))
    assert disentanglement == pytest.approx(1)
    assert completeness == pytest.approx(1 - np.log(3) / np.log(6))


def test_a_perfect_code_scores_one_beside_noise():
    factors = np.stack([rng(0).integers(0, 3, 900), rng(1).integers(0, 8, 900)], 1)
    codes = np.concatenate([np.sin(factors / 3), rng(2).normal(size=(900, 4))], 1)
    found = dci(codes, factors)
    np.testing.assert_allclose(found.importance, np.pad(np.eye(2), ((0, 4), (0, 0))), atol=1e-12)
    assert found[:3] == pytest.approx((1, 1, 1))


@pytest.mark.slow
def test_latents_that_know_nothing_stay_of_no_importance_beside_blurred_ones():
    """Blurred beyond its classes a latent is no less the only one: trees that split noise on would deny it."""
    factors = np.stack([rng(0).integers(0, 12, 3000), rng(1).integers(0, 12, 3000)], 1)
    codes = np.concatenate([factors + 3 * rng(2).normal(size=(3000, 2)), rng(3).normal(size=(3000, 4))], 1)
    found = dci(codes, factors)
    assert found.disentanglement > 0.6
    assert found.completeness > 0.6
    assert found.importance[2:].max() < 0.1


def test_codes_of_no_use_score_nothing():
    factors = np.stack([np.arange(30) % 2, np.arange(30) // 15], 1)
    assert dci(np.zeros((30, 2)), factors)[:2] == (0, 0)


@pytest.mark.slow
def test_noise_tells_nothing():
    factors = np.stack([rng(0).integers(0, 4, 3000), rng(1).integers(0, 10, 3000)], 1)
    found = dci(rng(2).normal(size=(3000, 3)), factors)
    chance = (1 / 4 + 1 / 10) / 2
    error = np.sqrt(0.25 * 0.75 + 0.1 * 0.9) / (2 * np.sqrt(1000))
    assert abs(found.informativeness - chance) < 4 * error
    assert found.disentanglement < 0.02
    assert found.completeness < 0.02


def test_a_turned_code_is_informative_and_entangled():
    places = rng(0).uniform(0, 4, (2000, 2))
    factors = places.astype(int)
    scores = []
    for angle in (0.0, 0.2, np.pi / 4):
        rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        found = dci(places @ rotation, factors)
        assert found.informativeness > 0.95
        scores.append(found[:2])
    assert (np.diff(np.array(scores), axis=0) < -0.05).all()
    assert max(scores[-1]) < 0.1


@pytest.mark.slow
def test_informativeness_is_of_codes_that_were_not_trained_on():
    """Trees that may remember every code still guess those they have not seen."""
    factors = rng(0).integers(0, 2, (600, 2))
    found = dci(rng(1).normal(size=(600, 2)), factors, trees=30)
    assert abs(found.informativeness - 0.5) < 4 * 0.5 / np.sqrt(2 * 200)


def test_the_seed_decides():
    factors = rng(0).integers(0, 3, (300, 2))
    codes = factors + rng(1).normal(size=(300, 2))
    first, again, other = (dci(codes, factors, seed=seed).importance for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_refusals(monkeypatch):
    codes, factors = rng(0).normal(size=(20, 2)), rng(0).integers(0, 3, (20, 2))
    for arguments, options, message in [
        ((codes[:, :1], factors), {}, "one latent has no second"),
        ((codes, factors[:10]), {}, "factors must be of shape"),
        ((codes, factors[:, :1]), {}, r"2 factors at least, got .* factors \(20, 1\)"),
        ((codes[:8], np.array([[0, 1]] * 4 + [[1, 0]] * 4)), {}, r"9 codes .* got .* codes \(8, 2\)"),
        ((codes, factors), {"trees": 0}, "1 tree, .* got trees=0"),
    ]:
        with pytest.raises(ValueError, match=message):
            dci(*arguments, **options)
    for importance, message in [
        (np.zeros((3, 3)), "not all zero"),
        (-np.eye(3), "not negative"),
        (np.full((2, 2), np.nan), "must be finite"),
        (np.ones(3), r"shape \(d, k\), d >= 2 and k >= 2, got \(3,\)"),
        (np.ones((1, 3)), r"got \(1, 3\)"),
    ]:
        with pytest.raises(ValueError, match=message):
            disentanglement_completeness(importance)
    monkeypatch.setitem(sys.modules, "sklearn.ensemble", None)
    with pytest.raises(ImportError, match=r'dci needs scikit-learn: pip install "jaxgen\[experiments\]"'):
        dci(codes, factors)
