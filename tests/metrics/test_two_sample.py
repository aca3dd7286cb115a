"""The classifier two-sample test against statsmodels, scikit-learn, and two Gaussians of known divergence."""

import numpy as np
import pytest
from scipy.stats import norm
from sklearn.metrics import roc_auc_score
from statsmodels.stats.proportion import proportion_confint

from jaxgen.metrics import classifier_two_sample_test

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("confidence", [0.95, 0.6])
def test_accuracy_interval_p_value_and_auc_are_those_of_other_libraries(confidence):
    real, fake = np.round(RNG.normal(0.4, 1, 60), 1), np.round(RNG.normal(0, 1, 60), 1)
    real[real == 0], fake[fake == 0] = 0.1, 0.1
    assert len(np.intersect1d(real, fake)) > 5  # ties, which the AUC counts half
    found = classifier_two_sample_test(real, fake, confidence)
    right = (real > 0).sum() + (fake < 0).sum()
    assert found.accuracy == right / 120
    np.testing.assert_allclose(found.interval, proportion_confint(right, 120, 1 - confidence, "wilson"), rtol=1e-12)
    np.testing.assert_allclose(found.p_value, norm.sf((right / 120 - 0.5) * np.sqrt(4 * 120)), rtol=1e-12)
    labels = np.repeat([1, 0], 60)
    np.testing.assert_allclose(found.auc, roc_auc_score(labels, np.concatenate([real, fake])), rtol=1e-12)


def test_the_best_classifier_of_two_gaussians_reaches_the_known_values():
    """N(0, 1) and N(1, 1): accuracy Φ(½), AUC Φ(1/√2), and a bound that is the JSD of .11142."""
    n = 100_000
    real, fake = RNG.normal(0, 1, n), RNG.normal(1, 1, n)
    found = classifier_two_sample_test(0.5 - real, 0.5 - fake)
    assert abs(found.accuracy - norm.cdf(0.5)) < 4 * np.sqrt(0.25 / (2 * n))
    assert found.interval.low < norm.cdf(0.5) < found.interval.high
    assert abs(found.auc - norm.cdf(np.sqrt(0.5))) < 4 * np.sqrt(0.25 / n)
    assert found.jsd_bound.error < 0.002
    assert abs(found.jsd_bound.mean - 0.11142) < 4 * found.jsd_bound.error
    # another classifier bounds it from below
    worse = classifier_two_sample_test(2 * (0.2 - real), 2 * (0.2 - fake))
    assert worse.jsd_bound.mean < 0.11142 - 10 * worse.jsd_bound.error


def test_the_bound_is_negative_for_a_classifier_that_is_right_but_too_sure():
    """The best classifier's logits tenfold: its accuracy is as good, and E[BCE] > log 2 by quadrature."""
    x, dx = np.linspace(-9, 10, 20_001, retstep=True)
    n = 100_000
    found = classifier_two_sample_test(10 * (0.5 - RNG.normal(0, 1, n)), 10 * (0.5 - RNG.normal(1, 1, n)))
    losses = norm.pdf(x) * np.logaddexp(0, -10 * (0.5 - x)) + norm.pdf(x, 1) * np.logaddexp(0, 10 * (0.5 - x))
    exact = np.log(2) - losses.sum() * dx / 2
    assert exact < -0.1
    assert abs(found.jsd_bound.mean - exact) < 4 * found.jsd_bound.error
    assert found.accuracy > 0.6


def test_a_classifier_that_knows_nothing_or_all():
    nothing = classifier_two_sample_test(np.zeros(10), np.zeros(10))
    assert (nothing.accuracy, nothing.auc, nothing.p_value) == (0.5, 0.5, 0.5)
    np.testing.assert_allclose(nothing.jsd_bound, 0, atol=1e-15)
    everything = classifier_two_sample_test(np.full(10, 800.0), np.full(10, -800.0))
    assert (everything.accuracy, everything.auc, everything.interval.high) == (1, 1, 1)
    assert 0.8 < everything.interval.low < 1
    np.testing.assert_allclose(everything.jsd_bound.mean, np.log(2))


@pytest.mark.parametrize(
    ("real", "fake", "confidence", "message"),
    [
        (np.ones(3), np.ones(4), 0.95, "as many real as fake logits"),
        (np.ones((3, 1)), np.ones((3, 1)), 0.95, "as many real as fake logits"),
        (np.ones(1), np.ones(1), 0.95, "n ≥ 2"),
        (np.ones(2), np.array([1, np.nan]), 0.95, "NaN or infinity"),
        (np.ones(2), np.ones(2), 1.0, "confidence must be between 0 and 1"),
    ],
)
def test_bad_input_is_refused(real, fake, confidence, message, unchecked):
    with pytest.raises(ValueError, match=message):
        classifier_two_sample_test(real, fake, confidence)
