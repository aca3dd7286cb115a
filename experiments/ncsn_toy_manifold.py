"""The NCSN toy on a ring: data on a curve have no score, and score matching finds that out by diverging."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from experiments.ncsn_toy_report import ARROWS
from experiments.toy_sampling import learned_field
from experiments.toy_training import ScoreNet, Training, initial
from jaxgen.data import ring
from jaxgen.report import Plane, Report, curves, lattice, planes
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


def least_loss(noise: float, n: int = 50_000) -> float:
    """The least that sliced and implicit score matching can reach on the ring: −½ E‖∇log q‖², −∞ without noise."""
    if not noise:
        return -np.inf
    x = ring(jax.random.key(0), n, noise=noise)
    return -0.5 * float(jnp.mean(jnp.sum(ring_score(x, noise) ** 2, -1)))


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
        f"the loss; after {config.ring_steps} steps it is at {_signed(fits[bare].followed['loss'][-1])}.",
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
        late = fit.followed["loss"][len(fit.steps) // 2 :]
        row["fall over the second half"] = float(late[0] - late[-3:].mean())
        if noise:
            x = ring(jax.random.key(2), 20_000, noise=noise)
            of_q = np.asarray(ring_score(x, noise))
            error = learned_field(net, fit.params, x) - of_q
            row["relative error"] = float(np.sqrt(np.mean(error**2) / np.mean(of_q**2)))
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
    grows = found[bare]["fall over the second half"] / max(abs(found[bare]["loss"]), 1e-9)
    settled = abs(found[noisy]["fall over the second half"]) / abs(found[noisy]["least loss"])
    diverges = "keeps falling" if grows > 0.05 else "does not keep falling"
    trains = "settles" if settled < 0.05 else "has not settled"
    report.finding(
        f"**Data on a curve.** On the bare ring the loss {diverges}, to {_signed(found[bare]['loss'])} after "
        f"{config.ring_steps} steps; with noise {noisy:g} it {trains} at {_signed(found[noisy]['loss'], 1)}, where no "
        f"score can go below {_signed(found[noisy]['least loss'], 1)}, with a relative error of "
        f"{found[noisy]['relative error']:.0%}."
    )


def _signed(value: float, decimals: int = 0) -> str:
    return f"{value:,.{decimals}f}".replace("-", "−")
