"""The classifier two-sample test: how well a classifier tells held-out real data from fake."""

import math
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Float, Float64

from jaxgen.metrics.bits import MeanAndError, mean_and_error


class ConfidenceInterval(NamedTuple):
    """The ends of a confidence interval."""

    low: float
    high: float


class TwoSampleTest(NamedTuple):
    """What a classifier tells of two samples.

    Attributes:
        accuracy: share of the data on the right side of logit 0; those at 0 count half. Chance is ½, and ½ + ½ TV the
            most, where TV is the total variation distance of both laws.
        interval: Wilson's interval of the accuracy.
        p_value: the chance of this accuracy or more if both laws were one, by the normal approximation.
        auc: the area under the ROC curve, the probability that a real logit is above a fake one. Chance is ½.
        jsd_bound: log 2 − BCE in nats and its standard error. Its expectation is at most the Jensen–Shannon divergence
            of both laws, which is at most log 2. It is negative where the cross-entropy BCE exceeds log 2, as for a
            classifier that is too sure: calibrate it first, on data of neither its training nor this test.
    """

    accuracy: float
    interval: ConfidenceInterval
    p_value: float
    auc: float
    jsd_bound: MeanAndError


def classifier_two_sample_test(
    real_logits: Float[ArrayLike, " n"], fake_logits: Float[ArrayLike, " n"], confidence: float = 0.95
) -> TwoSampleTest:
    """Test whether real and fake data differ, by a classifier of both on data that it was not trained on.

    The interval is that of this classifier on other data. Classifiers of other seeds vary beyond it.

    Args:
        real_logits: the classifier's logits of "real" for held-out real data, (n,).
        fake_logits: those for as many fake data, (n,).
        confidence: the interval's level, between 0 and 1.

    Returns:
        Accuracy with its interval, p-value, AUC, and the bound on the Jensen–Shannon divergence.

    Raises:
        ValueError: unless both are finite and of one shape (n,), n ≥ 2, and 0 < confidence < 1.

    Reference:
        Lopez-Paz & Oquab 2017, "Revisiting classifier two-sample tests", §3; Goodfellow et al. 2014, eq. 5 and 6.
    """
    real, fake = np.asarray(real_logits, np.float64), np.asarray(fake_logits, np.float64)
    if real.ndim != 1 or real.shape != fake.shape or len(real) < 2:
        raise ValueError(
            f"need as many real as fake logits, (n,) with n ≥ 2, got {real.shape} and {fake.shape}: leave out the "
            "surplus, for ½ is chance only between equally many"
        )
    if not (np.isfinite(real).all() and np.isfinite(fake).all()):
        raise ValueError("the logits have NaN or infinity")
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must be between 0 and 1, got {confidence}")
    n = 2 * len(real)
    accuracy = float(np.mean([np.sign(real) + 1, 1 - np.sign(fake)]) / 2)
    p_value = NormalDist().cdf((0.5 - accuracy) * 2 * math.sqrt(n))  # the accuracy is N(½, 1/4n) under the null
    # pairs are independent, while the two losses of a pair need not have one mean
    cross_entropy = (np.logaddexp(0, -real) + np.logaddexp(0, fake)) / 2
    bound = mean_and_error(math.log(2) - cross_entropy)
    return TwoSampleTest(accuracy, _wilson(accuracy, n, confidence), p_value, _auc(real, fake), bound)


def _wilson(share: float, n: int, confidence: float) -> ConfidenceInterval:
    """Wilson's score interval of a share of n trials (Wilson 1927)."""
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    centre = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z * math.sqrt(share * (1 - share) / n + (z / (2 * n)) ** 2) / (1 + z**2 / n)
    return ConfidenceInterval(max(centre - half, 0.0), min(centre + half, 1.0))


def _auc(real: Float64[np.ndarray, " n"], fake: Float64[np.ndarray, " n"]) -> float:
    """P(real > fake) + ½ P(real = fake), the Mann–Whitney statistic."""
    ordered = np.sort(fake)
    below = np.searchsorted(ordered, real, "left") + np.searchsorted(ordered, real, "right")
    return float(below.mean() / (2 * len(fake)))
