"""Which methods are as good as the whole chain, and which of two is better at as many network calls."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from scipy import stats

from experiments.kit.statistics import verdicts
from jaxgen.metrics import MeanAndError, mean_and_error


class Compared(NamedTuple):
    """A method compared with the whole chain, set by set.

    Attributes:
        distances: its Fréchet distance in each set, (sets,).
        distance: their mean and standard error.
        difference: mean and standard error of their differences from the whole chain's.
        bound: what the mean difference does not exceed at 95 % confidence.
        time: its time as a share of the whole chain's.
    """

    distances: np.ndarray
    distance: MeanAndError
    difference: MeanAndError
    bound: float
    time: float

    @property
    def uncertainty(self) -> float:
        """How far the bound lies above the mean difference."""
        return self.bound - self.difference.mean


class Fewest(NamedTuple):
    """Of methods by their number of steps: the fewest steps that are as good as the whole chain, and the best.

    Attributes:
        as_good: the fewest steps whose bound lies below what is allowed, or None.
        lowest: the steps of the lowest distance.
    """

    as_good: int | None
    lowest: int


class Late(NamedTuple):
    """How late the chain may start.

    Attributes:
        latest: the smallest T′ that is as good as the whole chain and faster, or None.
        nearest: the T′ of the lowest bound.
        decidable: whether for some T′ the uncertainty is below what is allowed, so that the sets can show it.
    """

    latest: int | None
    nearest: int
    decidable: bool


class EqualCalls(NamedTuple):
    """The numbers of calls at which one of two methods is better beyond chance."""

    late: list[int]
    longer: list[int]


def compare(distances: np.ndarray, chain: np.ndarray, time: float) -> Compared:
    """Compare a method's distances with the whole chain's; sets are paired, because they have the same keys."""
    differences = distances - chain
    return Compared(distances, mean_and_error(distances), mean_and_error(differences), upper_bound(differences), time)


def upper_bound(differences: np.ndarray) -> float:
    """The upper end of the one-sided 95 % confidence interval of the mean, by Student's t."""
    if np.ptp(differences) == 0:
        return float(differences[0])
    return float(stats.ttest_1samp(differences, 0.0, alternative="less").confidence_interval(0.95).high)


def latest_start(late: Mapping[int, Compared], allowed: float) -> Late:
    """How late the chain may start, if the distance may be larger than the whole chain's by less than `allowed`."""
    return Late(
        latest=min((n for n, of in late.items() if of.bound < allowed and of.time < 1), default=None),
        nearest=min(late, key=lambda n: late[n].bound),
        decidable=any(of.uncertainty < allowed for of in late.values()),
    )


def fewest_steps(methods: Mapping[int, Compared], allowed: float) -> Fewest:
    """How few steps are as good as the whole chain, if the distance may be larger by less than `allowed`."""
    return Fewest(
        as_good=min((n for n, of in methods.items() if of.bound < allowed), default=None),
        lowest=min(methods, key=lambda n: methods[n].distance.mean),
    )


def at_equal_calls(late: Mapping[int, Compared], longer: Mapping[int, Compared]) -> EqualCalls:
    """At which numbers of calls the late start or longer steps are better, at 5 % that any of it is wrong."""
    found = verdicts({str(n): late[n].distances - longer[n].distances for n in late})
    return EqualCalls(
        late=[int(n) for n, each in found.items() if each == "better"],
        longer=[int(n) for n, each in found.items() if each == "worse"],
    )
