"""Convolutional networks whose codes keep places, for VQ-VAE and SC-VAE."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from experiments.kit.training import initial_parameters
from experiments.vae_zoo.config import Config
from experiments.vae_zoo.data import Data
from jaxgen.distributions import Gaussian
from jaxgen.nets import SpatialDecoder, SpatialEncoder


class Spatial(NamedTuple):
    """An encoder to a vector e for each place, and a decoder from such vectors.

    Attributes:
        encoder: maps images (b, h, w, c) to e (b, *places, channels).
        decoder: maps e to the parameters of the likelihood.
        shape: shape of an image.
        places: (height, width) of the grid of places.
    """

    encoder: SpatialEncoder
    decoder: SpatialDecoder
    shape: tuple[int, ...]
    places: tuple[int, int]

    def initial(self, seed: int) -> dict[str, Any]:
        """First parameters."""
        return {
            "encoder": initial_parameters(self.encoder, seed, jnp.zeros((1, *self.shape))),
            "decoder": initial_parameters(self.decoder, seed + 1, jnp.zeros((1, *self.places, self.encoder.channels))),
        }

    def encode(self, params: Any, x: jax.Array) -> jax.Array:
        """e of images."""
        return self.encoder.apply(params["encoder"], x)

    def decode(self, params: Any, e: jax.Array) -> Gaussian:
        """The parameters of the likelihood, of e."""
        return self.decoder.apply(params["decoder"], e)

    def image(self, params: Any, e: jax.Array) -> jax.Array:
        """The mean images of e, in [−1, 1]."""
        return jnp.clip(self.decode(params, e).mean, -1, 1)


def spatial(config: Config, data: Data) -> Spatial:
    """The networks that VQ-VAE and SC-VAE both use."""
    height, width, channels = shape = data.train.images.shape[1:]
    sizes = {"stages": config.halvings, "width": config.width, "blocks": config.blocks}
    return Spatial(
        SpatialEncoder(config.channels, **sizes),
        SpatialDecoder(channels, **sizes, learned_scale=True),
        shape,
        (height >> config.halvings, width >> config.halvings),
    )
