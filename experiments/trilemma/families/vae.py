"""The variational autoencoder."""

from typing import Any

import jax
import jax.numpy as jnp

from experiments.kit.autoencoder import Autoencoder
from experiments.trilemma.config import Config
from experiments.trilemma.data import Data, as_floats
from experiments.trilemma.family import Family, Likelihood, Network, Way
from jaxgen.distributions.likelihoods import discretised_logistic
from jaxgen.nets import ConvDecoder, ConvEncoder
from jaxgen.vae import importance_weighted_bound, vae_loss

WARM_UP = 200  # steps in which β rises to 1


def family(config: Config, data: Data) -> Family:
    """A VAE trained by the ELBO. Its images are decoder means of codes drawn from N(0, I)."""
    nets = Autoencoder(
        ConvEncoder(config.latents, config.hidden),
        ConvDecoder(data.shape, config.hidden, learned_scale=True),
        discretised_logistic(data.levels),
    )

    def loss(key: jax.Array, params: Any, integers: jax.Array, step: jax.Array) -> tuple[jax.Array, dict, dict]:
        beta = jnp.minimum(1.0, (step + 1) / WARM_UP)
        losses, metrics = vae_loss(key, nets.model(params), as_floats(integers, data.levels), beta=beta)
        return losses, metrics, {"step": step + 1}

    def draw(params: Any, keys: jax.Array) -> jax.Array:
        z = jax.vmap(lambda key: jax.random.normal(key, (config.latents,)))(keys)
        return nets.image(params, z)

    def bound(params: Any, key: jax.Array, integers: jax.Array) -> jax.Array:
        x, samples = as_floats(integers, data.levels), config.importance_samples
        return importance_weighted_bound(key, nets.model(params), x, samples=samples, block=min(16, samples))

    def encode(params: Any, integers: jax.Array) -> jax.Array:
        return nets.model(params).encode(as_floats(integers, data.levels)).mean

    return Family(
        title="VAE",
        networks=("encoder", "decoder"),
        training=Network(
            lambda seed: nets.initial(seed, data.shape), loss, config.learning_rate, {"step": jnp.zeros((), int)}
        ),
        ways={"VAE": Way(draw, 1, "NVAE")},
        likelihood=Likelihood("bound", bound),
        encode=encode,
    )
