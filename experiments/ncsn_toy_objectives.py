"""The NCSN toy by its objectives: what denoising, implicit and sliced score matching reach by equal training."""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from experiments.toy_chance import over_seeds, plus_minus, ranking
from experiments.toy_sampling import exact_score
from experiments.toy_training import ScoreNet, Training, initial
from jaxgen.distributions import song_ermon_mixture
from jaxgen.report import Report, panels
from jaxgen.score_matching import denoising, explicit, implicit, sliced

Loss = Callable[[jax.Array, Callable, jax.Array], jax.Array]  # key, score, x -> (B,)

NAMES = {"DSM": "denoising", "ISM": "implicit", "SSM": "sliced", "SSM-VR": "sliced, variance reduced"}


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
    mixture = song_ermon_mixture()

    @jax.jit
    def half_information(level):
        q = mixture.perturbed(1.0, level)
        return 0.5 * jnp.mean(jnp.sum(q.score(q.sample(jax.random.key(0), n)) ** 2, -1))

    clean = float(half_information(0.0))
    return {"DSM": float(half_information(sigma)) - 1 / sigma**2, "ISM": clean, "SSM": clean, "SSM-VR": clean}


def learning_curves(report: Report, config) -> None:
    """Every objective trained alike: its own value, shifted by the known constant, beside the exact divergence."""
    mixture, net, sigma = song_ermon_mixture(), ScoreNet(config.width, spread=5.0), config.objective_sigma
    held_out = mixture.sample(jax.random.key(config.seed + 80), 4000)
    noised = held_out + sigma * jax.random.normal(jax.random.key(config.seed + 81), held_out.shape)
    of_q = partial(exact_score(mixture), sigma=jnp.float32(sigma))
    rows, to_p, objective, exact, known = [], {}, {}, {}, constants(sigma)
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
        keys = jax.random.split(jax.random.key(config.seed + 82), config.seeds)
        fits = [train(key, initial(net, key)) for key in keys]
        shifted = np.stack([fit.followed["loss"] for fit in fits]) + known[name]
        steps, late = fits[0].steps, len(fits[0].steps) // 2
        objective[name] = (steps, shifted[0])
        exact[name] = (steps, np.mean([fit.followed["own"] for fit in fits], 0))
        to_p[name] = [float(fit.followed["to p"][-1]) for fit in fits]
        rows.append(
            {
                "objective": name,
                "divergence to its own density": over_seeds([fit.followed["own"][-1] for fit in fits]),
                "divergence to p": over_seeds(to_p[name]),
                "objective + constant": over_seeds(shifted[:, late:].mean(-1)),
                "its scatter": over_seeds(shifted[:, late:].std(-1)),
            }
        )
    report.metrics["objectives"] = {
        "final": rows,
        "curves": {name: {"step": x, "own": y, "shifted": objective[name][1]} for name, (x, y) in exact.items()},
    }
    told = ", ".join(f"{row['objective']} {plus_minus(row['its scatter'])}" for row in rows)
    report.figure(
        panels(
            {"exact ½E‖s − ∇log q‖²": exact, "the objective + its constant": objective},
            x_label="training step", log_y=["exact ½E‖s − ∇log q‖²"], columns=2, height=300,
        ),
        "objectives",
        "Four objectives from the same starts and data. Left: the exact Fisher divergence on held-out draws, to q = p, "
        f"for DSM to p * N(0, {sigma:g}² I), mean of {config.seeds} trainings. Right: the training loss of one of them "
        f"plus the constant that makes it the same quantity (mean of {train.every} steps a point). Scatter of its "
        f"points in the second half: {told}.",
    )  # fmt: skip
    report.table(
        rows,
        f"After {config.objective_steps} steps of {config.batch_size}, mean ± standard error over {config.seeds} "
        f"trainings; objective + constant: in the second half. DSM learns the score of noised data, σ = {sigma:g}.",
    )
    report.finding(
        f"**Objectives.** ½E‖s − ∇log p‖² after equal training: {ranking(to_p)}, where ≈ is within chance over "
        f"{config.seeds} trainings. DSM to its own density: {plus_minus(rows[0]['divergence to its own density'])}."
    )
