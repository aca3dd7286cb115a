"""Bits per dimension of strided chains, for every variance and number of steps."""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments.improved_ddpm.config import Config
from experiments.improved_ddpm.train import Trained
from experiments.kit.run import Run
from experiments.kit.statistics import Verdict, verdicts
from jaxgen.diffusion import Denoiser, GaussianProcess, bound_term, marginal, perturb, subset_grid
from jaxgen.distributions import Gaussian, gaussian_kl
from jaxgen.metrics import MeanAndError, bits_per_dim, mean_and_error

BINS = 20
VARIANCES = {"small": "fixed_small", "large": "fixed_large", "learned": "learned"}


class ChainBound(NamedTuple):
    """Bits per dimension of a chain by variance: each image's bound, and the sampled terms with their times."""

    bits: Mapping[str, np.ndarray]  # (images,)
    terms: Mapping[str, np.ndarray]  # (draws, images)
    times: np.ndarray  # (draws, images)
    weights: np.ndarray  # (draws, images), 1/p of the step drawn
    prior: np.ndarray  # (images,)
    reconstruction: Mapping[str, np.ndarray]  # (images,)


class BoundEstimator:
    """Estimates the bound of strided chains: L_T and L_0 in full, the other terms at random steps.

    Steps are drawn in proportion to the log-SNR that they cross, where the bits are, and weighted by 1/p, so the
    estimate is unbiased. The draws of all images are stratified. Images, steps and noise are the same for every
    network, so that differences have small errors.

    Args:
        images: images (n, h, w, c) in [−1, 1].
        draws: random steps of each image.
        seed: seed of steps and noise.
    """

    def __init__(self, images: np.ndarray, draws: int, seed: int):
        self._images, self._draws, self._seed = jnp.asarray(images), draws, seed
        self._compiled: dict[Callable, Callable] = {}

    def __call__(self, denoise: Callable[[GaussianProcess, Any], Denoiser], network: Trained, n: int) -> ChainBound:
        """The bound of the network's chain of n steps."""
        process, count = network.process, len(self._images)
        grid = subset_grid(process.steps, n)
        cleanest = grid[-2], grid[-3]
        if denoise not in self._compiled:
            self._compiled[denoise] = jax.jit(partial(_terms, denoise, learned=network.learned))
        key = jax.random.key(self._seed)

        def terms(draw: int, t: np.ndarray, s: np.ndarray) -> dict[str, np.ndarray]:
            t, s = np.float32(t), np.float32(s)
            found = self._compiled[denoise](
                process, network.params, jax.random.fold_in(key, draw), self._images, s, t, np.float32(cleanest)
            )
            return {name: -bits_per_dim(np.asarray(nats), self._dims) for name, nats in found.items()}

        share = -np.diff(np.asarray(process.log_snr(grid[:-1]), np.float64))
        share = 0.9 * share / share.sum() + 0.1 / (n - 1)
        total = self._draws * count
        order, within = np.random.default_rng(self._seed), np.random.default_rng(self._seed + 1)
        u = (order.permutation(total) + within.random(total)) / total
        step = np.minimum(np.searchsorted(np.cumsum(share), u), n - 2).reshape(self._draws, count)
        drawn = [terms(draw, grid[index], grid[index + 1]) for draw, index in enumerate(step)]
        by_variance = {name: np.stack([one[name] for one in drawn]) for name in drawn[0]}
        last = terms(self._draws, np.full(count, grid[-2]), np.zeros(count))
        prior = gaussian_kl(marginal(process, self._images, grid[0]), Gaussian(jnp.zeros(()), jnp.ones(())))
        prior = -bits_per_dim(np.asarray(prior), self._dims)
        weights = 1 / share[step]
        bits = {name: prior + last[name] + (found * weights).mean(0) for name, found in by_variance.items()}
        return ChainBound(bits, by_variance, grid[step], weights, prior, last)

    @property
    def _dims(self) -> int:
        return math.prod(self._images.shape[1:])


def _terms(denoise, process, params, key, x0, s, t, cleanest, *, learned):
    """The term of each image's step, in nats, by variance; one network call serves all."""
    x_t = perturb(process, x0, t, jax.random.normal(key, x0.shape))
    prediction = denoise(process, params)(x_t, t)
    return {
        name: bound_term(process, prediction, x_t, x0, s, t, cleanest=(cleanest[0], cleanest[1]), variance=variance)
        for name, variance in VARIANCES.items()
        if learned or name != "learned"
    }


class Bits(NamedTuple):
    """Bits per dimension of each image, (images,), of one network and variance by number of steps."""

    schedule: str
    objective: str
    variance: str
    by_steps: dict[int, np.ndarray]


class HybridBound(NamedTuple):
    """The bound of the hybrid network of a schedule: by learned variance, and by the better fixed one.

    Attributes:
        schedule: name of the schedule.
        learned: bits per dimension (images,) by number of steps, with learned variance.
        fixed: the same with the better of the fixed variances.
        fixed_name: which variance that is.
        terms: by variance, middles of parts of the longest chain and the mean of their terms in bits per dimension.
        nearest_data: share of the terms' sum that the twentieth of the chain nearest to the data takes.
    """

    schedule: str
    learned: dict[int, np.ndarray]
    fixed: dict[int, np.ndarray]
    fixed_name: dict[int, str]
    terms: dict[str, tuple[np.ndarray, np.ndarray]]
    nearest_data: float

    def gain(self, n: int) -> MeanAndError:
        """Bits per dimension that the learned variance needs less than the better fixed one, at n steps."""
        return mean_and_error(self.fixed[n] - self.learned[n])

    def change(self, first: int, last: int) -> MeanAndError:
        """Change of the bits per dimension with learned variance from `first` to `last` steps."""
        return mean_and_error(self.learned[last] - self.learned[first])


class Ranked(NamedTuple):
    """A network with its best variance: its bits, and how many more than the best network's; None for that one."""

    schedule: str
    objective: str
    variance: str
    bits: MeanAndError
    more: MeanAndError | None
    verdict: Verdict | None


class Bounds(NamedTuple):
    """The bounds of all networks.

    Attributes:
        chains: numbers of steps, ascending.
        images: number of images.
        bits: a row for each network and variance.
        hybrid: the hybrid networks.
        ranking: all networks at the most steps, the best first.
    """

    chains: list[int]
    images: int
    bits: list[Bits]
    hybrid: list[HybridBound]
    ranking: list[Ranked]


def measure_bounds(
    run: Run[Config], networks: Mapping[str, Trained], denoisers: Mapping[bool, Callable], images: np.ndarray
) -> Bounds:
    """Bits per dimension by schedule, objective, variance and number of steps.

    Args:
        run: the run.
        networks: by name.
        denoisers: what makes the denoiser of a network, by whether it learns its variance.
        images: held-out images (n, h, w, c) in [−1, 1].
    """
    config, chains = run.config, sorted(set(run.config.chains))
    estimate = BoundEstimator(images, config.bound_draws, config.seed + 5)
    found = {
        name: {
            n: run.stage(f"bound/{name}, {n} steps", lambda n=n, of=of: estimate(denoisers[of.learned], of, n))
            for n in chains
        }
        for name, of in networks.items()
    }
    rows = [
        Bits(of.schedule, of.objective, variance, {n: found[name][n].bits[variance] for n in chains})
        for name, of in networks.items()
        for variance in VARIANCES
        if variance in found[name][chains[0]].bits
    ]
    hybrid = [hybrid_bound(of.schedule, found[name]) for name, of in networks.items() if of.objective == "hybrid"]
    return Bounds(chains, len(images), rows, hybrid, ranking(rows, chains[-1]))


def hybrid_bound(schedule: str, found: Mapping[int, ChainBound]) -> HybridBound:
    """Compare the variances of a network, by its bound at each number of steps."""
    fixed = {n: min(("small", "large"), key=lambda name, of=of: of.bits[name].mean()) for n, of in found.items()}
    longest = found[max(found)]
    spent = longest.terms["learned"] * longest.weights
    return HybridBound(
        schedule,
        learned={n: of.bits["learned"] for n, of in found.items()},
        fixed={n: of.bits[fixed[n]] for n, of in found.items()},
        fixed_name=fixed,
        terms={name: mean_terms(longest.times, longest.terms[name], longest.weights) for name in VARIANCES},
        nearest_data=float(spent[longest.times < 1 / BINS].sum() / spent.sum()),
    )


def mean_terms(times: np.ndarray, terms: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The mean term of each twentieth of the chain, over its steps.

    Args:
        times: times of the steps drawn, any shape.
        terms: their terms.
        weights: 1/p of each.

    Returns:
        The middles of the twentieths in which a step was drawn, and the means.
    """
    part = np.minimum((times * BINS).astype(int), BINS - 1)
    inside = [k for k in range(BINS) if np.any(part == k)]
    means = [np.average(terms[part == k], weights=weights[part == k]) for k in inside]
    return (np.array(inside) + 0.5) / BINS, np.array(means)


def ranking(rows: Sequence[Bits], n: int) -> list[Ranked]:
    """The networks by their bits at n steps, each with the variance that serves it best, compared by pairs of images.

    The verdicts of all networks are wrong at most in 5 % of cases (Holm's correction).
    """
    best: dict[tuple[str, str], Bits] = {}
    for row in sorted(rows, key=lambda row: row.by_steps[n].mean()):
        best.setdefault((row.schedule, row.objective), row)
    first, *others = best.values()
    more = {(row.schedule, row.objective): row.by_steps[n] - first.by_steps[n] for row in others}
    found = verdicts(more)

    def ranked(row: Bits) -> Ranked:
        name = row.schedule, row.objective
        gap = None if row is first else mean_and_error(more[name])
        return Ranked(*name, row.variance, mean_and_error(row.by_steps[n]), gap, found.get(name))

    return [ranked(row) for row in best.values()]
