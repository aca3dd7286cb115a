"""Data on a ring: the exact score and the least loss under noise, and the training of a score."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from scipy import special

from experiments.kit.run import Run
from experiments.kit.toy_training import Fit, ScoreNet, Training, initial
from experiments.ncsn_toy.config import Config
from jaxgen.data import ring
from jaxgen.score_matching import sliced

JUST_OUTSIDE = 1.05  # a radius at which the length of a learned score is followed


@jax.jit
def ring_score(x: jax.Array, noise: float) -> jax.Array:
    """The score (n, 2) of a ring of radius 1 with noise s: x/r (I₁(r/s²)/I₀(r/s²) − r)/s², for r > 0.

    The density is exp(−(r² + 1)/2s²) I₀(r/s²)/2πs².
    """
    radius = jnp.linalg.norm(x, axis=-1, keepdims=True)
    ratio = jax.scipy.special.i1e(radius / noise**2) / jax.scipy.special.i0e(radius / noise**2)
    return x / radius * (ratio - radius) / noise**2


def least_loss(noise: float) -> float:
    """The least value of sliced and implicit score matching on the ring: −½ E‖∇log q‖², −∞ without noise."""
    if not noise:
        return -np.inf
    radius = np.linspace(max(1e-6, 1 - 12 * noise), 1 + 12 * noise, 4001)
    z = radius / noise**2
    density = z * np.exp(-((radius - 1) ** 2) / (2 * noise**2)) * special.i0e(z)
    score = np.asarray(ring_score(jnp.asarray(np.stack([radius, 0 * radius], -1)), noise))[:, 0]
    return -0.5 * float(np.sum(density * score**2) / np.sum(density))


def train_ring(run: Run[Config], net: ScoreNet) -> dict[float, list[Fit]]:
    """Sliced score matching on the ring with each noise, for every seed; "pull" is the score's length outside it."""
    config, probe = run.config, JUST_OUTSIDE * ring(jax.random.key(run.config.seed + 7), 2000)

    def loss(key, params, noise):
        data_key, loss_key = jax.random.split(key)
        x = ring(data_key, config.batch_size, noise=noise)
        return sliced(loss_key, partial(net.apply, params), x)

    def follow(params, noise):
        return {"pull": jnp.sqrt(jnp.mean(jnp.sum(net.apply(params, probe) ** 2, -1)))}

    train = Training(
        loss, steps=config.ring_steps, learning_rate=config.learning_rate, follow=follow, points=60,
        progress=config.progress,
    )  # fmt: skip
    keys = jax.random.split(jax.random.key(config.seed + 70), config.seeds)

    def fits(noise: float) -> list[Fit]:
        return [train(key, initial(net, key), jnp.float32(noise)) for key in keys]

    return {noise: run.stage(f"ring/{noise:g}", partial(fits, noise)) for noise in config.ring_noises}
