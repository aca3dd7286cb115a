"""What lies beyond chance: against the definitions of the tests, and by how often nothing is taken for something."""

import numpy as np
import pytest
from scipy.stats import binomtest, norm, sem, t, ttest_1samp, ttest_rel

from experiments.kit.statistics import (
    differ,
    over_repetitions,
    p_value,
    ranking,
    ratio,
    ratio_of_means,
    share,
    share_interval,
    verdict,
    verdicts,
)
from experiments.kit.wording import ascending
from jaxgen.metrics import MeanAndError


def test_means_that_differ_by_students_t():
    rng = np.random.default_rng(0)
    found = set()
    for shift in np.linspace(0, 3, 20):
        a, b = rng.normal(size=(2, 4))
        found.add(differ(a + shift, b))
        assert p_value(a + shift - b) == pytest.approx(ttest_rel(a + shift, b).pvalue)
        assert differ(a + shift, b) == (ttest_rel(a + shift, b).pvalue < 0.05)
    assert found == {True, False}
    assert not differ([1.0, 2.0], [1.0, 2.0])
    assert differ([1.0, 2.0], [2.0, 3.0])


def test_a_verdict_says_which_way_and_whether_beyond_chance():
    a, b = np.array([1.0, 1.1, 0.9, 1.0]), np.array([2.0, 2.2, 1.9, 2.1])
    assert verdict(a, b) == "better"
    assert verdict(b, a) == verdict(a, b, best="high") == "worse"
    assert verdict(b, a, best="high") == "better"
    assert verdict(a, a[::-1]) == "within chance"
    near, far = MeanAndError(1.0, 0.1), MeanAndError(1.19, 0.0)  # 1.9 and 2.1 standard errors
    assert verdict(near, far) == verdict(far, near) == "within chance"
    assert verdict(near, MeanAndError(1.21, 0.0)) == "better"
    assert verdict(MeanAndError(1.21, 0.0), near) == "worse"
    assert verdict(MeanAndError(1.0, 0.0), MeanAndError(1.0, 0.0)) == "within chance"


def test_holms_correction_goes_down_the_ordered_p_values():
    """The least is compared with .05/n, the next with .05/(n − 1), until the first that fails."""
    rng = np.random.default_rng(1)
    counts = []
    for _ in range(60):
        differences = {str(i): rng.normal(size=4) + (8 * rng.random() if i % 2 else 0) for i in range(9)}
        ordered = sorted((ttest_1samp(values, 0).pvalue, name) for name, values in differences.items())
        expected = set()
        for i, (p, name) in enumerate(ordered):
            if p >= 0.05 / (9 - i):
                break
            expected.add(name)
        found = verdicts(differences)
        assert {name for name, of in found.items() if of != "within chance"} == expected
        assert all(found[name] == ("better" if differences[name].mean() < 0 else "worse") for name in expected)
        counts.append(len(expected))
    assert min(counts) == 0
    assert max(counts) > 2
    assert verdicts({}) == {}
    assert verdicts({"a": [2.0, 2.1, 2.2]}, best="high") == {"a": "better"}


@pytest.mark.slow
def test_nothing_is_rarely_taken_for_something():
    """Of nine differences that are none, at most 5 % of the families hold one that is found; each alone, 37 %."""
    rng = np.random.default_rng(2)
    families = rng.normal(size=(200, 9, 4))
    wrong = np.mean([set(verdicts(dict(enumerate(family))).values()) != {"within chance"} for family in families])
    assert wrong < 0.05 + 3 * np.sqrt(0.05 * 0.95 / 200)
    uncorrected = np.mean([any(differ(values, 0 * values) for values in family) for family in families])
    assert abs(uncorrected - (1 - 0.95**9)) < 3 * np.sqrt(0.37 * 0.63 / 200)


def test_repetitions_of_any_numbers_have_a_mean_and_an_error():
    values = [1, 2.5, 7.0, np.float32(3)]
    assert over_repetitions(values) == (pytest.approx(np.mean(values)), pytest.approx(sem(values)))


def test_a_ranking_joins_what_differs_by_less_than_signs():
    values = {"c": [3.0, 3.1, 3.2], "a": [1.0, 1.2, 1.4], "b": [1.1, 1.15, 1.46]}
    found = ranking(values)
    assert list(found.means) == ["a", "b", "c"]
    assert found.means["c"] == (pytest.approx(3.1), pytest.approx(0.1 / np.sqrt(3)))
    assert found.neighbours_differ == [False, True]
    assert ascending(found) == "a 1.20 ± 0.12 ≈ b 1.24 ± 0.11 < c 3.100 ± 0.058"


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
    """Copies of a value in its group add nothing: the error is that of one of each."""
    once = np.random.default_rng(0).random(50) < 0.6
    texts = np.random.default_rng(1).permutation(50)
    expected = once.std(ddof=1) / np.sqrt(50)
    assert share(once).error == pytest.approx(expected)
    found = share(once.repeat(8), groups=np.stack([texts, texts], axis=1).repeat(8, axis=0))
    assert found == (pytest.approx(once.mean()), pytest.approx(expected))
    assert share(once.repeat(8)).error < 0.4 * expected


def test_groups_of_unequal_size_by_monte_carlo():
    """Of two groups of 1 and 3 values that are equal, in turns, the share varies as its errors say on average."""
    rng, sizes = np.random.default_rng(2), np.array([1, 3] * 20)
    drawn = [share((rng.random(40) < 0.3).repeat(sizes), groups=np.arange(40).repeat(sizes)) for _ in range(1000)]
    spread = np.std([of.mean for of in drawn])
    assert np.sqrt(np.mean([of.error**2 for of in drawn])) == pytest.approx(spread, rel=0.1)
    assert spread == pytest.approx(np.sqrt(0.21 * np.sum(sizes**2)) / np.sum(sizes), rel=0.1)


def test_a_ratio_of_means_has_the_error_that_repetition_shows():
    rng = np.random.default_rng(0)
    shared = rng.normal(0, 0.5, (2000, 100))
    a, b = 2 + shared + rng.normal(0, 0.5, shared.shape), 4 + shared
    found = [ratio_of_means(*pair) for pair in zip(a, b, strict=True)]
    ratios = [one.mean for one in found]
    assert abs(np.mean(ratios) - 0.5) < 4 * np.std(ratios) / 2000**0.5 + 1e-3  # the ratio's own bias is of order 1/n
    assert np.mean([one.error for one in found]) == pytest.approx(np.std(ratios), rel=0.05)


def test_the_error_of_a_ratio_of_shares_by_monte_carlo():
    rng = np.random.default_rng(0)
    drawn = rng.normal(0.6, 0.02, 20_000) / rng.normal(0.9, 0.03, 20_000)
    found = ratio(MeanAndError(0.6, 0.02), MeanAndError(0.9, 0.03))
    assert found.mean == pytest.approx(2 / 3)
    assert found.error == pytest.approx(drawn.std(), rel=0.03)
    assert ratio(MeanAndError(0.1, 0.01), MeanAndError(0.0, 0.01)) is None


def test_the_interval_of_shares_is_students_or_wilsons_where_that_is_wider():
    values = np.array([0.5, 0.7, 0.6, 0.8])
    found = share_interval(values, 10**6)
    assert found == pytest.approx((0.65, *t.interval(0.95, 3, 0.65, sem(values))))
    few = share_interval([0.6, 0.6, 0.6], 30)
    wilson = binomtest(18, 30).proportion_ci(0.95, method="wilson")
    assert few == pytest.approx((0.6, wilson.low, wilson.high))
    assert share_interval([1.0, 1.0], 50).high == 1
    assert share_interval([1.0, 1.0], 50).low == pytest.approx(binomtest(50, 50).proportion_ci(0.95, "wilson").low)
    assert share_interval([0.0, 1.0], 50)[1:] == (0, 1)


def test_the_interval_of_shares_has_the_truth_nineteen_times_in_twenty():
    """Repetitions whose true share varies by ±.05 about .6, with 100 draws each."""
    rng = np.random.default_rng(0)
    hits = 0
    for _ in range(1000):
        found = share_interval(rng.binomial(100, 0.6 + 0.05 * rng.normal(size=4).clip(-3, 3)) / 100, 400)
        hits += found.low <= 0.6 <= found.high
    assert 0.93 < hits / 1000 <= 1
