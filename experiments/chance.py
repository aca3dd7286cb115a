"""What is beyond chance: Student's t of paired differences, and Holm's correction where many are looked at at once."""

from collections.abc import Mapping, Sequence

import jax
import numpy as np

from jaxgen.metrics import estimate

LEVEL = 0.05


def chance(values: Sequence[float]) -> float:
    """How often so many normal values of mean zero have a mean as far from it, in standard errors: Student's t."""
    mean, error = estimate(np.asarray(values, np.float64))
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
