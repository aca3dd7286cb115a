"""The NCSN toy on a ring: data on a curve have no score, and score matching finds that out by diverging."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from experiments.ncsn_toy_report import ARROWS
from experiments.toy_chance import over_seeds, plus_minus
from experiments.toy_sampling import learned_field
from experiments.toy_training import ScoreNet, Training, initial
from jaxgen.data import ring
from jaxgen.metrics import Estimate
from jaxgen.report import Plane, Report, curves, lattice, planes
from jaxgen.report.numbers import readable
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
    key = jax.random.key(config.seed + 70)
    fits = {noise: train(key, initial(net, key), jnp.float32(noise)) for noise in config.ring_noises}
    least = {noise: least_loss(noise) for noise in config.ring_noises}
    bare, noisy = config.ring_noises[0], config.ring_noises[-1]
    lines, bounds, pulls = {}, {}, {}
    for noise, fit in fits.items():
        name = f"noise {noise:g}" if noise else "no noise"
        gain = -fit.followed["loss"]
        lines[name] = (fit.steps, np.where(gain > 0.1, gain, np.nan))
        pulls[name] = (fit.steps, fit.followed["pull"])
        if noise:
            bounds[f"its bound, {noise:g}"] = (fit.steps, np.full(len(fit.steps), -least[noise]))
    lines = bounds | lines  # which are drawn on top
    report.figure(
        curves(lines, x_label="training step", y_label="− loss", log_y=True, height=320),
        "ring-loss",
        "Sliced score matching on a ring of radius 1; upwards is better. With noise the loss has a least value, "
        "−½ E‖∇log q‖² (level lines). On the bare ring it has none: the larger the score across the curve, the lower "
        f"the loss; after {config.ring_steps} steps it is at {readable(float(fits[bare].followed['loss'][-1]))}.",
    )
    places = lattice(LIMITS, ARROWS).reshape(-1, 2) + 1e-6  # at the very centre the exact score has no direction
    exact = np.asarray(ring_score(jnp.asarray(places, jnp.float32), noisy))
    ring_points = np.asarray(ring(jax.random.key(1), 300))
    noisy_points = np.asarray(ring(jax.random.key(1), 300, noise=noisy))
    panels = [
        Plane(title, points=data, arrows=(places, vectors))
        for title, data, vectors in (
            ("learned on the bare ring", ring_points, learned_field(net, fits[bare].params, places)),
            (f"learned with noise {noisy:g}", noisy_points, learned_field(net, fits[noisy].params, places)),
            (f"exact with noise {noisy:g}", noisy_points, exact),
        )
    ]
    found = {}
    for noise, fit in fits.items():
        row = {"loss": float(fit.followed["loss"][-3:].mean()), "least loss": least[noise]}
        row["pull 5 % outside"] = float(fit.followed["pull"][-1])
        row["fall over the last quarter"] = last_fall(fit.followed["loss"])
        if noise:
            x = ring(jax.random.key(2), 20_000, noise=noise)
            of_q = np.asarray(ring_score(x, noise))
            error = learned_field(net, fit.params, x) - of_q
            row["relative error"] = float(np.sqrt(np.mean(error**2) / np.mean(of_q**2)))
            # ½E‖s − ∇log q‖², on draws that no training saw
            row["above the least loss"] = over_seeds(0.5 * np.sum(error**2, -1))
        found[noise] = row
    report.metrics["ring"] = {str(noise): row for noise, row in found.items()} | {
        "curves": {name: {"step": x, "minus_loss": y} for name, (x, y) in lines.items()},
        "pull": {name: {"step": x, "length": y} for name, (x, y) in pulls.items()},
    }
    times = found[bare]["pull 5 % outside"] / found[noisy]["pull 5 % outside"]
    report.figure(
        planes([panels], LIMITS, color_label="length of the score"),
        "ring-fields",
        f"Learned and exact scores about the ring, and its data. Just outside, at 1.05 of the radius, the field "
        f"learned on the bare ring is {times:.3g} times as long as that learned with noise {noisy:g}, which is off "
        f"from the exact one by {found[noisy]['relative error']:.1%} on its data (root mean square, relative).",
    )
    report.finding(curve_told(bare_row=found[bare], noisy_row=found[noisy], noise=noisy))


def last_fall(losses: np.ndarray) -> Estimate:
    """By how much the mean of the last quarter of losses (n,) is below that of the quarter before, n ≥ 8."""
    quarter = len(losses) // 4
    before, last = (over_seeds(part) for part in (losses[-2 * quarter : -quarter], losses[-quarter:]))
    return Estimate(before.mean - last.mean, float(np.hypot(before.error, last.error)))


def curve_told(bare_row: dict, noisy_row: dict, noise: float) -> str:
    """Whether the loss still falls on the bare curve, and how near to its least value it comes with noise."""

    def falls(row: dict) -> str:
        fall = row["fall over the last quarter"]
        return ("still falls" if fall.mean > 2 * fall.error else "no longer falls beyond chance") + (
            f" (by {plus_minus(fall)} from the third quarter of the steps to the last)"
        )

    return (
        f"**Data on a curve.** On the bare ring the loss {falls(bare_row)}, to {readable(bare_row['loss'])}. With "
        f"noise {noise:g} it {falls(noisy_row)}; on fresh draws it is {plus_minus(noisy_row['above the least loss'])} "
        f"above {readable(noisy_row['least loss'])}, the least of any score, a relative error of "
        f"{noisy_row['relative error']:.0%}."
    )
