"""Errors of fills of partly observed images, and which method is nearest to the truth."""

from collections.abc import Mapping
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from experiments.kit.statistics import ratio_of_means, verdicts
from jaxgen.diffusion import inverse
from jaxgen.metrics import MeanAndError, mean_and_error


class Errors(NamedTuple):
    """Root mean squares over images in [−1, 1], per number observed or hidden, ± standard error over images.

    Attributes:
        observed: observed part of the fills minus the observation.
        hidden: hidden part of the fills minus the truth.
        differ: difference of two fills in the hidden part.
        spread: differ/hidden, which is 1 for draws of the posterior.
        squares: mean square of the hidden part's error of each image, (images,).
    """

    observed: MeanAndError
    hidden: MeanAndError
    differ: MeanAndError
    spread: MeanAndError
    squares: np.ndarray


class Nearest(NamedTuple):
    """The method nearest to the truth, and those that are as near within chance."""

    method: str
    alike: list[str]


def errors(operator: inverse.Operator, truth: np.ndarray, fills: np.ndarray) -> Errors:
    """Errors of fills (fills, images, h, w, c) of the truth (images, h, w, c).

    The hidden part is what A does not see, x − Aᵀ A x/c. Fills drawn from the posterior and the truth are draws of one
    law, so in mean square a fill is as far from the truth as from another fill.
    """
    truth = jnp.asarray(truth)
    back, scale = (of(operator, truth.shape) for of in (inverse.transpose, inverse.tight_frame_constant))
    seen = int(np.count_nonzero(operator(jnp.ones_like(truth[:1]))))
    unseen = truth[0].size - seen

    def hidden(x):
        return x - back(operator(x)) / scale

    def squares(x) -> np.ndarray:
        return np.asarray(jnp.sum(x.reshape(len(x), -1) ** 2, -1), np.float64)

    fills = [jnp.asarray(x) for x in fills]
    observed = np.mean([squares(operator(x - truth)) for x in fills], axis=0) / seen
    missed = np.mean([squares(hidden(x - truth)) for x in fills], axis=0) / unseen
    between = np.mean([squares(hidden(x - y)) for i, x in enumerate(fills) for y in fills[:i]], axis=0) / unseen
    return Errors(root(mean_and_error(observed)), root(mean_and_error(missed)), root(mean_and_error(between)),
                  spread(between, missed), missed)  # fmt: skip


def root(of: MeanAndError) -> MeanAndError:
    """The square root of a mean, with its error to first order."""
    return MeanAndError(of.mean**0.5, of.error / (2 * of.mean**0.5) if of.mean > 0 else 0.0)


def spread(between: np.ndarray, missed: np.ndarray) -> MeanAndError:
    """Root of the ratio of two mean squares over the same images; NaN where the second is 0."""
    return root(ratio_of_means(between, missed)) if missed.sum() > 0 else MeanAndError(float("nan"), 0.0)


def nearest(found: Mapping[str, Mapping[str, Errors]]) -> dict[str, Nearest]:
    """For each task the method nearest to the truth, at 5 % that any comparison of any task is wrong (Holm 1979).

    Args:
        found: errors on the same images, by task and method.
    """
    best = {task: min(of, key=lambda name: of[name].hidden.mean) for task, of in found.items()}
    outcomes = verdicts(
        {
            (task, name): errors.squares - of[best[task]].squares
            for task, of in found.items()
            for name, errors in of.items()
            if name != best[task]
        }
    )
    return {
        task: Nearest(best[task], [name for name in of if outcomes.get((task, name)) == "within chance"])
        for task, of in found.items()
    }
