"""What is said to be beyond chance: against scipy's tests, and by how often nothing is taken for something."""

import numpy as np
import pytest
from scipy.stats import ttest_1samp, ttest_rel

from experiments.chance import apart, beyond_chance, chance


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
    for _ in range(300):
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
    families = rng.normal(size=(500, 9, 4))
    wrong = np.mean([bool(beyond_chance(dict(enumerate(family)))) for family in families])
    assert wrong < 0.05 + 3 * np.sqrt(0.05 * 0.95 / 500)
    uncorrected = np.mean([any(apart(values, 0 * values) for values in family) for family in families])
    assert abs(uncorrected - (1 - 0.95**9)) < 3 * np.sqrt(0.37 * 0.63 / 500)
