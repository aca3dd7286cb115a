"""Discriminators trained afresh for every comparison: real images against others, on images that no generator saw."""

from functools import partial
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
from scipy.optimize import minimize_scalar

from jaxgen.metrics import TwoSampleTest, classifier_two_sample_test
from jaxgen.training import update_ema

EVALUATIONS = 20  # of the validation loss in a training
DECAY = 0.98  # of the averaged parameters


class Pair(NamedTuple):
    """As many real images as others, both (n, h, w, c) in [−1, 1]."""

    real: np.ndarray
    fake: np.ndarray


class Fold(NamedTuple):
    """Disjoint parts: one to train on, one to choose the step and the temperature with, and one to test on."""

    train: Pair
    validation: Pair
    test: Pair


class Discriminator(NamedTuple):
    """A discriminator and how it is trained.

    Attributes:
        name: for tables.
        net: maps images (b, h, w, c) to logits (b,).
        noise: standard deviation of Gaussian noise on all that it sees, in training and in tests.
        steps: training steps.
        batch_size: images of each kind in a batch.
        learning_rate: the largest, which falls to 0 along a cosine.
    """

    name: str
    net: nn.Module
    noise: float
    steps: int
    batch_size: int
    learning_rate: float

    def test(self, seed: int, fold: Fold) -> TwoSampleTest:
        """Train from a seed, calibrate, and test on images that neither saw."""
        noisy = _with_noise(seed, fold, self.noise)
        params = _train(
            self.net, self.steps, self.batch_size, self.learning_rate, self.noise, jax.random.key(seed), fold.train,
            noisy.validation,
        )  # fmt: skip
        logits = partial(_logits, self.net, params)
        slope = calibrating_slope(logits(noisy.validation))
        return classifier_two_sample_test(*(slope * of for of in logits(noisy.test)))


def folds(real: np.ndarray, fake: np.ndarray, count: int, index: int) -> Fold:
    """The images in `count` parts: number `index` to test on, the next for validation, and the others to train on.

    Image i of both kinds lies in the same part, so that an image and its reconstruction do too.
    """
    size = min(len(real), len(fake)) // count
    parts = [slice(i * size, (i + 1) * size) for i in range(count)]
    others = [i for i in range(count) if i not in (index, (index + 1) % count)]

    def pair(indices: list[int]) -> Pair:
        return Pair(*(np.concatenate([images[parts[i]] for i in indices]) for images in (real, fake)))

    return Fold(pair(others), pair([(index + 1) % count]), pair([index]))


def calibrating_slope(logits: Pair) -> float:
    """The slope in [0, 1] by which logits are multiplied to have the least cross-entropy (Guo et al. 2017)."""

    def cross_entropy(slope: float) -> float:
        return float(np.mean(np.logaddexp(0, -slope * logits.real) + np.logaddexp(0, slope * logits.fake)))

    return float(minimize_scalar(cross_entropy, bounds=(0, 1), method="bounded").x)


def _with_noise(seed: int, fold: Fold, noise: float) -> Fold:
    if not noise:
        return fold
    rng = np.random.default_rng(seed)
    return jax.tree.map(lambda x: x + np.float32(noise) * rng.standard_normal(x.shape, np.float32), fold)


def _logits(net: nn.Module, params: Any, pair: Pair) -> Pair:
    return Pair(*(np.asarray(_apply(net, params, x), np.float64) for x in pair))


@partial(jax.jit, static_argnums=0)
def _apply(net: nn.Module, params: Any, x: jax.Array) -> jax.Array:
    return net.apply(params, x)


@partial(jax.jit, static_argnums=(0, 1, 2))
def _train(
    net: nn.Module, steps: int, batch_size: int, learning_rate: float, noise: float, key: jax.Array, train: Pair,
    validation: Pair,
) -> Any:  # fmt: skip
    """The averaged parameters at the evaluation with the least cross-entropy on the validation images."""
    optimizer = optax.adamw(optax.cosine_decay_schedule(learning_rate, steps), weight_decay=1e-2)
    init_key, train_key = jax.random.split(key)
    params = net.init(init_key, train.real[:1])

    def cross_entropy(params: Any, pair: Pair) -> jax.Array:
        real, fake = (net.apply(params, x) for x in pair)
        return jnp.mean(jax.nn.softplus(-real) + jax.nn.softplus(fake))

    def step(i: jax.Array, state: tuple) -> tuple:
        params, average, moments = state
        keys = jax.random.split(jax.random.fold_in(train_key, i), 4)
        rows = (jax.random.randint(key, (batch_size,), 0, len(x)) for key, x in zip(keys, train, strict=False))
        batch = [x[index] for x, index in zip(train, rows, strict=True)]
        batch = Pair(*(x + noise * jax.random.normal(key, x.shape) for key, x in zip(keys[2:], batch, strict=True)))
        updates, moments = optimizer.update(jax.grad(cross_entropy)(params, batch), moments, params)
        params = optax.apply_updates(params, updates)
        return params, update_ema(average, params, DECAY), moments

    def stretch(i: jax.Array, carry: tuple) -> tuple:
        state, best, least = carry
        ends = i * steps // EVALUATIONS, (i + 1) * steps // EVALUATIONS
        state = jax.lax.fori_loop(*ends, step, state)
        found = cross_entropy(state[1], validation)
        best = jax.tree.map(lambda new, old: jnp.where(found < least, new, old), state[1], best)
        return state, best, jnp.minimum(found, least)

    first = (params, params, optimizer.init(params)), params, jnp.inf
    return jax.lax.fori_loop(0, EVALUATIONS, stretch, first)[1]
