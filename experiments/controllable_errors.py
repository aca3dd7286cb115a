"""What fills of a partly observed image are worth, and which method is told to be nearest to the truth."""

from collections.abc import Mapping
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from experiments.chance import beyond_chance
from jaxgen.diffusion import inverse
from jaxgen.metrics import MeanAndError, mean_and_error
from jaxgen.report import format_value


class Errors(NamedTuple):
    """What a set of fills is worth; root mean squares over images in [−1, 1], per number observed or hidden."""

    observed: MeanAndError
    hidden: MeanAndError
    differ: MeanAndError
    spread: MeanAndError
    """How far two fills are apart over how far one is from the truth: 1 for draws of the posterior."""
    squares: np.ndarray
    """Mean square of the hidden part's error, of each image, to compare methods on the same images."""


def errors(operator: inverse.Operator, truth: np.ndarray, images: np.ndarray) -> Errors:
    """Errors of fills (fills, images, h, w, c) of the truth (images, h, w, c), each a mean over images.

    The hidden part is what A does not see, x − Aᵀ A x/c. Fills drawn from the posterior and the truth are draws of the
    same law, so by squares a fill is as far from the truth as from another fill.
    """
    truth = jnp.asarray(truth)
    back, scale = (of(operator, truth.shape) for of in (inverse.transpose, inverse.tight_frame_constant))
    seen = int(np.count_nonzero(operator(jnp.ones_like(truth[:1]))))
    unseen = truth[0].size - seen

    def hidden(x):
        return x - back(operator(x)) / scale

    def squares(x) -> np.ndarray:
        return np.asarray(jnp.sum(x.reshape(len(x), -1) ** 2, -1), np.float64)

    fills = [jnp.asarray(x) for x in images]
    observed = np.mean([squares(operator(x - truth)) for x in fills], axis=0) / seen
    missed = np.mean([squares(hidden(x - truth)) for x in fills], axis=0) / unseen
    between = np.mean([squares(hidden(x - y)) for i, x in enumerate(fills) for y in fills[:i]], axis=0) / unseen
    return Errors(_root(observed), _root(missed), _root(between), _ratio(between, missed), missed)


def _root(squares: np.ndarray) -> MeanAndError:
    """Root of the mean, and its error by that of the mean."""
    mean, error = mean_and_error(squares)
    return MeanAndError(mean**0.5, error / (2 * mean**0.5) if mean > 0 else 0.0)


def _ratio(a: np.ndarray, b: np.ndarray) -> MeanAndError:
    """Root of the ratio of two means over the same images, its error by leaving out each image (jackknife)."""
    if not b.sum() > 0:
        return MeanAndError(float("nan"), 0.0)
    without = np.sqrt((a.sum() - a) / np.maximum(b.sum() - b, np.finfo(np.float64).tiny))
    error = np.sqrt((len(a) - 1) / len(a) * np.sum((without - without.mean()) ** 2))
    return MeanAndError(float(np.sqrt(a.sum() / b.sum())), float(error))


def nearest(found: Mapping[tuple[str, str], Errors]) -> str:
    """For every question the method nearest to the truth, those not told apart from it, and all spreads."""
    asked: dict[str, dict[str, Errors]] = {}
    for (question, name), worth in found.items():
        asked.setdefault(question, {})[name] = worth
    best = {question: min(of, key=lambda name: of[name].hidden.mean) for question, of in asked.items()}
    apart = beyond_chance(
        {
            (question, name): worth.squares - asked[question][best[question]].squares
            for (question, name), worth in found.items()
            if name != best[question]
        }
    )
    lines = []
    for question, of in asked.items():
        near = best[question]
        alike = [name for name in of if name != near and (question, name) not in apart]
        others = " and ".join(f"{name} ({_shown(of[name])})" for name in alike)
        told = f", not told apart from {others}" if alike else ""
        lines.append(
            f"{question}: nearest to the truth is {near} ({_shown(of[near])}){told}; spread "
            + ", ".join(f"{name} {format_value(tuple(worth.spread))}" for name, worth in of.items())
        )
    return (
        "; ".join(lines) + ". Draws of the posterior have a spread of 1; fills that are too sure have less and may be "
        "nearer. Told apart on the same images, at 5% that any of the comparisons is wrong (Holm)."
    )


def _shown(worth: Errors) -> str:
    return format_value(tuple(worth.hidden))
