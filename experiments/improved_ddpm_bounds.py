"""Bits per dimension of the chains of the improved-DDPM experiment, for every variance and length of chain."""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxgen.diffusion import Denoiser, GaussianProcess, bound_term, marginal, perturb, subset_grid
from jaxgen.distributions import Gaussian, gaussian_kl
from jaxgen.metrics import MeanAndError, bits_per_dim, mean_and_error
from jaxgen.report import Report, panels

_BINS = 20


class ChainBound(NamedTuple):
    """Bits per dimension of a chain by variance: each image's bound, and the sampled terms with their times."""

    bits: Mapping[str, np.ndarray]  # (images,)
    terms: Mapping[str, np.ndarray]  # (draws, images)
    times: np.ndarray  # (draws, images)
    weights: np.ndarray  # (draws, images), 1/p of the step drawn
    prior: np.ndarray  # (images,)
    reconstruction: Mapping[str, np.ndarray]  # (images,)


class Bounds:
    """Estimates the bound of strided chains: L_T and L_0 in full, the other terms at random steps.

    Steps are drawn in proportion to the log-SNR that they cross, where the bits are, and weighted by 1/p, so the
    estimate is unbiased; all images and draws together are stratified. Images, steps and noise are the same for every
    model, so that differences have small errors.
    """

    def __init__(self, images: np.ndarray, draws: int, seed: int):
        self._images, self._draws, self._seed = jnp.asarray(images), draws, seed
        self._compiled: dict[Callable, Callable] = {}

    def __call__(self, denoise: Callable[[GaussianProcess, Any], Denoiser], model, n: int) -> ChainBound:
        """The bound of the model's chain of n steps."""
        grid, count = subset_grid(model.process.steps, n), len(self._images)
        cleanest = grid[-2], grid[-3]
        if denoise not in self._compiled:
            self._compiled[denoise] = jax.jit(partial(_terms, denoise, learned=model.learned))
        key = jax.random.key(self._seed)

        def terms(draw: int, t: np.ndarray, s: np.ndarray) -> dict[str, np.ndarray]:
            t, s = np.float32(t), np.float32(s)
            found = self._compiled[denoise](
                model.process, model.params, jax.random.fold_in(key, draw), self._images, s, t, np.float32(cleanest)
            )
            return {name: -bits_per_dim(np.asarray(nats), self._dims) for name, nats in found.items()}

        share = -np.diff(np.asarray(model.process.log_snr(grid[:-1]), np.float64))
        share = 0.9 * share / share.sum() + 0.1 / (n - 1)
        total = self._draws * count
        u = (
            np.random.default_rng(self._seed).permutation(total) + np.random.default_rng(self._seed + 1).random(total)
        ) / total
        step = np.minimum(np.searchsorted(np.cumsum(share), u), n - 2).reshape(self._draws, count)
        drawn = [terms(draw, grid[index], grid[index + 1]) for draw, index in enumerate(step)]
        by_variance = {name: np.stack([one[name] for one in drawn]) for name in drawn[0]}
        last = terms(self._draws, np.full(count, grid[-2]), np.zeros(count))
        prior = gaussian_kl(marginal(model.process, self._images, grid[0]), Gaussian(jnp.zeros(()), jnp.ones(())))
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
    variances = {"small": "fixed_small", "large": "fixed_large"} | ({"learned": "learned"} if learned else {})
    return {
        name: bound_term(process, prediction, x_t, x0, s, t, cleanest=(cleanest[0], cleanest[1]), variance=variance)
        for name, variance in variances.items()
    }


def compare(report: Report, models: Mapping, denoisers: Mapping, images: np.ndarray, config) -> None:
    """Bits per dimension over schedule, objective, variance and length, and where along the chain they are spent."""
    bounds = Bounds(images, config.bound_draws, config.seed + 5)
    longest = max(config.chains)
    found = {
        (name, n): bounds(denoisers[model.learned], model, n)
        for name, model in models.items()
        for n in sorted({*config.chains, longest})
    }
    _by_length(report, models, found, sorted(config.chains), len(images), config.bound_draws)
    _along_the_chain(report, found, longest)


def _by_length(report: Report, models: Mapping, found: Mapping, chains: Sequence[int], images: int, draws: int) -> None:
    rows, series = [], {}
    for name in models:
        schedule, objective = name.split(", ")
        for variance in found[name, chains[0]].bits:
            estimates = [mean_and_error(found[name, n].bits[variance]) for n in chains]
            rows.append(
                {"schedule": schedule, "objective": objective, "variance": variance}
                | {f"{n} steps": tuple(e) for n, e in zip(chains, estimates, strict=True)}
            )
            if objective == "hybrid":
                series.setdefault(f"{schedule}, hybrid", {})[variance] = (list(chains), [e.mean for e in estimates])
    report.metrics["bits_per_dim"] = rows
    report.table(
        rows,
        f"Bits per dimension of {images} held-out images: the variational bound −log₂ P(x)/D of the integer pixel "
        "values, by a discretised Gaussian decoder (Ho et al. 2020, eq. 13), so nothing is dequantised and nothing "
        f"added; 8 is the uniform code. A chain of n steps is every T/n-th step of the trained one. L_T and L_0 in "
        f"full, the terms between at {draws} random steps of each image; ± is the standard error over images. In "
        "the hybrid objective L_simple alone moves ε̂, so by a fixed variance its rows are those of the simple one.",
        best={f"{n} steps": "min" for n in chains},
    )
    report.figure(
        panels(series, x_label="steps of the chain", log_x=True),
        "bits-by-steps",
        "Bits per dimension of the networks trained by the hybrid objective, by variance and number of steps.",
    )
    lines = []
    for name in models:
        if ", hybrid" not in name:
            continue
        short, long = found[name, chains[0]].bits, found[name, chains[-1]].bits
        gain = mean_and_error(short["learned"] - long["learned"])
        best = min(("small", "large"), key=lambda variance: long[variance].mean())
        margin = {n: mean_and_error(_best_fixed(found[name, n].bits) - found[name, n].bits["learned"]) for n in chains}
        lines.append(
            f"{name.split(', ')[0]}: {_told(gain)} from {chains[0]} to {chains[-1]} steps; learned variance "
            f"{_told(margin[chains[0]])} at {chains[0]} and {_told(margin[chains[-1]])} at {chains[-1]} steps, against "
            f"the better fixed one ({best} at the end)"
        )
    report.finding(
        f"**More steps, and a learned variance**, in bits/dim gained by the hybrid networks. {'; '.join(lines)}."
    )
    report.finding(
        f"**Objectives and schedules**, bits/dim of {chains[-1]} steps with each network's best variance, paired with "
        f"the best of all: {ranked({name: found[name, chains[-1]].bits for name in models})}."
    )


def ranked(found: Mapping[str, Mapping[str, np.ndarray]]) -> str:
    """Every network with the variance that serves it best: the best one's bits, and what the others have more."""
    best = {name: min(bits.items(), key=lambda item: item[1].mean()) for name, bits in found.items()}
    first, *others = sorted(best, key=lambda name: best[name][1].mean())
    variance, bits = best[first]
    return ", ".join(
        [f"{first} {bits.mean():.2f} ({variance})"]
        + [f"{name} {_told(mean_and_error(best[name][1] - bits))} ({best[name][0]})" for name in others]
    )


def _best_fixed(bits: Mapping[str, np.ndarray]) -> np.ndarray:
    return min((bits["small"], bits["large"]), key=np.mean)


def _told(gain: MeanAndError) -> str:
    return f"{gain.mean:+.3f} ± {gain.error:.3f}"


def mean_terms(times: np.ndarray, terms: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, list[float]]:
    """Middles of the twentieths of the chain that were looked at, and the mean over their steps of the terms drawn."""
    part = np.minimum((times * _BINS).astype(int), _BINS - 1)
    inside = [k for k in range(_BINS) if np.any(part == k)]
    means = [float(np.average(terms[part == k], weights=weights[part == k])) for k in inside]
    return (np.array(inside) + 0.5) / _BINS, means


def _along_the_chain(report: Report, found: Mapping, longest: int) -> None:
    """Where the bits are spent: the mean term in equal parts of the chain."""
    quantities, nearest = {}, {}
    for (name, n), bound in found.items():
        if n != longest or ", hybrid" not in name:
            continue
        quantities[name] = {
            variance: mean_terms(bound.times, terms, bound.weights) for variance, terms in bound.terms.items()
        }
        spent = bound.terms["learned"] * bound.weights
        nearest[name] = spent[bound.times < 1 / _BINS].sum() / spent.sum()
    told = " and ".join(f"{share:.0%} ({name.split(', ')[0]})" for name, share in nearest.items())
    report.figure(
        panels(quantities, x_label="t/T", log_y=list(quantities)),
        "terms",
        f"Where the bits are spent: the mean of the bound's terms L_(t−1) in bits/dim per step, of the {longest}-step "
        f"chains, in twentieths. The twentieth next to the data takes {told} of their sum, by the learned variance.",
    )
