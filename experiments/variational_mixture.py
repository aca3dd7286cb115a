"""The variational experiment's mixture of two Gaussians on a line: its evidence, and ascents by mini-batches."""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments.toy_chance import over_seeds, plus_minus
from jaxgen import variational
from jaxgen.metrics import MeanAndError
from jaxgen.report import Report, curves, format_value
from jaxgen.variational import bayesian_mixture

PRIOR_VARIANCE = 4.0


def mixture_rows(rng: np.random.Generator, n: int, separation: float) -> jax.Array:
    """n draws (n, 1) of two unit Gaussians of equal weights, `separation` apart."""
    side = np.where(rng.random((n, 1)) < 0.5, -0.5, 0.5)
    return jnp.asarray(separation * side + rng.normal(size=(n, 1)))


def mixture_start(key: jax.Array) -> bayesian_mixture.Natural:
    """Means drawn from N(0, 1), with variances of 1."""
    return bayesian_mixture.Natural(jnp.ones(2), jax.random.normal(key, (2, 1)))


def mixture_log_joint(x: jax.Array, means: jax.Array) -> jax.Array:
    """log p(x, μ₁, μ₂), the assignments summed out, at means (n, 2)."""
    joint = variational.minibatch(
        partial(bayesian_mixture.log_prior, PRIOR_VARIANCE), bayesian_mixture.log_likelihood, x, len(x)
    )
    return jax.lax.map(lambda pair: joint(pair[:, None]), means, batch_size=4096)


@jax.jit
def mixture_log_evidence(x: jax.Array) -> jax.Array:
    """log p(x) of two components, as a sum over a grid."""
    wide = 7 * math.sqrt(PRIOR_VARIANCE)
    # no posterior is narrower than (n + 1/4)^−½, twice the step: sums of Gaussians on such a grid err by e^{−8π²}
    points = 2 * math.ceil(2 * wide * math.sqrt(len(x) + 1)) + 1
    grid = jnp.linspace(-wide, wide, points)
    means = jnp.stack(jnp.meshgrid(grid, grid), -1).reshape(-1, 2)
    return jax.nn.logsumexp(mixture_log_joint(x, means)) + 2 * math.log(2 * wide / (points - 1))


def natural_elbo(x: jax.Array, natural: bayesian_mixture.Natural) -> jax.Array:
    """The mixture's ELBO at natural parameters, the assignments at their best."""
    return bayesian_mixture.elbo(PRIOR_VARIANCE, x, bayesian_mixture.from_natural(x, natural))


def natural_steps(
    key: jax.Array, x: jax.Array, size: int, passes: int, natural: bayesian_mixture.Natural, rate: Callable
) -> bayesian_mixture.Natural:
    """The parameters before every step of natural-gradient ascent by batches, drawn with replacement if not whole."""

    def target(key, natural):
        batch = x if size == len(x) else jax.random.choice(key, x, (size,))
        return bayesian_mixture.natural_target(PRIOR_VARIANCE, batch, len(x), natural)

    steps = math.ceil(passes * len(x) / size)
    return variational.natural_ascent(key, target, natural, rate, steps).followed


def batch_bounds(x: jax.Array, natural: bayesian_mixture.Natural, size: int) -> np.ndarray:
    """The N/B estimate of the ELBO from each of the N/B batches that the data fall into."""
    nothing = natural_elbo(x[:0], natural)  # of no data it is −KL(q(μ) ‖ p(μ))
    batches = x.reshape(-1, size, x.shape[-1])
    of_data = jax.vmap(natural_elbo, (0, None))(batches, natural) - nothing
    return np.asarray(len(batches) * of_data + nothing)


def minibatches(report: Report, config) -> None:
    """Bias and noise of the ELBO of a batch, and natural-gradient ascent by batches of several sizes."""
    x = mixture_rows(np.random.default_rng(config.seed + 3), config.many_rows, config.separation)
    begin, n, decaying = mixture_start(jax.random.key(config.seed + 4)), len(x), variational.robbins_monro(1.0, 0.7)
    keys = jax.random.split(jax.random.key(config.seed + 5), config.seeds)
    elbo, smallest = jax.jit(partial(jax.lax.map, partial(natural_elbo, x))), config.batch_sizes[0]

    def ascend(size: int, rate: Callable, passes: int, keys: jax.Array) -> tuple[np.ndarray, np.ndarray]:
        """Steps, about evenly in their logarithm and one whole pass among them, and the ELBO before each."""
        path = jax.jit(jax.vmap(lambda key: natural_steps(key, x, size, passes + 1, begin, rate)))(keys)
        last = passes * n // size
        shown = np.union1d(np.geomspace(1, last, 120).astype(int), n // size)
        return shown, np.stack([elbo(jax.tree.map(lambda leaf, i=i: leaf[i, shown], path)) for i in range(len(keys))])

    whole = ascend(n, lambda i: 1.0, config.many_passes, keys[:1])
    best = float(ascend(n, lambda i: 1.0, 500, keys[:1])[1].max())
    cases = {f"B = {size}": (size, decaying) for size in config.batch_sizes}
    cases[f"B = {smallest}, ρ = 0.1"] = smallest, lambda i: 0.1
    figure, rows, full = {f"B = {n}, ρ = 1": _along(whole[0], best - whole[1])}, [], float(natural_elbo(x, begin))
    for name, (size, rate) in cases.items():
        shown, found = ascend(size, rate, config.many_passes, keys)
        below, estimates = best - found, batch_bounds(x, begin, size)
        figure[name] = _along(size / n * shown, below)
        rows.append(
            {
                "batches": name, "mean over all batches / ELBO − 1": float(estimates.mean() / full - 1),
                "std of one batch's ELBO": float(estimates.std()),
                "below the optimum after 1 pass": over_seeds(below[:, np.searchsorted(shown, n // size)]),
                "at the end": over_seeds(below[:, -1]),
            }
        )  # fmt: skip
    sweep = best - float(whole[1][0, 0])
    report.metrics["minibatches"] = {"rows": rows, "one sweep": sweep}
    report.figure(
        curves(
            figure, x_label="passes over the data", y_label="nats below the optimum", log_x=True, log_y=True, height=320
        ),
        "minibatches",
        f"Natural-gradient ascent on a mixture of {n} data by batches of B, mean over {config.seeds} runs from one "
        "start: how far the ELBO is below coordinate ascent's optimum, down to a millionth of a nat. Steps ρ go as "
        f"(t + 1) to the power −0.7, or are constant; B = {n} with ρ = 1 is coordinate ascent.",
    )
    report.table(
        rows,
        "The ELBO at the start as each batch estimates it, its data scaled by N/B: the mean over all N/B batches, and "
        "the standard deviation. Then the ascents' ELBO, mean ± standard error.",
        formats={"mean over all batches / ELBO − 1": lambda value: format_value(value, 1)},
    )
    report.finding(minibatches_told(rows, sweep))


def _along(passes: np.ndarray, below: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Passes and the mean over runs; what is left below 1e-6 nats is not shown."""
    mean = below.mean(0)
    return passes, np.where(mean > 1e-6, mean, np.nan)


def minibatches_told(rows: Sequence[Mapping[str, Any]], sweep: float) -> str:
    """Whether batches are unbiased, whether a pass of the smallest beats a sweep, and what falling steps are for."""
    exact = max(abs(row["mean over all batches / ELBO − 1"]) for row in rows) < 1e-9
    first, constant = MeanAndError(*rows[0]["below the optimum after 1 pass"]), rows[-1]
    ahead = sweep - first.mean
    further = "about as far as" if abs(ahead) <= 2 * first.error else "further than" if ahead > 0 else "less far than"
    falling, fixed = MeanAndError(*rows[0]["at the end"]), MeanAndError(*constant["at the end"])
    nearer = fixed.mean - falling.mean > 2 * math.hypot(fixed.error, falling.error)
    return (
        f"**Mini-batches.** The mean of their ELBOs over all batches is {'' if exact else 'not '}that of all data, to "
        f"rounding. One pass by the smallest, {plus_minus(first)} nats below the optimum, goes {further} a sweep of "
        f"coordinate ascent ({sweep:.3g}). At the end falling steps are {plus_minus(falling)} below, a constant ρ of "
        f".1 {plus_minus(fixed)}: {'' if nearer else 'not '}farther beyond chance."
    )
