"""Binned mutual information against scikit-learn's, counts by hand and the bias of the plug-in estimate."""

import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.metrics import mutual_info_score

from jaxgen.metrics import mutual_information


def rng(seed=0):
    return np.random.default_rng(seed)


@pytest.mark.parametrize("bins", [2, 4, 20])
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


def test_by_hand():
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


def test_refusals():
    codes, factors = rng().normal(size=(20, 2)), rng().integers(0, 3, (20, 2))
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
        with pytest.raises(ValueError, match=message):
            mutual_information(*arguments)
