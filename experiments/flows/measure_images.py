"""Flows of images: bits per dimension, samples at temperatures, and interpolations between images."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np

from experiments.flows.config import Config
from experiments.flows.data import Data
from experiments.flows.train import Model
from experiments.kit.great_circle import great_circle
from experiments.kit.levels import as_images, as_integers
from jaxgen import flows
from jaxgen.distributions import Distribution
from jaxgen.metrics import MeanAndError, bits_per_dim, mean_and_error

SHOWN, ROWS, PLACES = 10, 4, 9  # samples of a temperature, pairs, and images of an interpolation


class ImageResults(NamedTuple):
    """What a flow of images knows and draws; images are in [−1, 1].

    Attributes:
        dims: numbers of an image.
        uniform: log₂ levels, the bits of a density that knows nothing.
        bits: bits per dimension of held-out images, with one draw of uniform noise.
        tight: with many draws.
        train_bits: of training images, with one draw.
        data: training images (n, h, w, c).
        samples: (temperatures, n, h, w, c).
        interpolations: (pairs, places, h, w, c), the first and the last of each being held-out images.
        parameters: number of parameters.
    """

    dims: int
    uniform: float
    bits: MeanAndError
    tight: MeanAndError
    train_bits: MeanAndError
    data: np.ndarray
    samples: np.ndarray
    interpolations: np.ndarray
    parameters: int


def image_results(config: Config, data: Data, model: Model) -> ImageResults:
    """Measure a flow of images."""
    train, held_out = (images[: config.compared] for images in data.integers)
    dims, key = int(np.prod(train.shape[1:])), jax.random.key(config.seed + 2000)

    def bits(images, samples=1):
        return mean_and_error(bits_per_dim(bound(model.flow, key, model.params, images, data.levels, samples), dims))

    return ImageResults(
        dims=dims,
        uniform=float(np.log2(data.levels)),
        bits=bits(held_out),
        tight=bits(held_out, config.draws),
        train_bits=bits(train),
        data=data.train.images[:SHOWN],
        samples=np.stack([draw(config, data, model, t, SHOWN) for t in config.temperatures]),
        interpolations=interpolations(data, model),
        parameters=model.parameters,
    )


@partial(jax.jit, static_argnames=("density", "levels", "samples"))
def bound(
    density: Callable[[Any], Distribution],
    key: jax.Array,
    params: Any,
    images: jax.Array,
    levels: int,
    samples: int = 1,
) -> jax.Array:
    """The bounds of images on the log-density of given parameters."""
    return flows.dequantised_bound(key, density(params), images, levels=levels, samples=samples)


def draw(config: Config, data: Data, model: Model, temperature: float, n: int) -> np.ndarray:
    """Samples (n, h, w, c) in [−1, 1], rounded to the levels; all temperatures have the same latents."""
    key, shape = jax.random.key(config.seed + 2001), (n, *data.train.images.shape[1:])
    y = np.asarray(_drawn(model.flow, key, model.params, np.float32(temperature), shape))
    return as_images(as_integers(2 * y - 1, data.levels), data.levels)


@partial(jax.jit, static_argnames=("flow", "shape"))
def _drawn(
    flow: Callable[[Any], flows.Flow], key: jax.Array, params: Any, temperature: jax.Array, shape: tuple[int, ...]
) -> jax.Array:
    return flows.tempered(flow(params), temperature).sample(key, shape)


def interpolations(data: Data, model: Model) -> np.ndarray:
    """Great circles between the latents of held-out images, (pairs, places, h, w, c)."""
    images = (data.integers[1][: 2 * ROWS] + 0.5) / data.levels
    bijection = model.flow(model.params).bijection
    z, _ = jax.jit(bijection.forward)(images.astype(np.float32))
    z = np.asarray(z)
    between = [great_circle(z[:ROWS], z[ROWS:], share) for share in np.linspace(0, 1, PLACES)]
    path = np.stack(between, 1).reshape(ROWS * PLACES, -1).astype(np.float32)
    y, _ = jax.jit(bijection.inverse)(path)
    shape = (ROWS, PLACES, *images.shape[1:])
    return as_images(as_integers(2 * np.asarray(y) - 1, data.levels), data.levels).reshape(shape)
