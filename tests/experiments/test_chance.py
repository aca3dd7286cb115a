"""What is said to be beyond chance: against scipy's tests, and by how often nothing is taken for something."""

import numpy as np
import pytest
from scipy.stats import binomtest, norm, ttest_1samp, ttest_rel

from experiments.chance import apart, beyond_chance, chance, percent, share
from jaxgen.metrics import MeanAndError


def test_what_is_apart_by_students_t():
    rng = np.random.default_rng(0)
    verdicts = set()
    for shift in np.linspace(0, 3, 20):
        a, b = rng.normal(size=(2, 4))
        verdicts.add(apart(a + shift, b))
        assert chance(a + shift - b) == pytest.approx(ttest_rel(a + shift, b).pvalue, rel=1e-4)
        assert apart(a + shift, b) == (ttest_rel(a + shift, b).pvalue < 0.05)
    assert verdicts == {True, False}
    assert not apart([1.0, 2.0], [1.0, 2.0])
    assert apart([1.0, 2.0], [2.0, 3.0])


def test_holms_correction_goes_down_the_ordered_chances():
    """The least is held against .05/n, the next against .05/(n − 1), until the first that fails."""
    rng = np.random.default_rng(1)
    told = []
    for _ in range(60):
        differences = {str(i): rng.normal(size=4) + (8 * rng.random() if i % 2 else 0) for i in range(9)}
        ordered = sorted((ttest_1samp(values, 0).pvalue, name) for name, values in differences.items())
        expected = set()
        for i, (p, name) in enumerate(ordered):
            if p >= 0.05 / (9 - i):
                break
            expected.add(name)
        assert beyond_chance(differences) == expected
        told.append(len(expected))
    assert min(told) == 0
    assert max(told) > 2
    assert beyond_chance({}) == set()


def test_nothing_is_rarely_taken_for_something():
    """Of nine differences that are none, at most 5 % of the families hold one that is told; each alone, 37 %."""
    rng = np.random.default_rng(2)
    families = rng.normal(size=(200, 9, 4))
    wrong = np.mean([bool(beyond_chance(dict(enumerate(family)))) for family in families])
    assert wrong < 0.05 + 3 * np.sqrt(0.05 * 0.95 / 200)
    uncorrected = np.mean([any(apart(values, 0 * values) for values in family) for family in families])
    assert abs(uncorrected - (1 - 0.95**9)) < 3 * np.sqrt(0.37 * 0.63 / 200)


@pytest.mark.parametrize("right", [0, 1, 7, 20])
def test_a_shares_error_is_at_least_half_of_wilsons_interval(right):
    interval = binomtest(right, 20).proportion_ci(confidence_level=norm.cdf(1) - norm.cdf(-1), method="wilson")
    half = (interval.high - interval.low) / 2
    alike = share(np.full(4, right / 20), each=5)
    assert alike.mean == pytest.approx(right / 20)
    assert alike.error == pytest.approx(half, rel=1e-6)
    assert half > 0
    assert share(np.arange(20) < right).error >= half * (1 - 1e-9)


def test_a_shares_error_over_groups_whose_values_are_alike():
    """Copies of a value in its group tell nothing more: the error is that of one of each."""
    once = np.random.default_rng(0).random(50) < 0.6
    texts = np.random.default_rng(1).permutation(50)
    expected = once.std(ddof=1) / np.sqrt(50)
    assert share(once).error == pytest.approx(expected)
    found = share(once.repeat(8), groups=np.stack([texts, texts], axis=1).repeat(8, axis=0))
    assert found == (pytest.approx(once.mean()), pytest.approx(expected))
    assert share(once.repeat(8)).error < 0.4 * expected


def test_groups_of_unequal_size_by_monte_carlo():
    """Of two groups of 1 and 3 values that are wholly alike, in turns, the share varies as it is said to on average."""
    rng, sizes = np.random.default_rng(2), np.array([1, 3] * 20)
    drawn = [share((rng.random(40) < 0.3).repeat(sizes), groups=np.arange(40).repeat(sizes)) for _ in range(1000)]
    spread = np.std([of.mean for of in drawn])
    assert np.sqrt(np.mean([of.error**2 for of in drawn])) == pytest.approx(spread, rel=0.1)
    assert spread == pytest.approx(np.sqrt(0.21 * np.sum(sizes**2)) / np.sum(sizes), rel=0.1)


def test_a_share_in_hundredths():
    assert percent(MeanAndError(0.324, 0.047)) == "32.4 ± 4.7%"
