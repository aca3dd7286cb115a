"""What lies beyond chance: tests of paired differences, shares with their errors, and the verdict of a comparison."""

import math
from collections.abc import Hashable, Mapping, Sequence
from itertools import pairwise
from typing import Literal, NamedTuple, TypeVar

import numpy as np
from jax.typing import ArrayLike
from scipy import stats

from jaxgen.metrics import MeanAndError, mean_and_error

LEVEL = 0.05

Name = TypeVar("Name", bound=Hashable)
Verdict = Literal["better", "worse", "within chance"]


class Ranking(NamedTuple):
    """Means by name in ascending order, and whether each of them differs from the next beyond chance."""

    means: dict[str, MeanAndError]
    neighbours_differ: list[bool]


class Interval(NamedTuple):
    """A mean and the ends of its confidence interval."""

    mean: float
    low: float
    high: float


def p_value(differences: Sequence[float]) -> float:
    """The p-value of a mean of zero by Student's t test; 1 if all differences are 0, 0 if they are another constant."""
    differences = np.asarray(differences, np.float64)
    if np.ptp(differences) == 0:
        return float(differences[0] == 0)
    return float(stats.ttest_1samp(differences, 0.0).pvalue)


def differ(a: Sequence[float], b: Sequence[float]) -> bool:
    """Whether the means of paired values differ beyond chance, at 5 %."""
    return p_value(np.subtract(a, b)) < LEVEL


def verdict(
    a: Sequence[float] | MeanAndError, b: Sequence[float] | MeanAndError, *, best: Literal["low", "high"] = "low"
) -> Verdict:
    """Whether a is better than b, worse, or neither beyond chance, at 5 %.

    Args:
        a: paired values (n,), compared by Student's t test; or a mean and its error, compared by a normal test.
        b: likewise.
        best: whether low or high values are better.
    """
    if isinstance(a, MeanAndError) and isinstance(b, MeanAndError):
        difference, error = a.mean - b.mean, np.hypot(a.error, b.error)
        p = float(difference == 0) if error == 0 else 2 * stats.norm.sf(abs(difference) / error)
    else:
        difference, p = float(np.mean(np.subtract(a, b))), p_value(np.subtract(a, b))
    if not p < LEVEL:
        return "within chance"
    return "better" if (difference < 0) == (best == "low") else "worse"


def verdicts(
    differences: Mapping[Name, Sequence[float]], *, best: Literal["low", "high"] = "low"
) -> dict[Name, Verdict]:
    """The verdict on each mean difference, at 5 % that any of them is wrong (Holm 1979).

    Args:
        differences: paired differences (n,) from one reference, by name.
        best: whether low or high values are better.
    """
    found, beyond = dict.fromkeys(differences, "within chance"), True
    ordered = sorted((p_value(values), i, name) for i, (name, values) in enumerate(differences.items()))
    for rank, (p, _, name) in enumerate(ordered):
        beyond &= p <= LEVEL / (len(ordered) - rank)
        if beyond:
            found[name] = "better" if (np.mean(differences[name]) < 0) == (best == "low") else "worse"
    return found


def share(values: ArrayLike, *, each: int = 1, groups: ArrayLike | None = None) -> MeanAndError:
    """The mean of values in [0, 1] and its standard error.

    The error is at least half of Wilson's interval at one standard error, which is above 0 for shares of 0 and 1 too.

    Args:
        values: shares (n,), each of `each` draws.
        each: draws behind each value.
        groups: an id for each value, (n,) or (n, k); values of one group may be alike, so the error is over groups.
    """
    values = np.asarray(values, np.float64)
    mean = float(values.mean())
    low, high = _wilson(mean, len(values) * each, 1.0)
    ids = np.arange(len(values)) if groups is None else np.unique(groups, axis=0, return_inverse=True)[1].reshape(-1)
    deviations = np.bincount(ids, values - mean)  # of the sum over each group
    n, error = len(deviations), 0.0
    if n > 1:
        error = math.sqrt(n / (n - 1) * np.square(deviations).sum()) / len(values)
    return MeanAndError(mean, max(error, (high - low) / 2))


def over_repetitions(values: Sequence[float] | np.ndarray) -> MeanAndError:
    """The mean and standard error of one number per repetition, such as a seed or a training."""
    return mean_and_error(np.asarray(values, np.float64))


def share_interval(values: ArrayLike, draws: int) -> Interval:
    """The mean of shares, one for each repetition, and its interval at 95 %.

    The interval is Student's over the repetitions, widened where it is narrower than Wilson's of all draws: few
    repetitions may be alike by chance, and those of a share of 0 or 1 always are.

    Args:
        values: shares in [0, 1], (n,) with n ≥ 2.
        draws: independent draws behind all of them.
    """
    values = np.asarray(values, np.float64)
    mean, half = float(values.mean()), stats.t.ppf(1 - LEVEL / 2, len(values) - 1) * stats.sem(values)
    low, high = _wilson(mean, draws, stats.norm.isf(LEVEL / 2))
    return Interval(mean, max(0.0, float(min(mean - half, low))), min(1.0, float(max(mean + half, high))))


def _wilson(share: float, draws: int, z: float) -> tuple[float, float]:
    """The ends of Wilson's interval at z standard errors (Wilson 1927)."""
    centre = (share + z**2 / (2 * draws)) / (1 + z**2 / draws)
    half = z * math.sqrt(share * (1 - share) / draws + (z / (2 * draws)) ** 2) / (1 + z**2 / draws)
    return centre - half, centre + half


def ratio_of_means(a: ArrayLike, b: ArrayLike) -> MeanAndError:
    """mean(a)/mean(b) of paired values (n,), and its standard error to first order (the delta method)."""
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    ratio = float(a.mean() / b.mean())
    return MeanAndError(ratio, mean_and_error((a - ratio * b) / b.mean()).error)


def ratio(a: MeanAndError, b: MeanAndError) -> MeanAndError | None:
    """a/b of independent means, with its standard error to first order; None where b is 0."""
    if b.mean == 0:
        return None
    return MeanAndError(a.mean / b.mean, float(np.hypot(a.error / b.mean, a.mean * b.error / b.mean**2)))


def ranking(values: Mapping[str, Sequence[float]]) -> Ranking:
    """Rank paired values by their means."""
    names = sorted(values, key=lambda name: np.mean(values[name]))
    return Ranking(
        {name: over_repetitions(values[name]) for name in names},
        [differ(values[a], values[b]) for a, b in pairwise(names)],
    )
