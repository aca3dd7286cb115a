"""What is beyond chance: paired differences, many of them looked at at once, and the error of a share."""

from collections.abc import Mapping, Sequence

import jax
import numpy as np
from jax.typing import ArrayLike

from jaxgen.metrics import MeanAndError, mean_and_error
from jaxgen.report import format_value

LEVEL = 0.05


def chance(values: Sequence[float]) -> float:
    """How often so many normal values of mean zero have a mean as far from it, in standard errors: Student's t."""
    mean, error = mean_and_error(np.asarray(values, np.float64))
    if error == 0:
        return float(mean == 0)
    freedom = len(values) - 1
    return float(jax.scipy.special.betainc(freedom / 2, 0.5, freedom / (freedom + (mean / error) ** 2)))


def apart(a: Sequence[float], b: Sequence[float]) -> bool:
    """Whether the means of paired values differ beyond chance, at 5 %."""
    return chance(np.subtract(a, b)) < LEVEL


def beyond_chance(differences: Mapping[str, Sequence[float]]) -> set[str]:
    """The names whose mean difference is not 0: at 5 % that any of them is told wrongly (Holm 1979)."""
    by_chance = {name: chance(values) for name, values in differences.items()}
    ordered = sorted(by_chance, key=by_chance.__getitem__)
    told = [by_chance[name] < LEVEL / (len(ordered) - i) for i, name in enumerate(ordered)]
    return set(ordered[: [*told, False].index(False)])


def share(values: ArrayLike, *, each: int = 1, groups: ArrayLike | None = None) -> MeanAndError:
    """The mean of values (n,) in [0, 1], each a share of as many draws, and its standard error.

    groups: an id for each value; values of one group may be alike, so the error is over groups. It is at least half of
    Wilson's interval (1927) of so many independent draws, at one standard error: above 0 for shares of 0 and 1 too.
    """
    values = np.asarray(values, np.float64)
    of = np.arange(len(values)) if groups is None else np.unique(groups, axis=0, return_inverse=True)[1].reshape(-1)
    mean, n = float(values.mean()), len(values)
    sums = np.bincount(of, values - mean)
    error = 0.0 if len(sums) < 2 else float(np.sqrt(len(sums) / (len(sums) - 1) * sums @ sums) / n)
    return MeanAndError(mean, max(error, _wilson(mean, n * each)))


def _wilson(share: float, n: int) -> float:
    return float(np.sqrt(share * (1 - share) / n + 1 / (4 * n**2)) / (1 + 1 / n))


def percent(of: MeanAndError) -> str:
    """A share and its error in hundredths."""
    return f"{format_value((100 * of.mean, 100 * of.error))}%"
