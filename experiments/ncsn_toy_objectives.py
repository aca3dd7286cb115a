"""The NCSN toy by its objectives: denoising, implicit and sliced score matching, what they reach and what they cost."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from experiments.timing import Subject, in_turns, spread
from experiments.toy_sampling import exact_score
from experiments.toy_training import ScoreNet, Training, initial
from jaxgen.data import seminar_mixture
from jaxgen.report import Report, curves, panels
from jaxgen.score_matching import denoising, explicit, implicit, sliced

Loss = Callable[[jax.Array, Callable, jax.Array], jax.Array]  # key, score, x -> (B,)

NAMES = {"DSM": "denoising", "ISM": "implicit", "SSM": "sliced", "SSM-VR": "sliced, variance reduced"}
SMALL_BATCH = 16  # of the measurements by dimension


def objectives(sigma: float) -> dict[str, Loss]:
    """The four by their usual names."""
    return {
        "DSM": lambda key, score, x: denoising(key, score, x, sigma),
        "ISM": lambda key, score, x: implicit(score, x),
        "SSM": lambda key, score, x: sliced(key, score, x),
        "SSM-VR": lambda key, score, x: sliced(key, score, x, variance_reduced=True),
    }


def constants(sigma: float, n: int = 50_000) -> dict[str, float]:
    """What is added to each objective to make it ½E‖s − ∇log q‖²: E‖∇log q‖²/2, less E‖ε/σ‖²/2 for DSM (d = 2)."""
    mixture = seminar_mixture()

    @jax.jit
    def half_information(level):
        q = mixture.perturbed(1.0, level)
        return 0.5 * jnp.mean(jnp.sum(q.score(q.sample(jax.random.key(0), n)) ** 2, -1))

    clean = float(half_information(0.0))
    return {"DSM": float(half_information(sigma)) - 1 / sigma**2, "ISM": clean, "SSM": clean, "SSM-VR": clean}


def learning_curves(report: Report, config) -> None:
    """Every objective trained alike: its own value, shifted by the known constant, beside the exact divergence."""
    mixture, net, sigma = seminar_mixture(), ScoreNet(config.width, spread=5.0), config.objective_sigma
    held_out = mixture.sample(jax.random.key(config.seed + 80), 4000)
    noised = held_out + sigma * jax.random.normal(jax.random.key(config.seed + 81), held_out.shape)
    of_q = partial(exact_score(mixture), sigma=jnp.float32(sigma))
    rows, objective, exact, known = [], {}, {}, constants(sigma)
    for name, loss in objectives(sigma).items():

        def batch_loss(key, params, loss=loss):
            data_key, loss_key = jax.random.split(key)
            return loss(loss_key, partial(net.apply, params), mixture.sample(data_key, config.batch_size))

        def follow(params, name=name):
            score = partial(net.apply, params)
            x, target = (noised, of_q) if name == "DSM" else (held_out, mixture.score)
            return {
                "own": explicit(score, target, x).mean(),
                "to p": explicit(score, mixture.score, held_out).mean(),
            }

        train = Training(
            batch_loss, steps=config.objective_steps, learning_rate=config.learning_rate, follow=follow,
            progress=config.progress,
        )  # fmt: skip
        key = jax.random.key(config.seed + 82)
        fit = train(key, initial(net, key))
        shifted = fit.followed["loss"] + known[name]
        objective[name] = (fit.steps, shifted)
        exact[name] = (fit.steps, fit.followed["own"])
        late = len(fit.steps) // 2
        rows.append(
            {
                "objective": name,
                "divergence to its own density": float(fit.followed["own"][-1]),
                "divergence to p": float(fit.followed["to p"][-1]),
                "objective + constant": float(shifted[late:].mean()),
                "its scatter": float(shifted[late:].std()),
            }
        )
    report.metrics["objectives"] = {
        "final": rows,
        "curves": {name: {"step": x, "own": y, "shifted": objective[name][1]} for name, (x, y) in exact.items()},
    }
    told = ", ".join(f"{row['objective']} {row['its scatter']:.2g}" for row in rows)
    report.figure(
        panels(
            {"exact ½E‖s − ∇log q‖²": exact, "the objective + its constant": objective},
            x_label="training step", log_y=["exact ½E‖s − ∇log q‖²"], columns=2, height=300,
        ),
        "objectives",
        f"Four objectives from the same start and data. Left: the exact Fisher divergence on held-out draws, to q = p, "
        f"for DSM to p * N(0, {sigma:g}² I). Right: the training loss plus the constant that makes it the same "
        f"quantity (mean of {train.every} steps a point). All estimate it; their scatter in the second half differs: "
        f"{told}.",
    )  # fmt: skip
    report.table(
        rows,
        f"After {config.objective_steps} steps of {config.batch_size}. DSM learns the score of noised data, σ = "
        f"{sigma:g}: its distance to p keeps that bias.",
    )
    ranked = sorted(rows, key=lambda row: row["divergence to p"])
    report.finding(
        "**Objectives.** ½E‖s − ∇log p‖² after equal training: "
        + ", ".join(f"{row['objective']} {row['divergence to p']:.3g}" for row in ranked)
        + f" (DSM to its own density {rows[0]['divergence to its own density']:.3g})."
    )


def total_variance(gradients: list[Any]) -> float:
    """Trace of the covariance of gradients, estimated from at least two draws of them."""
    flat = np.stack([np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(g)]) for g in gradients])
    return float(np.sum(np.var(flat.astype(np.float64), axis=0, ddof=1)))


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

    def variance(self, name: str, sigma: float, draws: int) -> float:
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
    dsm = np.array([gradients.variance("DSM", float(sigma), draws) for sigma in sigmas])
    found = {name: gradients.variance(name, 1.0, draws) for name in NAMES if name != "DSM"}
    slope = float(np.polyfit(np.log(sigmas[:3]), np.log(dsm[:3]), 1)[0])
    told = f"{slope:.1f}".replace("-", "−")
    level = np.geomspace(sigmas[0], sigmas[-1], 50)
    report.figure(
        curves(
            {"DSM": (sigmas, dsm)} | {name: (level, np.full(50, value)) for name, value in found.items()},
            x_label="σ of DSM", y_label="variance of the gradient", log_x=True, log_y=True, height=300,
        ),
        "gradient-noise",
        f"Total variance of the gradient over batches of {SMALL_BATCH}, at one state early in training ({draws} "
        f"gradients). DSM's goes as σ^{told} for small σ, the price of its small bias; the others know no σ.",
    )  # fmt: skip
    report.metrics["gradient_noise"] = found | {"sigma": sigmas, "DSM": dsm, "slope": slope}
    below = [f"{sigma:.2g}" for sigma in sigmas[dsm <= found["SSM"]]]
    where = (
        f"and is below SSM's at σ = {', '.join(below)} of those tried" if below else "and is above SSM's at all tried"
    )
    report.finding(
        f"**Noise of the gradient** in two dimensions: DSM's variance goes as σ^{told} for small σ {where}; "
        f"SSM's is {found['SSM'] / found['ISM']:.2f} and SSM-VR's {found['SSM-VR'] / found['ISM']:.2f} times ISM's."
    )


def with_dimension(report: Report, config, planar: Gradients) -> None:
    """Cost and variance of every objective's gradient as the dimension grows, against DSM's."""
    rows = []
    for dims in config.dims:
        rows += in_dimension(config, planar if dims == 2 else Gradients(config, dims))
    report.metrics["by_dimension"] = rows

    def line(name, column):
        of = [row for row in rows if row["objective"] == name]
        return [row["d"] for row in of], [row[column] for row in of]

    cost, noise = "time of a gradient / DSM's", "variance of the gradient / DSM's"
    report.figure(
        panels(
            {column: {name: line(name, column) for name in NAMES} for column in (cost, noise)},
            x_label="dimension d", log_x=True, log_y=[cost, noise], columns=1, height=240,
        ),
        "dimension",
        f"Time and total variance of a gradient over {SMALL_BATCH} examples, in ratios to DSM's at σ = "
        f"{config.objective_sigma:g} (median of {config.rounds} rounds in turns; {config.gradients} gradients). "
        "The law has two modes, as far apart in every dimension.",
    )  # fmt: skip
    last, first = config.dims[-1], config.dims[0]
    of_last = {row["objective"]: row for row in rows if row["d"] == last}
    of_first = {row["objective"]: row for row in rows if row["d"] == first}
    report.table(
        rows,
        "The figure's numbers: ratios to DSM in the same dimension; quartiles of the times are in the metrics.",
        columns=["d", "objective", cost, noise],
    )
    x, y = (np.log(values[-3:]) for values in line("ISM", cost))
    report.finding(
        f"**Cost with dimension.** From d = {first} to {last} a gradient of ISM goes from {of_first['ISM'][cost]:.2g} "
        f"to {of_last['ISM'][cost]:,.3g} times the time of DSM's (as d^{np.polyfit(x, y, 1)[0]:.2f} at last), of SSM "
        f"from {of_first['SSM'][cost]:.2g} to "
        f"{of_last['SSM'][cost]:.2g} times; in variance SSM goes from {of_first['SSM'][noise]:.2g} to "
        f"{of_last['SSM'][noise]:.2g} times DSM's, SSM-VR to {of_last['SSM-VR'][noise]:.2g}, and ISM, which draws no "
        f"noise, to {of_last['ISM'][noise]:.2g}."
    )


def in_dimension(config, gradients: Gradients) -> list[dict]:
    """A row per objective: ratios of time and variance to DSM."""
    sigma = config.objective_sigma
    variances = {name: gradients.variance(name, sigma, config.gradients) for name in NAMES}
    times = _ratios(gradients, sigma, config.rounds)
    return [
        {"d": gradients.dims, "objective": name, "time of a gradient / DSM's": times[name].median}
        | {"variance of the gradient / DSM's": variances[name] / variances["DSM"]}
        | {"low": times[name].low, "high": times[name].high}
        for name in NAMES
    ]


def _ratios(gradients: Gradients, sigma: float, rounds: int) -> dict:
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
