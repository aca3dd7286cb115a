"""The variance and the cost of the gradients of the four objectives."""

from collections.abc import Callable, Sequence
from functools import cache
from typing import NamedTuple

import jax
import numpy as np

from experiments.kit.run import Run
from experiments.kit.statistics import ratio
from experiments.kit.timing import Spread, Subject, in_turns, spread
from experiments.ncsn_toy.config import Config
from experiments.ncsn_toy.gradients import Gradients
from experiments.ncsn_toy.objectives import NAMES
from jaxgen.metrics import MeanAndError

SIGMAS, SMALLEST = np.geomspace(0.03, 10, 9), 3
REPEATED = 64  # gradients in a row whose time is taken


class Variances(NamedTuple):
    """The total variance of gradients in two dimensions: of DSM by its σ, and of the others, which have no σ."""

    dsm: dict[float, MeanAndError]
    others: dict[str, MeanAndError]
    slope: MeanAndError  # a of σ^a at the three smallest σ
    over_ism: dict[str, MeanAndError]  # the others over ISM's
    gradients: int


class Cost(NamedTuple):
    """Of a gradient in one dimension, over DSM's: its time, with quartiles over rounds, and its variance."""

    time: Spread
    variance: MeanAndError


class Dimensions(NamedTuple):
    """Costs (dims,) by objective, and the range of DSM's time over itself, which shows how exact the clock is."""

    costs: dict[str, list[Cost]]
    clock: tuple[float, float]


def measure_gradients(run: Run[Config]) -> tuple[Variances, Dimensions]:
    """Measure variances in two dimensions, and variances and times in all dimensions."""
    config = run.config
    of = cache(lambda dims: Gradients(config, dims))  # compiled once, and only if a stage needs it
    variances = run.stage("gradients/variance", lambda: measure_variances(of(2), 8 * config.gradients))
    by_dims = [run.stage(f"gradients/{d}", lambda d=d: in_dimension(config, of(d))) for d in config.dims]
    costs = {name: [found[name] for found in by_dims] for name in NAMES}
    itself = [cost.time for cost in costs["DSM"]]
    return variances, Dimensions(costs, (min(of.low for of in itself), max(of.high for of in itself)))


def measure_variances(gradients: Gradients, draws: int) -> Variances:
    """The variances of gradients, each from so many draws."""
    dsm = {float(sigma): gradients.variance("DSM", float(sigma), draws) for sigma in SIGMAS}
    others = {name: gradients.variance(name, 1.0, draws) for name in NAMES if name != "DSM"}
    over_ism = {name: ratio(of, others["ISM"]) for name, of in others.items() if name != "ISM"}
    slope = power(SIGMAS[:SMALLEST], list(dsm.values())[:SMALLEST])
    return Variances(dsm, others, slope, over_ism, draws)


def in_dimension(config: Config, gradients: Gradients) -> dict[str, Cost]:
    """Time and variance of each objective's gradient over DSM's."""
    sigma = config.objective_sigma
    variances = {name: gradients.variance(name, sigma, config.gradients) for name in NAMES}
    times = time_ratios(gradients, sigma, config.rounds)
    one = MeanAndError(1.0, 0.0)
    return {
        name: Cost(times[name], one if name == "DSM" else ratio(variances[name], variances["DSM"])) for name in NAMES
    }


def time_ratios(gradients: Gradients, sigma: float, rounds: int) -> dict[str, Spread]:
    """Seconds of each gradient over DSM's, timed in turns, many in a row so that the clock is exact enough."""
    counts = {name: max(1, REPEATED // gradients.dims) if name == "ISM" else REPEATED for name in NAMES}

    def work(name: str, times: int) -> Callable[[], None]:
        def run() -> None:
            for i in range(times):
                found = gradients.of[name](jax.random.key(i), gradients.params, sigma)
            jax.block_until_ready(found)

        return run

    subjects = {name: Subject(REPEATED, work(name, counts[name]), lambda calls: work("DSM", calls)()) for name in NAMES}
    timings = in_turns(subjects, rounds, lambda done: None)
    return {name: spread(of.run / counts[name] / (of.network / REPEATED)) for name, of in timings.items()}


def power(x: np.ndarray, y: Sequence[MeanAndError]) -> MeanAndError:
    """The exponent a of y ∝ x^a by least squares of logarithms, weighted by the errors of y, and its error."""
    means, errors = np.array(y).T
    coefficients, covariance = np.polyfit(np.log(x), np.log(means), 1, w=means / errors, cov="unscaled")
    return MeanAndError(float(coefficients[0]), float(np.sqrt(covariance[0, 0])))
