"""The NCSN toy by its objectives' gradients: their noise, and their cost as the dimension grows."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from experiments.ncsn_toy_objectives import NAMES, objectives
from experiments.timing import Spread, Subject, in_turns, spread
from experiments.toy_chance import over_seeds, plus_minus
from experiments.toy_training import ScoreNet, initial
from jaxgen.metrics import MeanAndError
from jaxgen.report import Report, curves, panels

SMALL_BATCH = 16
COST, NOISE = "time of a gradient / DSM's", "variance of the gradient / DSM's"


def total_variance(gradients: list[Any]) -> MeanAndError:
    """Trace of the covariance of gradients, estimated from at least two draws of them, and its standard error."""
    flat = np.stack([np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(g)]) for g in gradients])
    squares = np.sum(np.square(flat.astype(np.float64) - flat.mean(0, dtype=np.float64)), -1)
    return over_seeds(squares * len(squares) / (len(squares) - 1))


class Gradients:
    """Gradients of every objective in d dimensions, over SMALL_BATCH examples, each compiled once.

    `of[name](key, params, sigma)` is a tree like params; σ is DSM's. The law is the seminar's, its two modes as far
    apart in every dimension. `params` are those after some steps of DSM at σ = 1, where no objective is at rest.
    """

    def __init__(self, config, dims: int):
        self.dims, net = dims, ScoreNet(config.width, spread=float(np.sqrt(50 / dims + 1)))
        self.of = {name: self._compiled(net, name) for name in NAMES}
        self.params = self._begun(net, config.seed, min(200, config.objective_steps))

    def draw(self, key: jax.Array, n: int = SMALL_BATCH) -> jax.Array:
        """n examples (n, d) of .8 N(c, I) + .2 N(−c, I), ‖c‖² = 50."""
        side_key, eps_key = jax.random.split(key)
        side = jnp.where(jax.random.bernoulli(side_key, 0.8, (n, 1)), 1.0, -1.0)
        return side * np.sqrt(50 / self.dims) + jax.random.normal(eps_key, (n, self.dims))

    def variance(self, name: str, sigma: float, draws: int) -> MeanAndError:
        """Total variance of an objective's gradient."""
        return total_variance([self.of[name](jax.random.key(1000 + i), self.params, sigma) for i in range(draws)])

    def _compiled(self, net: ScoreNet, name: str) -> Callable:
        def gradient(key, params, sigma):
            data_key, loss_key = jax.random.split(key)
            x, loss = self.draw(data_key), objectives(sigma)[name]
            return jax.grad(lambda params: loss(loss_key, partial(net.apply, params), x).mean())(params)

        return jax.jit(gradient)

    def _begun(self, net: ScoreNet, seed: int, steps: int) -> Any:
        key, optimizer = jax.random.key(seed + 90), optax.adam(1e-3)
        params = initial(net, key, self.dims)

        @jax.jit
        def update(gradient, params, moments):
            change, moments = optimizer.update(gradient, moments)
            return optax.apply_updates(params, change), moments

        moments = optimizer.init(params)
        for i in range(steps):
            gradient = self.of["DSM"](jax.random.fold_in(key, i), params, 1.0)
            params, moments = update(gradient, params, moments)
        return params


def gradient_noise(report: Report, config, gradients: Gradients) -> None:
    """The variance of the gradient in two dimensions, that of DSM by its σ."""
    sigmas, draws = np.geomspace(0.03, 10, 9), 8 * config.gradients
    dsm = [gradients.variance("DSM", float(sigma), draws) for sigma in sigmas]
    found = {name: gradients.variance(name, 1.0, draws) for name in NAMES if name != "DSM"}
    slope = power(sigmas[:3], dsm[:3])
    level = np.geomspace(sigmas[0], sigmas[-1], 50)
    report.figure(
        curves(
            {"DSM": (sigmas, [of.mean for of in dsm])}
            | {name: (level, np.full(50, of.mean)) for name, of in found.items()},
            x_label="σ of DSM", y_label="variance of the gradient", log_x=True, log_y=True, height=300,
        ),
        "gradient-noise",
        f"Total variance of the gradient over batches of {SMALL_BATCH}, at one state early in training ({draws} "
        f"gradients). DSM's goes as σ to the power {plus_minus(slope)} at the three smallest; the others know no σ.",
    )  # fmt: skip
    report.metrics["gradient_noise"] = found | {"sigma": sigmas, "DSM": dsm, "slope": slope}
    report.finding(
        f"**Noise of the gradient** in two dimensions: DSM's variance goes as σ to the power {plus_minus(slope)} for "
        f"small σ, {compared(sigmas, dsm, found['SSM'])}; SSM's is {plus_minus(ratio(found['SSM'], found['ISM']))} and "
        f"SSM-VR's {plus_minus(ratio(found['SSM-VR'], found['ISM']))} times ISM's."
    )


def power(x: np.ndarray, y: Sequence[MeanAndError]) -> MeanAndError:
    """The exponent a of y ∝ x^a by least squares of logarithms, with the error that those of y give it."""
    offsets = np.log(x) - np.log(x).mean()
    shares = offsets / np.sum(offsets**2)
    relative = np.array([of.error / of.mean for of in y])
    exponent = float(shares @ np.log([of.mean for of in y]))
    return MeanAndError(exponent, float(np.sqrt(np.sum((shares * relative) ** 2))))


def ratio(a: MeanAndError, b: MeanAndError) -> MeanAndError:
    """a/b of independent a and b."""
    value = a.mean / b.mean
    return MeanAndError(value, abs(value) * float(np.hypot(a.error / a.mean, b.error / b.mean)))


def compared(sigmas: Sequence[float], dsm: Sequence[MeanAndError], other: MeanAndError) -> str:
    """At which of the σ tried DSM's variance is below another's, by two standard errors or within them."""
    above = np.array([of.mean - other.mean for of in dsm])
    chance = 2 * np.array([np.hypot(of.error, other.error) for of in dsm])

    def those(chosen: np.ndarray) -> str:
        return ", ".join(f"{sigma:.2g}" for sigma in np.asarray(sigmas)[chosen]) or "none"

    equal = np.abs(above) <= chance
    return f"of the σ tried below SSM's at {those(above < -chance)}, within chance of it at {those(equal)}"


def with_dimension(report: Report, config, planar: Gradients) -> None:
    """Cost and variance of every objective's gradient as the dimension grows, against DSM's."""
    rows = []
    for dims in config.dims:
        rows += in_dimension(config, planar if dims == 2 else Gradients(config, dims))
    report.metrics["by_dimension"] = rows
    of = {name: [row for row in rows if row["objective"] == name] for name in NAMES}
    times = {
        name: [Spread(row[COST], row["lower quartile"], row["upper quartile"]) for row in of[name]] for name in NAMES
    }
    variances = {name: [row[NOISE] for row in of[name]] for name in NAMES}
    report.figure(
        panels(
            {
                COST: {name: (config.dims, [time.median for time in times[name]]) for name in NAMES},
                NOISE: {name: (config.dims, [variance.mean for variance in variances[name]]) for name in NAMES},
            },
            x_label="dimension d", log_x=True, log_y=[COST, NOISE], columns=1, height=240,
        ),
        "dimension",
        f"Time and total variance of a gradient over {SMALL_BATCH} examples, in ratios to DSM's at σ = "
        f"{config.objective_sigma:g} (median of {config.rounds} rounds in turns; {config.gradients} gradients). DSM's "
        "time is held against itself too: so far can the clock be trusted. The law has two modes, as far apart in "
        "every dimension.",
    )  # fmt: skip
    report.table(
        rows,
        "The figure's numbers, ratios to DSM in the same dimension: of time median and quartiles over the rounds, of "
        "variance with its standard error.",
    )
    others = [name for name in NAMES if name != "DSM"]
    report.finding(
        f"**Cost with dimension**, over DSM's and from d = {config.dims[0]} to {config.dims[-1]}. Time of a gradient: "
        + "; ".join(f"{name} from {dearer(times[name], times['DSM'])}" for name in others)
        + ". Its variance: "
        + "; ".join(f"{n} from {plus_minus(variances[n][0])} to {plus_minus(variances[n][-1])}" for n in others)
        + "."
    )


def dearer(times: Sequence[Spread], itself: Sequence[Spread]) -> str:
    """Ratios of times to DSM's from the first dimension to the last, and whether the clock can tell the last from 1."""
    low, high = min(of.low for of in itself), max(of.high for of in itself)
    told = f"{times[0].median:.2g} to {times[-1].median:.3g}"
    if times[-1].low > max(high, 1 / low):
        return told
    return f"{told}, which the clock, to which DSM is {low:.2g} to {high:.2g} times itself, cannot tell from 1"


def in_dimension(config, gradients: Gradients) -> list[dict]:
    """A row per objective: ratios of time and variance to DSM."""
    sigma = config.objective_sigma
    variances = {name: gradients.variance(name, sigma, config.gradients) for name in NAMES}
    times = time_ratios(gradients, sigma, config.rounds)
    return [
        {
            "d": gradients.dims,
            "objective": name,
            COST: times[name].median,
            "lower quartile": times[name].low,
            "upper quartile": times[name].high,
            NOISE: ratio(variances[name], variances["DSM"]) if name != "DSM" else MeanAndError(1.0, 0.0),
        }
        for name in NAMES
    ]


def time_ratios(gradients: Gradients, sigma: float, rounds: int) -> dict[str, Spread]:
    """Seconds of each gradient over DSM's, timed in turns; so often in a row that the clock can tell."""
    often = 64
    counts = {name: max(1, often // gradients.dims) if name == "ISM" else often for name in NAMES}

    def work(name, times):
        def run():
            for i in range(times):
                found = gradients.of[name](jax.random.key(i), gradients.params, sigma)
            jax.block_until_ready(found)

        return run

    subjects = {name: Subject(often, work(name, counts[name]), lambda calls: work("DSM", calls)()) for name in NAMES}
    timings = in_turns(subjects, rounds, lambda done: None)
    return {name: spread(of.run / counts[name] / (of.network / often)) for name, of in timings.items()}
