"""What training by each score-matching objective reaches."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from experiments.kit.statistics import Ranking, over_repetitions, ranking
from experiments.kit.toy_training import Fit
from jaxgen.metrics import MeanAndError


class Objective(NamedTuple):
    """What training by one objective reaches; means and standard errors are over trainings."""

    own: MeanAndError  # ½E‖s − ∇log q‖² at the end, to the density q that the objective is for
    to_p: MeanAndError  # ½E‖s − ∇log p‖² at the end
    shifted: MeanAndError  # mean of the objective plus its constant in the second half
    scatter: MeanAndError  # standard deviation of its points there
    own_curve: np.ndarray  # (points,), mean over trainings
    shifted_curve: np.ndarray  # (points,), of the first training


class Objectives(NamedTuple):
    """What training by each objective reaches, the steps of the curves, and the ranking by ½E‖s − ∇log p‖²."""

    of: dict[str, Objective]
    steps: np.ndarray  # (points,)
    ranking: Ranking


def measure_objectives(fits: Mapping[str, Sequence[Fit]], constants: Mapping[str, float]) -> Objectives:
    """Compare trainings by objective; `constants` make each objective ½E‖s − ∇log q‖²."""
    to_p = {name: [float(fit.followed["to p"][-1]) for fit in of] for name, of in fits.items()}
    steps = next(iter(fits.values()))[0].steps
    late, found = len(steps) // 2, {}
    for name, of in fits.items():
        shifted = np.stack([fit.followed["loss"] for fit in of]) + constants[name]
        own = np.stack([fit.followed["own"] for fit in of])
        found[name] = Objective(
            own=over_repetitions(own[:, -1]),
            to_p=over_repetitions(to_p[name]),
            shifted=over_repetitions(shifted[:, late:].mean(-1)),
            scatter=over_repetitions(shifted[:, late:].std(-1)),
            own_curve=own.mean(0),
            shifted_curve=shifted[0],
        )
    return Objectives(found, steps, ranking(to_p))
