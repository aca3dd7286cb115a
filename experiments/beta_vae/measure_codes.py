"""Codes of images, and pictures of what a code has learned."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from experiments.beta_vae.data import Data, pixels
from experiments.kit.autoencoder import Autoencoder, Trained
from jaxgen.data import DSprites

SHOWN = 12  # images in a row, and dimensions in a traversal
VALUES = np.linspace(-2.5, 2.5, 11)  # of a dimension in a traversal


class Codes(NamedTuple):
    """Means and standard deviations of q(z|x), each (n, latents)."""

    mean: np.ndarray
    std: np.ndarray

    @property
    def kl(self) -> np.ndarray:
        """KL to N(0, 1) by dimension, the mean over images, in nats."""
        return 0.5 * np.mean(self.mean**2 + self.std**2 - 1 - 2 * np.log(self.std), axis=0)

    @property
    def order(self) -> np.ndarray:
        """The dimensions by falling KL."""
        return np.argsort(-self.kl, kind="stable")


class Pictures(NamedTuple):
    """What one model makes of images and codes; images have values in [0, 1].

    Attributes:
        reconstructions: mean images of the mean codes of the first held-out images, (12, h, w, 1).
        samples: mean images of codes from the prior, (12, h, w, 1).
        kl: KL of the dimensions of the traversal in nats, falling, (k,).
        traversal: images of one code in which one dimension takes each of `VALUES`, (k, 11, h, w, 1).
        position_kl: KL of all dimensions on the images of `places`, falling, (latents,).
        by_position: mean code of each dimension at each position, (latents, y, x).
        points: mean codes of `places` in the two dimensions with the most KL, every second one, (n, 2).
    """

    reconstructions: np.ndarray
    samples: np.ndarray
    kl: np.ndarray
    traversal: np.ndarray
    position_kl: np.ndarray
    by_position: np.ndarray
    points: np.ndarray


def places(images: DSprites) -> DSprites:
    """The three shapes of one scale and orientation at all positions in x, and those in y that the images have."""
    down = np.unique(images.factors[:, -1])
    return DSprites(size=images.size, average=images.average).subset(scale=3, orientation=0, y=down)


def pictures(model: Trained, data: Data) -> Pictures:
    """Reconstructions, samples, traversals and codes by position of one model."""
    codes = encode(model, data.held_out.take(slice(512)))
    shown, k = codes.order[:SHOWN], len(codes.order[:SHOWN])
    moved = np.tile(codes.mean[0], (k, len(VALUES), 1))
    for row, dim in enumerate(shown):
        moved[row, :, dim] = VALUES
    keys = jax.random.split(jax.random.key(7), SHOWN)
    drawn = _draw(
        model.autoencoder, model.params, keys, np.concatenate([codes.mean[:SHOWN], moved.reshape(k * len(VALUES), -1)])
    )
    samples, reconstructions, traversal = np.split(np.asarray(drawn), [SHOWN, 2 * SHOWN])

    everywhere = places(data.train)
    at_places = encode(model, everywhere)
    shape = (3, -1, len(np.unique(everywhere.factors[:, -1])), at_places.mean.shape[-1])
    by_position = at_places.mean.reshape(shape).mean(0).transpose(2, 1, 0)  # mean over the shapes: (latents, y, x)
    return Pictures(
        reconstructions=reconstructions,
        samples=samples,
        kl=codes.kl[shown],
        traversal=traversal.reshape(k, len(VALUES), *traversal.shape[1:]),
        position_kl=at_places.kl[at_places.order],
        by_position=by_position[at_places.order],
        points=at_places.mean[::2, at_places.order[:2]],
    )


def encode(model: Trained, images: DSprites) -> Codes:
    """The codes of a whole set, in batches."""
    moments = in_batches(partial(_moments, model.autoencoder.encoder, model.params["encoder"]), images)
    return Codes(*np.split(moments, 2, axis=-1))


def in_batches(function: Callable[[jax.Array], jax.Array], images: DSprites, batch_size: int = 256) -> np.ndarray:
    """function(x), (b, d), of all images x in [0, 1], in batches of one size, the last filled up with the last image.

    `jaxgen.metrics.apply_in_batches` would compile anew for each model, whose parameters the function holds.
    """
    batches = []
    for start in range(0, len(images), batch_size):
        rows = np.minimum(np.arange(start, start + batch_size), len(images) - 1)
        batches.append(np.asarray(function(pixels(images, jnp.asarray(images.codes[rows])))))
    return np.concatenate(batches)[: len(images)]


@partial(jax.jit, static_argnums=0)
def _moments(encoder: nn.Module, params: Any, x: jax.Array) -> jax.Array:
    posterior = encoder.apply(params, x)
    return jnp.concatenate([posterior.mean, posterior.std], axis=-1)


@partial(jax.jit, static_argnums=0)
def _draw(autoencoder: Autoencoder, params: Any, keys: jax.Array, z: jax.Array) -> jax.Array:
    """Mean images of codes from the prior, one per key, and of the codes z (n, latents)."""
    prior = autoencoder.model(params).prior
    drawn = jax.vmap(lambda key: prior.sample(key, (1, z.shape[-1]))[0])(keys)
    return autoencoder.image(params, jnp.concatenate([drawn, z]))
