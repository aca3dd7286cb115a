"""SAP on linear codes, where R² is a squared cosine, and on categories split by thresholds."""

import sys

import numpy as np
import pytest
from scipy.stats import norm
from sklearn.linear_model import LinearRegression

from jaxgen.metrics import sap

rng = np.random.default_rng


def lattice(*sizes):
    return np.stack([axis.reshape(-1) for axis in np.meshgrid(*map(np.arange, sizes), indexing="ij")], 1)


def test_predictability_is_the_r2_of_scikit_learns_regression():
    factors = rng(0).integers(0, 9, (200, 3))
    codes = factors @ rng(1).normal(size=(3, 4)) + rng(2).normal(size=(200, 4))
    r2 = lambda code, factor: LinearRegression().fit(code[:, None], factor).score(code[:, None], factor)
    expected = [[r2(code, factor) for factor in factors.T] for code in codes.T]
    found = sap(codes, factors)
    np.testing.assert_allclose(found.predictability, expected, rtol=1e-9)
    ordered = np.sort(expected, 0)
    np.testing.assert_allclose(found.per_factor, ordered[-1] - ordered[-2], rtol=1e-9)
    assert found.score == pytest.approx(np.mean(ordered[-1] - ordered[-2]))


@pytest.mark.parametrize("degrees", [0, 20, 45])
def test_a_turned_code_scores_the_cosine_of_twice_the_angle(degrees):
    """Independent factors of one variance: R² is cos² of one latent and sin² of the other."""
    angle, factors = np.deg2rad(degrees), lattice(7, 7)
    rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    codes = np.concatenate([5 * factors @ rotation + 3, np.full((49, 1), 7.0)], 1)
    found = sap(codes, factors)
    assert found.score == pytest.approx(abs(np.cos(2 * angle)), abs=1e-9)
    np.testing.assert_array_equal(found.predictability[2], 0)  # a latent that never moves


def test_perfect_codes_and_noise():
    factors = np.stack([rng(0).integers(0, 3, 3000), rng(1).integers(0, 32, 3000)], 1)
    codes = np.concatenate([factors, rng(2).normal(size=(3000, 2))], 1)
    assert sap(codes, factors).score > 0.99
    # of noise n R² is chi-squared with one degree of freedom, so that the gap stays below the larger of a few
    assert sap(codes[:, 2:], factors).score < 20 / 3000


def test_categories_need_no_order_but_thresholds():
    """Three classes in an order of their own: one latent tells them by thresholds, the other two of three."""
    factors = np.stack([rng(0).integers(0, 3, 900), rng(1).integers(0, 5, 900)], 1)
    where = np.array([1.0, 9.0, 5.0])[factors[:, 0]]
    codes = np.stack([where, np.abs(where - 5), rng(2).normal(size=900)], 1)
    found = sap(codes, factors, categorical=[0])
    error = np.sqrt(1 / 3 * 2 / 3 / 300)
    np.testing.assert_allclose(found.predictability[:2, 0], [1, 2 / 3], atol=1e-12)
    assert abs(found.predictability[2, 0] - 1 / 3) < 4 * error
    assert found.per_factor[0] == pytest.approx(1 / 3)
    np.testing.assert_array_equal(found.predictability[:, 1], sap(codes, factors).predictability[:, 1])
    assert sap(codes, factors).predictability[0, 0] < 0.9


def test_rare_categories_count_as_much_as_common_ones():
    """Of two classes, 9 to 1, a latent that says the common one always is right half the time, when balanced."""
    factors = np.stack([(np.arange(2000) % 10 == 0).astype(int), rng(0).integers(0, 2, 2000)], 1)
    codes = np.stack([np.zeros(2000), rng(1).normal(size=2000)], 1)
    found = sap(codes, factors, categorical=(0,))
    assert found.predictability[0, 0] == pytest.approx(0.5)
    assert abs(found.predictability[1, 0] - 0.5) < 4 * 0.5 / np.sqrt(67)


def test_thresholds_are_chosen_for_balance():
    """N(0, 1) nine times in ten, else N(1.5, 1): halfway between, each is told Φ(.75) of the time."""
    rare = (np.arange(30_000) % 10 == 0).astype(int)
    codes = np.stack([rng(0).normal(size=30_000) + 1.5 * rare, np.zeros(30_000)], 1)
    found = sap(codes, rare[:, None], categorical=(0,))
    error = np.sqrt(0.773 * 0.227 * (1 / 1000 + 1 / 9000)) / 2
    assert abs(found.predictability[0, 0] - norm.cdf(0.75)) < 4 * error + 0.01  # the threshold has an error of its own


def test_classes_have_one_threshold_fewer_than_they_are():
    """The middle third against the rest: one threshold finds all of the one and half of the other."""
    code = rng(0).uniform(0, 3, 3000)
    middle = ((code >= 1) & (code < 2)).astype(int)
    found = sap(np.stack([code, np.zeros(3000)], 1), middle[:, None], categorical=(0,))
    assert found.predictability[0, 0] == pytest.approx(0.75, abs=0.03)


def test_refusals(monkeypatch):
    codes, factors = rng(0).normal(size=(20, 2)), rng(0).integers(0, 3, (20, 2))
    for arguments, options, message in [
        ((codes[:, :1], factors), {}, "one latent has no second"),
        ((codes, factors[:10]), {}, "factors must be of shape"),
        ((codes, factors * [0, 1]), {}, "columns .0. have one class each"),
        ((codes, factors), {"categorical": (2,)}, r"columns \[2\], but factors have the columns 0 to 1"),
        ((codes, factors), {"categorical": (-1,)}, r"columns \[-1\]"),
        ((codes[:4], lattice(2, 2)), {"categorical": (0,)}, "need 6 codes at least, .* got 4"),
    ]:
        with pytest.raises(ValueError, match=message):
            sap(*arguments, **options)
    monkeypatch.setitem(sys.modules, "sklearn.tree", None)
    sap(codes, factors)
    with pytest.raises(
        ImportError, match=r'categorical factors needs scikit-learn: pip install "jaxgen\[experiments\]"'
    ):
        sap(codes, factors, categorical=(1,))
