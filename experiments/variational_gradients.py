"""The variational experiment by its gradients: bias and noise of every estimator, by their draws."""

import math
from collections.abc import Mapping, Sequence
from functools import partial
from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np

from experiments.chance import beyond_chance
from experiments.toy_chance import over_seeds, plus_minus
from experiments.variational_posteriors import LINEAR, SEEN
from jaxgen import distributions, variational
from jaxgen.metrics import MeanAndError
from jaxgen.report import Report, curves
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


def total_variance(gradients: np.ndarray) -> MeanAndError:
    """Trace of the covariance of gradients (n, d), and its standard error."""
    squares = np.sum((gradients - gradients.mean(0)) ** 2, -1)
    return over_seeds(squares * len(squares) / (len(squares) - 1))


def off_by(draws: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """What draws are off from the truth, (n, d), in which rounding counts as nothing."""
    return np.where(np.abs(draws - truth) < 1e-9, 0, draws - truth)


def in_errors(differences: np.ndarray) -> float:
    """The largest mean of a column, in its standard errors."""
    error = differences.std(0, ddof=1) / math.sqrt(len(differences))
    return float(np.max(np.abs(differences.mean(0)) / np.where(error > 0, error, np.inf)))


def table(report: Report, config) -> None:
    """Bias and noise of every estimator at equal cost."""
    noise, differences = {}, {}
    for i, (place, q) in enumerate(states().items()):
        found = drawn([*OF_ELBO, *OF_WEIGHTED], q, config.draws, config.gradients, config.seed + 20 + i)
        for name, draws in found.items():
            noise[name, place] = total_variance(draws)
            if name != DOUBLY:  # what the others of its bound, which has no closed form, are held against
                truth = exact_gradient(q) if name in OF_ELBO else found[DOUBLY]
                differences[name, place] = off_by(draws, truth)
    rows = [
        {
            "estimator": name,
            "bound": "ELBO" if name in OF_ELBO else f"K = {config.draws}",
            "variance, q the prior": noise[name, "prior"],
            "variance, q the optimum": noise[name, "optimum"],
            "largest bias / its error": None if name == DOUBLY else max(
                in_errors(differences[name, place]) for place in states()
            ),
        }
        for name in OF_ELBO | OF_WEIGHTED
    ]  # fmt: skip
    report.metrics["gradients"] = rows
    report.table(
        rows,
        f"The gradient of a bound in q's four parameters, from {config.draws} draws of z: total variance ± standard "
        f"error over {config.gradients} gradients, for the linear-Gaussian model above with q as wide as the prior and "
        "at the mean field's optimum. Bias: of eight means, the one farthest from the closed form (for the bounds of "
        "many draws, from the doubly reparameterised gradient of the same draws), in standard errors; by chance alone "
        "the largest of eight is about 2.",
    )  # fmt: skip
    columns = {(*case, i): column for case, of in differences.items() for i, column in enumerate(of.T)}
    report.finding(bias_told(sorted({name for name, *_ in beyond_chance(columns)})))
    for place, said in (("prior", "as wide as the prior"), ("optimum", "at the optimum")):
        groups = ({name: noise[name, place] for name in group} for group in (OF_ELBO, OF_WEIGHTED))
        report.finding(f"**Noise** with q {said}, {config.draws} draws a gradient: {'; '.join(map(ordered, groups))}.")


def bias_told(biased: Sequence[str]) -> str:
    """Whether any estimator's mean gradient is off beyond chance."""
    if not biased:
        return "**Bias.** No estimator's mean gradient is off beyond chance, at 5 % for all of them together."
    return f"**Bias.** Off beyond chance, at 5 % for all of them together: {', '.join(biased)}."


def ordered(values: Mapping[str, MeanAndError]) -> str:
    """Names by ascending value: joined by < where neighbours are two standard errors apart, else by ≈."""
    names = sorted(values, key=lambda name: values[name].mean)

    def apart(a: MeanAndError, b: MeanAndError) -> bool:
        return b.mean - a.mean > 2 * math.hypot(a.error, b.error)

    signs = ["<" if apart(values[a], values[b]) else "≈" for a, b in pairwise(names)]
    told = [f"{name} {plus_minus(values[name])}" for name in names]
    return told[0] + "".join(f" {sign} {of}" for sign, of in zip(signs, told[1:], strict=True))


def with_draws(report: Report, config) -> None:
    """Noise over signal of every gradient as its draws grow in number, with q as wide as the prior."""
    counts, q = 2 ** np.arange(1, int(math.log2(config.most_draws)) + 1), states()["prior"]
    names = [*OF_ELBO, *OF_WEIGHTED]
    parts = {name: np.empty((config.seeds, len(counts))) for name in names}
    for j, samples in enumerate(counts):
        found = drawn(names, q, int(samples), config.gradients, config.seed + 30)
        for name, draws in found.items():
            signal = np.linalg.norm(exact_gradient(q) if name in OF_ELBO else found[DOUBLY].mean(0))
            for part, few in enumerate(np.array_split(draws, config.seeds)):
                parts[name][part, j] = math.sqrt(total_variance(few).mean) / signal
    half = len(counts) // 2
    slopes = {
        name: over_seeds([np.polyfit(np.log(counts[half:]), np.log(line[half:]), 1)[0] for line in lines])
        if len(counts) - half > 1 else MeanAndError(math.nan, math.nan) for name, lines in parts.items()
    }  # fmt: skip
    report.metrics["with_draws"] = {"draws": counts, "slopes": slopes} | {n: of.mean(0) for n, of in parts.items()}
    report.figure(
        curves(
            {name: (counts, lines.mean(0)) for name, lines in parts.items()},
            x_label="draws K of a gradient", y_label="noise / signal", log_x=True, log_y=True, height=330,
        ),
        "draws",
        "Standard deviation of a gradient over the length of its mean, with q as wide as the prior. For the three "
        "bounds of K draws the bound itself changes with K: its gradient vanishes as it becomes tight.",
    )  # fmt: skip
    report.finding(slopes_told(slopes))


def slopes_told(slopes: Mapping[str, MeanAndError]) -> str:
    """Which noise over signal grows with the number of draws, and which falls."""

    def way(of: MeanAndError) -> str:
        if not abs(of.mean) > 2 * of.error:
            return "neither grows nor falls beyond chance"
        return "grows" if of.mean > 0 else "falls"

    told = "; ".join(f"{name} {way(of)}, as K to the power {plus_minus(of)}" for name, of in slopes.items())
    return (
        f"**More draws.** Noise over signal, over the larger half of K: {told}. In theory: −½ for the ELBO's and the "
        "doubly reparameterised gradient, +½ for the plain one of the importance-weighted bound, in the limit."
    )
