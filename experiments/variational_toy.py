"""The variational experiment by the Gamma–exponential toy: KL against θ, and stochastic ascent to θ* = x + 1."""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from experiments.chance import chance
from experiments.toy_chance import over_seeds, plus_minus
from experiments.variational_gradients import OF_ELBO
from jaxgen import distributions, variational
from jaxgen.metrics import MeanAndError
from jaxgen.report import Report, curves
from jaxgen.variational import gamma_exponential

STEP = 0.05
DRAWS = 8


def divergence(report: Report, config) -> None:
    """KL(Gamma(2, θ) ‖ p(z | x)) against θ, and where a fine search finds its least."""
    lines, found = {}, {}
    for x in config.observed:
        theta = (x + 1) * np.geomspace(0.4, 2.5, 2001)
        kl = np.asarray(gamma_exponential.kl(gamma_exponential.Gamma(2.0, theta), gamma_exponential.posterior(x)))
        lines[f"x = {x:g}"], found[x] = (theta, kl), (float(theta[np.argmin(kl)]), float(kl.min()))
    report.metrics["theta"] = {str(x): {"best": best, "kl": kl} for x, (best, kl) in found.items()}
    report.figure(
        curves(lines, x_label="θ", y_label="KL(q ‖ posterior), nats", log_x=True, height=270),
        "theta",
        "z ~ Exp(1), x | z ~ Exp(z): the divergence of q = Gamma(2, θ) from the posterior Gamma(2, x + 1). Least of "
        "those on a grid of 2001 places from 0.4 to 2.5 times x + 1: "
        + "; ".join(f"{kl:.2g} at θ = {best:.4g} for x = {x:g}" for x, (best, kl) in found.items())
        + ".",
    )  # fmt: skip


def ascents(report: Report, config) -> None:
    """Constant steps of every estimator in shape and rate, from Gamma(1, 1), for each x."""
    keys, rows, figure = jax.random.split(jax.random.key(config.seed + 40), config.seeds), [], {}
    shown = len(config.observed) // 2
    for name in OF_ELBO:
        along = run(name, config.observed, keys, config.ascent_steps)
        for x, log_shape, log_rate in zip(config.observed, *along, strict=True):
            q = gamma_exponential.Gamma(np.exp(log_shape), np.exp(log_rate))
            kl = np.maximum(gamma_exponential.kl(q, gamma_exponential.posterior(x)), 0)
            if x == config.observed[shown]:
                figure[name] = np.arange(1, kl.shape[1]), np.maximum(kl.mean(0)[1:], 1e-15)
            # a millionth of the optimum is rounding and the last of the way there
            ends = np.round([q.shape[:, -1], q.rate[:, -1] / (x + 1)], 6)
            rows.append(
                {
                    "estimator": name, "x": x, "shape": over_seeds(ends[0]), "rate / (x + 1)": over_seeds(ends[1]),
                    "KL": over_seeds(np.round(kl[:, -1], 10)), "chance": min(chance(ends[0] - 2), chance(ends[1] - 1)),
                }
            )  # fmt: skip
    report.metrics["toy"] = rows
    report.figure(
        curves(figure, x_label="step", y_label="KL(q ‖ posterior), nats", log_y=True, height=320),
        "toy",
        f"Stochastic ascent in the shape and the rate of q at x = {config.observed[shown]:g}, from Gamma(1, 1), by "
        f"steps of {STEP:g} times a gradient of {DRAWS} draws; mean over {config.seeds} runs. The reparameterised "
        "gradient of a Gamma's shape is implicit. Below 1e-15 there is only rounding.",
    )
    report.table(
        rows,
        f"After {config.ascent_steps} steps, mean ± standard error over {config.seeds} runs, of the same keys for all "
        "x; the posterior has shape 2 and rate x + 1. Reparameterised runs agree across x, by which z is only scaled.",
        columns=["estimator", "x", "shape", "rate / (x + 1)", "KL"],
    )
    report.finding(toy_told(rows))


def run(name: str, observed: Sequence[float], keys: jax.Array, steps: int) -> distributions.GammaParams:
    """Parameters (data, runs, steps) along the ascents."""
    family, estimator = distributions.gamma(), OF_ELBO[name]

    def ascend(x, key):
        def bound(key, params):
            return estimator(key, lambda z: gamma_exponential.log_joint(x, z), family, params, samples=DRAWS)

        start = distributions.GammaParams(jnp.zeros(()), jnp.zeros(()))
        return variational.maximise(key, bound, start, optax.sgd(STEP), steps, follow=lambda params: params).followed

    every = jax.jit(jax.vmap(jax.vmap(ascend, (None, 0)), (0, None)))
    return jax.tree.map(np.asarray, every(jnp.asarray(observed), keys))


def toy_told(rows: Sequence[Mapping[str, Any]]) -> str:
    """Whether every estimator ends at shape 2 and rate x + 1 within chance, and which ones without noise."""
    off = [f"{row['estimator']} at x = {row['x']:g}" for row in rows if row["chance"] < 0.025 / len(rows)]
    ends = "beyond chance away: " + ", ".join(off) if off else "at it within chance"
    worst = {name: max(MeanAndError(*row["KL"]) for row in rows if row["estimator"] == name) for name in OF_ELBO}
    silent = [name for name, of in worst.items() if of.mean < 1e-9]
    noisy = [f"{name} {plus_minus(of)}" for name, of in worst.items() if of.mean >= 1e-9]
    said = f" By {' and '.join(silent)} constant steps come to the exact posterior, KL < 1e-9." if silent else ""
    left = f" The noise of others leaves a KL of up to {', '.join(noisy)} nats." if noisy else ""
    return f"**Gamma–exponential.** θ* = x + 1: stochastic ascents in shape and rate end {ends}.{said}{left}"
