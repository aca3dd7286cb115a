"""Bias and noise of every gradient estimator, at equal numbers of draws."""

import math
from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments.kit.statistics import Ranking, ranking, verdicts
from experiments.variational.config import Config
from experiments.variational.measure_posteriors import LINEAR, SEEN
from jaxgen import distributions, variational
from jaxgen.metrics import MeanAndError, mean_and_error
from jaxgen.variational import linear_gaussian

REPARAMETERISED, STICKING = "reparameterised", "sticking the landing"
SCORE, LEAVE_ONE_OUT = "score function", "leave one out"
WEIGHTED, DOUBLY, VIMCO = "importance weighted", "doubly reparameterised", "VIMCO"
OF_ELBO = {
    REPARAMETERISED: variational.reparameterised,
    STICKING: partial(variational.reparameterised, sticking_the_landing=True),
    SCORE: partial(variational.score_function, leave_one_out=False),
    LEAVE_ONE_OUT: variational.score_function,
}
OF_WEIGHTED = {
    WEIGHTED: variational.importance_weighted,
    DOUBLY: variational.doubly_reparameterised,
    VIMCO: variational.vimco,
}


class Gradients(NamedTuple):
    """Gradients by estimator, with q as the prior and at the optimum.

    The bound of many draws has no closed form: its estimators are compared with the doubly reparameterised gradient.
    """

    squares: dict[str, dict[str, np.ndarray]]  # place -> estimator -> (n,), squared distances from the mean
    largest_bias: dict[str, float]  # of eight means of an estimator, in standard errors
    biased: list[str]  # the estimators whose bias is beyond chance, at 5 % that any is there wrongly

    def variance(self, name: str, place: str) -> MeanAndError:
        """The total variance of an estimator."""
        return mean_and_error(self.squares[place][name])

    @property
    def rankings(self) -> dict[str, list[Ranking]]:
        """The estimators of either kind of bound by ascending variance, by place."""
        return {
            place: [ranking({name: of[name] for name in group}) for group in (OF_ELBO, OF_WEIGHTED)]
            for place, of in self.squares.items()
        }


class MoreDraws(NamedTuple):
    """Noise over signal of every gradient as its draws grow in number, with q as wide as the prior."""

    draws: np.ndarray  # (k,)
    ratio: dict[str, np.ndarray]  # (parts, k), standard deviation over the length of the mean
    slopes: dict[str, MeanAndError]  # of log ratio in log draws over the larger half; NaN of fewer than two points


def states() -> dict[str, distributions.MeanFieldParams]:
    """Where gradients are looked at: q as the prior, and as the best mean field."""
    best = linear_gaussian.mean_field(LINEAR, jnp.asarray(SEEN))
    return {
        "prior": distributions.MeanFieldParams(jnp.zeros(2), jnp.zeros(2)),
        "optimum": distributions.MeanFieldParams(best.mean[0], 0.5 * jnp.log(jnp.diagonal(best.covariance))),
    }


def exact_gradient(q: distributions.MeanFieldParams) -> np.ndarray:
    """The ELBO's, (4,) in means and log-stds, by its closed form."""

    def elbo(q):
        covariance = jnp.diag(jnp.exp(2 * q.log_std))
        return linear_gaussian.elbo(LINEAR, jnp.asarray(SEEN), q.mean[None], covariance)[0]

    return np.concatenate(jax.grad(elbo)(q))


def drawn(
    names: Sequence[str], q: distributions.MeanFieldParams, samples: int, n: int, seed: int
) -> dict[str, np.ndarray]:
    """n gradients (n, 4) of each estimator, all of the same draws of z."""
    joint, family = (
        partial(linear_gaussian.log_joint, LINEAR, jnp.asarray(SEEN[0])),
        distributions.mean_field_gaussian(),
    )
    every = OF_ELBO | OF_WEIGHTED

    @jax.jit
    def gradients(keys):
        def one(key):
            bounds = {name: lambda q, name=name: every[name](key, joint, family, q, samples=samples) for name in names}
            return {name: jnp.concatenate(jax.grad(bound)(q)) for name, bound in bounds.items()}

        return jax.lax.map(one, keys, batch_size=1000)

    return jax.tree.map(np.asarray, gradients(jax.random.split(jax.random.key(seed), n)))


def squared_deviations(gradients: np.ndarray) -> np.ndarray:
    """Squared distances (n,) of gradients (n, d) from their mean, whose mean is the trace of their covariance."""
    n = len(gradients)
    return np.sum((gradients - gradients.mean(0)) ** 2, -1) * n / (n - 1)


def off_by(draws: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Differences of draws from the truth, (n, d), with 0 for rounding."""
    return np.where(np.abs(draws - truth) < 1e-9, 0, draws - truth)


def in_errors(differences: np.ndarray) -> float:
    """The largest mean of a column, in its standard errors."""
    error = differences.std(0, ddof=1) / math.sqrt(len(differences))
    return float(np.max(np.abs(differences.mean(0)) / np.where(error > 0, error, np.inf)))


def gradients(config: Config) -> Gradients:
    """Bias and noise of every estimator from config.draws draws of z."""
    squares, differences = {}, {}
    for i, (place, q) in enumerate(states().items()):
        found = drawn([*OF_ELBO, *OF_WEIGHTED], q, config.draws, config.gradients, config.seed + 20 + i)
        squares[place] = {name: squared_deviations(draws) for name, draws in found.items()}
        for name, draws in found.items():
            if name != DOUBLY:
                differences[name, place] = off_by(draws, exact_gradient(q) if name in OF_ELBO else found[DOUBLY])
    columns = {(*case, i): column for case, of in differences.items() for i, column in enumerate(of.T)}
    found = verdicts(columns)
    return Gradients(
        squares=squares,
        largest_bias={
            name: max(in_errors(differences[name, place]) for place in states())
            for name in dict.fromkeys(name for name, _ in differences)
        },
        biased=sorted({name for (name, *_), verdict in found.items() if verdict != "within chance"}),
    )


def more_draws(config: Config) -> MoreDraws:
    """Noise over signal for 2, 4, … config.most_draws draws."""
    counts, q = 2 ** np.arange(1, int(math.log2(config.most_draws)) + 1), states()["prior"]
    names = [*OF_ELBO, *OF_WEIGHTED]
    ratio = {name: np.empty((config.seeds, len(counts))) for name in names}
    for j, samples in enumerate(counts):
        found = drawn(names, q, int(samples), config.gradients, config.seed + 30)
        for name, draws in found.items():
            signal = np.linalg.norm(exact_gradient(q) if name in OF_ELBO else found[DOUBLY].mean(0))
            for part, few in enumerate(np.array_split(draws, config.seeds)):
                ratio[name][part, j] = math.sqrt(squared_deviations(few).mean()) / signal
    half = len(counts) // 2

    def slope(lines: np.ndarray) -> MeanAndError:
        if len(counts) - half < 2:
            return MeanAndError(math.nan, math.nan)
        return mean_and_error(np.polyfit(np.log(counts[half:]), np.log(lines[:, half:]).T, 1)[0])

    return MoreDraws(counts, ratio, {name: slope(lines) for name, lines in ratio.items()})
