"""The variational experiment by its conjugate models: coordinate and stochastic ascent against exact evidence."""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from experiments.toy_chance import over_seeds, plus_minus
from experiments.variational_mixture import (
    PRIOR_VARIANCE,
    mixture_log_evidence,
    mixture_rows,
    mixture_start,
    natural_elbo,
    natural_steps,
)
from jaxgen import distributions, variational
from jaxgen.metrics import MeanAndError
from jaxgen.report import Report, panels
from jaxgen.variational import bayesian_mixture, normal_gamma

PRIOR = normal_gamma.NormalGamma(0.0, 0.1, 1.0, 1.0)
NORMAL_GAMMA, MIXTURE = "Normal–Gamma", "mixture"


class Problem(NamedTuple):
    """A conjugate model with its data, as coordinate ascent and stochastic ascent take it."""

    x: jax.Array
    elbo: Callable[[Any], jax.Array]
    start: Callable[[jax.Array], Any]
    updates: tuple[Callable[[Any], Any], ...]
    stochastic: Callable[[jax.Array], jax.Array]  # key -> the ELBO before every step
    log_evidence: float


def problems(config) -> dict[str, Problem]:
    """Both models, their data drawn from --seed."""
    rng = np.random.default_rng(config.seed)
    numbers = jnp.asarray(rng.normal(2.0, 1.5, config.numbers))
    return {
        NORMAL_GAMMA: _normal_gamma(config, numbers),
        MIXTURE: _mixture(config, mixture_rows(rng, config.rows, config.separation)),
    }


def _normal_gamma(config, x: jax.Array) -> Problem:
    elbo = partial(normal_gamma.elbo, PRIOR, x)
    family = distributions.product({"mu": distributions.mean_field_gaussian(), "tau": distributions.gamma()})

    def start(key):
        mean, *logs = jax.random.normal(key, (4,))
        return normal_gamma.Factors(mean, *map(jnp.exp, logs))

    def bound(key, params):
        draw_key, batch_key = jax.random.split(key)
        batch = jax.random.choice(batch_key, x, (config.batch_size,), replace=False)
        joint = variational.minibatch(
            lambda z: normal_gamma.log_density(PRIOR, z["mu"], z["tau"]),
            lambda z, datum: normal_gamma.log_likelihood(datum, z["mu"], z["tau"]), batch, x.size,
        )  # fmt: skip
        return variational.reparameterised(draw_key, joint, family, params, samples=4, sticking_the_landing=True)

    def follow(params):
        (mean, log_std), (log_shape, log_rate) = params["mu"], params["tau"]
        return elbo(normal_gamma.Factors(mean, jnp.exp(-2 * log_std), jnp.exp(log_shape), jnp.exp(log_rate)))

    def stochastic(key):
        zero = jnp.zeros(())
        params = {"mu": distributions.MeanFieldParams(zero, zero), "tau": distributions.GammaParams(zero, zero)}
        steps = math.ceil(config.passes * x.size / config.batch_size)
        optimizer = optax.adam(optax.cosine_decay_schedule(0.2, steps, exponent=3.0))
        return variational.maximise(key, bound, params, optimizer, steps, follow=follow).followed

    updates = partial(normal_gamma.update_mean, PRIOR, x), partial(normal_gamma.update_precision, PRIOR, x)
    return Problem(x, elbo, start, updates, stochastic, float(normal_gamma.log_evidence(PRIOR, x)))


def _mixture(config, x: jax.Array) -> Problem:
    def start(key):
        return bayesian_mixture.from_natural(x, mixture_start(key))

    def stochastic(key):
        first_key, key = jax.random.split(key)
        rate = variational.robbins_monro(1.0, 0.7)
        path = natural_steps(key, x, config.batch_size, config.passes, mixture_start(first_key), rate)
        return jax.vmap(partial(natural_elbo, x))(path)

    updates = partial(bayesian_mixture.update_means, PRIOR_VARIANCE, x), partial(bayesian_mixture.update_assignments, x)
    elbo = partial(bayesian_mixture.elbo, PRIOR_VARIANCE, x)
    return Problem(x, elbo, start, updates, stochastic, float(mixture_log_evidence(x)))


def bounds(report: Report, config, of: Mapping[str, Problem]) -> dict[str, Any]:
    """Every ascent's gap to the evidence; returns the best factors of coordinate ascent by model."""
    figure, rows, optima, changes = {}, [], {}, {}
    for i, (name, problem) in enumerate(of.items()):
        keys = jax.random.split(jax.random.fold_in(jax.random.key(config.seed), i), config.starts)

        def climb(key, problem=problem):
            return variational.coordinate_ascent(problem.updates, problem.elbo, problem.start(key), config.sweeps)

        found = jax.jit(jax.vmap(climb))(keys)
        path = np.concatenate([np.asarray(found.start)[:, None], np.asarray(found.elbos).reshape(len(keys), -1)], 1)
        best = int(np.argmax(path[:, -1]))
        optima[name] = jax.tree.map(lambda leaf, best=best: np.asarray(leaf[best]), found.factors)
        changes[name] = np.diff(path, axis=1) / np.abs(path[:, 1:])
        seeds = jax.random.split(jax.random.fold_in(jax.random.key(config.seed + 1), i), config.seeds)
        along = problem.log_evidence - np.asarray(jax.jit(jax.vmap(problem.stochastic))(seeds))
        gap = problem.log_evidence - path
        sweeps, passes = np.arange(gap.shape[1]) / 2, config.batch_size / len(problem.x) * np.arange(along.shape[1])
        shown = np.unique(np.geomspace(1, len(passes) - 1, 200).astype(int))
        figure[f"{name}: log p(x) − ELBO"] = {
            "coordinate ascent": (sweeps[1:], gap[:, 1:].mean(0)),
            "stochastic ascent": (passes[shown], along.mean(0)[shown]),
        }
        rows.append(
            {
                "model": name,
                "log p(x)": problem.log_evidence,
                "gap of coordinate ascent": float(gap[best, -1]),
                "of its worst start": float(gap[:, -1].max()),
                "sweeps to within .001": float(sweeps[np.argmax(gap[best] < gap[best, -1] + 1e-3)]),
                "gap of stochastic ascent": over_seeds(along[:, -1]),
                "stochastic above it": over_seeds(along[:, -1] - gap[best, -1]),
            }
        )
    figure[f"{MIXTURE}: log p(x) − ELBO"]["log 2"] = (np.geomspace(sweeps[1], sweeps[-1], 50), np.full(50, math.log(2)))
    report.metrics["bounds"] = rows
    report.figure(
        panels(figure, x_label="passes over the data", log_x=True, log_y=list(figure), columns=2, height=310),
        "bounds",
        "What the ELBO leaves of log p(x), in nats. Coordinate ascent, after every update of one factor (half a pass), "
        f"mean over {config.starts} starts; stochastic ascent by batches of {config.batch_size}, mean over "
        f"{config.seeds} runs: Adam on reparameterised gradients (left), natural gradients with Robbins–Monro steps "
        "(right). The evidence is a closed form (left), a sum over a grid (right). A mean field takes one of the "
        "mixture's two equal modes; that alone costs log 2 where they are apart.",
    )
    report.table(
        rows,
        f"log p(x) − ELBO at the end, after {config.sweeps} sweeps from the best and the worst of {config.starts} "
        f"starts, and how far above that it is after {config.passes} passes in batches, mean ± standard error over "
        f"{config.seeds} runs.",
        columns=[column for column in rows[0] if column != "gap of stochastic ascent"],
    )
    report.finding(f"{never_lowers(changes)} {gaps_told(rows)}")
    return optima


def never_lowers(changes: Mapping[str, np.ndarray], rounding: float = 1e-12) -> str:
    """Whether any update of any model lowered the ELBO by more than rounding, of changes relative to it."""
    total = sum(change.size for change in changes.values())
    lowered = [f"{-change.min():.2g} of it ({name})" for name, change in changes.items() if change.min() < -rounding]
    said = "lowered the ELBO by up to " + ", ".join(lowered) if lowered else "never lowered the ELBO beyond rounding"
    return f"**Coordinate ascent** {said} in {total:,} updates."


def gaps_told(rows: Sequence[Mapping[str, Any]]) -> str:
    """What both ascents leave of the evidence."""
    told = "; ".join(f"{row['gap of coordinate ascent']:.3g} nats below log p(x) ({row['model']})" for row in rows)
    above = [MeanAndError(*row["stochastic above it"]) for row in rows]
    return (
        f"It ends {told}; log 2 is {math.log(2):.3g}. **Stochastic ascent** ends above that by "
        + ", ".join(f"{plus_minus(of)} ({row['model']})" for of, row in zip(above, rows, strict=True)) + "."
    )  # fmt: skip
