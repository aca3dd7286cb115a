"""The NCSN toy on a ring: data on a curve have no score, and score matching finds that out by diverging."""

from collections.abc import Sequence
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from experiments.chance import apart
from experiments.ncsn_toy_report import ARROWS, percent, relative_errors
from experiments.toy_chance import over_seeds, plus_minus
from experiments.toy_sampling import learned_field
from experiments.toy_training import Fit, ScoreNet, Training, initial
from jaxgen.data import ring
from jaxgen.report import Panel2D, Report, curves, format_value, lattice, panels_2d
from jaxgen.score_matching import sliced

LIMITS = (-1.6, 1.6)


@jax.jit
def ring_score(x: jax.Array, noise: float) -> jax.Array:
    """The score (n, 2) of a ring of radius 1 with noise s: x/r (I₁(r/s²)/I₀(r/s²) − r)/s², for r > 0.

    The density is exp(−(r² + 1)/2s²) I₀(r/s²)/2πs².
    """
    radius = jnp.linalg.norm(x, axis=-1, keepdims=True)
    ratio = jax.scipy.special.i1e(radius / noise**2) / jax.scipy.special.i0e(radius / noise**2)
    return x / radius * (ratio - radius) / noise**2


def least_loss(noise: float) -> float:
    """The least that sliced and implicit score matching can reach on the ring: −½ E‖∇log q‖², −∞ without noise."""
    if not noise:
        return -np.inf
    radius = np.linspace(max(1e-6, 1 - 12 * noise), 1 + 12 * noise, 4001)
    z = radius / noise**2
    density = z * np.exp(-((radius - 1) ** 2) / (2 * noise**2)) * np.asarray(jax.scipy.special.i0e(z))
    score = np.asarray(ring_score(jnp.asarray(np.stack([radius, 0 * radius], -1)), noise))[:, 0]
    return -0.5 * float(np.sum(density * score**2) / np.sum(density))


def ring_scores(report: Report, config) -> None:
    """Sliced score matching on the ring with and without noise: losses, fields, and the score's length."""
    net = ScoreNet(config.width, spread=float(np.sqrt(0.5)))
    probe = ring(jax.random.key(config.seed + 7), 2000)

    def loss(key, params, noise):
        data_key, loss_key = jax.random.split(key)
        x = ring(data_key, config.batch_size, noise=noise)
        return sliced(loss_key, partial(net.apply, params), x)

    def follow(params, noise):
        off = probe * 1.05  # 5 % of the radius outside the ring
        return {"pull": jnp.sqrt(jnp.mean(jnp.sum(net.apply(params, off) ** 2, -1)))}

    train = Training(
        loss, steps=config.ring_steps, learning_rate=config.learning_rate, follow=follow, points=60,
        progress=config.progress,
    )  # fmt: skip
    keys = jax.random.split(jax.random.key(config.seed + 70), config.seeds)
    fits = {noise: [train(key, initial(net, key), jnp.float32(noise)) for key in keys] for noise in config.ring_noises}
    found = {noise: summary(net, of, noise) for noise, of in fits.items()}
    bare, noisy = config.ring_noises[0], config.ring_noises[-1]
    lines, pulls = {}, {}
    for noise, of in fits.items():
        name, steps = f"noise {noise:g}" if noise else "no noise", of[0].steps
        gain = -np.mean([fit.followed["loss"] for fit in of], 0)
        lines[name] = (steps, np.where(gain > 0.1, gain, np.nan))
        pulls[name] = (steps, np.mean([fit.followed["pull"] for fit in of], 0))
    report.figure(
        curves(
            lines, x_label="training step", y_label="− loss", log_y=True, height=320,
            levels={f"bound, noise {noise:g}": -row["least loss"] for noise, row in found.items() if noise},
        ),
        "ring-loss",
        f"Sliced score matching on a ring of radius 1, mean of {config.seeds} trainings; upwards is better. With noise "
        "the loss has a least value, −½ E‖∇log q‖² (dashed). On the bare ring it has none: the larger the score across "
        f"the curve, the lower the loss; after {config.ring_steps} steps it is at {plus_minus(found[bare]['loss'])}.",
    )  # fmt: skip
    places = lattice(LIMITS, ARROWS).reshape(-1, 2) + 1e-6  # at the very centre the exact score has no direction
    exact = np.asarray(ring_score(jnp.asarray(places, jnp.float32), noisy))
    ring_points = np.asarray(ring(jax.random.key(1), 300))
    noisy_points = np.asarray(ring(jax.random.key(1), 300, noise=noisy))
    panels = [
        Panel2D(title, points=data, arrows=(places, vectors))
        for title, data, vectors in (
            ("learned on the bare ring", ring_points, learned_field(net, fits[bare][0].params, places)),
            (f"learned with noise {noisy:g}", noisy_points, learned_field(net, fits[noisy][0].params, places)),
            (f"exact with noise {noisy:g}", noisy_points, exact),
        )
    ]
    report.metrics["ring"] = {str(noise): row for noise, row in found.items()} | {
        "curves": {name: {"step": x, "minus_loss": y} for name, (x, y) in lines.items()},
        "pull": {name: {"step": x, "length": y} for name, (x, y) in pulls.items()},
    }
    times = found[bare]["pull 5 % outside"].mean / found[noisy]["pull 5 % outside"].mean
    report.figure(
        panels_2d([panels], LIMITS, color_label="length of the score"),
        "ring-fields",
        "Learned and exact scores about the ring, and its data. Just outside, at 1.05 of the radius, the field learned "
        f"on the bare ring is {times:.3g} times as long as that learned with noise {noisy:g}, which is off from the "
        f"exact one by {percent(found[noisy]['relative error'])} on its data (root mean square, relative; over "
        f"{config.seeds} trainings, of which one is drawn).",
    )
    report.finding(curve_told(bare_row=found[bare], noisy_row=found[noisy], noise=noisy))


def summary(net: ScoreNet, fits: Sequence[Fit], noise: float) -> dict:
    """What trainings with one noise came to."""
    quarters = np.array([last_quarters(fit.followed["loss"]) for fit in fits])
    row = {
        "loss": over_seeds([fit.followed["loss"][-3:].mean() for fit in fits]),
        "least loss": least_loss(noise),
        "pull 5 % outside": over_seeds([fit.followed["pull"][-1] for fit in fits]),
        "fall over the last quarter": over_seeds(quarters[:, 0] - quarters[:, 1]),
        "still falls": bool(quarters[:, 0].mean() > quarters[:, 1].mean()) and apart(*quarters.T),
    }
    if noise:
        x = ring(jax.random.key(2), 20_000, noise=noise)  # draws that no training saw
        of_q = np.asarray(ring_score(x, noise))
        errors = [learned_field(net, fit.params, x) - of_q for fit in fits]
        row["relative error"] = relative_errors(errors, of_q, np.full(len(x), True))
        # ½E‖s − ∇log q‖²
        row["above the least loss"] = over_seeds([0.5 * np.mean(np.sum(error**2, -1)) for error in errors])
    return row


def last_quarters(losses: np.ndarray) -> tuple[float, float]:
    """Means of the last but one and of the last quarter of losses (n,), n ≥ 8."""
    quarter = len(losses) // 4
    return float(losses[-2 * quarter : -quarter].mean()), float(losses[-quarter:].mean())


def curve_told(bare_row: dict, noisy_row: dict, noise: float) -> str:
    """Whether the loss still falls on the bare curve, and how near to its least value it comes with noise."""

    def falls(row: dict) -> str:
        said = "still falls" if row["still falls"] else "no longer falls beyond chance"
        fall = plus_minus(row["fall over the last quarter"])
        return f"{said} (by {fall} from the third quarter of the steps to the last)"

    return (
        f"**Data on a curve.** On the bare ring the loss {falls(bare_row)}, to {plus_minus(bare_row['loss'])}. With "
        f"noise {noise:g} it {falls(noisy_row)}; on fresh draws it is {plus_minus(noisy_row['above the least loss'])} "
        f"above {format_value(noisy_row['least loss'])}, the least of any score, a relative error of "
        f"{percent(noisy_row['relative error'])}."
    )
