"""One network under several shapes of γ between the same ends: the bound, and how much its estimate varies."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from scipy import stats

from experiments.kit.statistics import ratio_of_means, verdicts
from experiments.vdm.measure_bound import BoundEstimator, Draws
from jaxgen.diffusion import GaussianProcess
from jaxgen.metrics import MeanAndError, mean_and_error

BINS = 25


class BatchSpread(NamedTuple):
    """Standard deviation over repetitions of a batch's mean diffusion term, by how the times are drawn (bits/dim)."""

    uniform: float
    stratified: float


class Shape(NamedTuple):
    """The diffusion term under one shape, in bits/dim, and how much its estimate varies."""

    diffusion: MeanAndError
    above_straight: MeanAndError
    one_draw: float  # standard deviation of one draw of a time and noise
    batch: BatchSpread
    t: np.ndarray  # (k,), centres of the bins of time that hold draws
    integrand: np.ndarray  # (k,), mean diffusion term in each bin


class Shapes(NamedTuple):
    """All shapes, and the learned one beside the straight one."""

    by_name: dict[str, Shape]
    different: list[str]  # the shapes whose term differs from the straight one's beyond chance
    variance_of_draw: MeanAndError  # learned over straight
    variance_of_batch: MeanAndError  # learned with stratified times over straight with uniform times


def batch_spread(
    estimate: BoundEstimator, process: GaussianProcess, params: Any, batch: int, repeats: int
) -> BatchSpread:
    """Repeat the estimate on a batch with times that are uniform, and with times that are stratified."""
    rng, means = np.random.default_rng(1), {"uniform": [], "stratified": []}
    for kind, found in means.items():
        for repeat in range(repeats):
            u = rng.random(batch) if kind == "uniform" else (rng.random() + np.arange(batch) / batch) % 1
            found.append(estimate.at(process, params, 1000 + repeat, u)[1].mean())
    return BatchSpread(**{kind: float(np.std(found, ddof=1)) for kind, found in means.items()})


def compare(draws: Mapping[str, Draws], batches: Mapping[str, BatchSpread], repeats: int) -> Shapes:
    """Compare the shapes.

    Args:
        draws: the bound's draws by name of the shape, "learned" and "straight" among them.
        batches: likewise.
        repeats: repetitions behind each of `batches`.
    """
    straight = draws["straight"].diffusion
    above = {name: (of.diffusion - straight).mean(0) for name, of in draws.items()}
    by_name = {
        name: Shape(
            mean_and_error(of.diffusion.mean(0)),
            mean_and_error(above[name]),
            float(np.sqrt(of.diffusion.var(0, ddof=1).mean())),
            batches[name],
            *integrand(of),
        )
        for name, of in draws.items()
    }
    found = verdicts({name: values for name, values in above.items() if name != "straight"})
    variances = (draws[name].diffusion.var(0, ddof=1) for name in ("learned", "straight"))
    ratio = (batches["learned"].stratified / batches["straight"].uniform) ** 2
    # the ratio of two sample variances of normal numbers follows the F distribution, up to the true ratio
    error = ratio * float(stats.f.std(repeats - 1, repeats - 1))
    return Shapes(
        by_name,
        [name for name, outcome in found.items() if outcome != "within chance"],
        ratio_of_means(*variances),
        MeanAndError(ratio, error),
    )


def integrand(draws: Draws) -> tuple[np.ndarray, np.ndarray]:
    """Centres of the bins of time that hold draws, and the mean diffusion term in each."""
    index = np.minimum((draws.t * BINS).astype(int), BINS - 1)
    held = np.unique(index)
    return (held + 0.5) / BINS, np.array([draws.diffusion[index == k].mean() for k in held])
