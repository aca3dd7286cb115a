"""The generative adversarial network."""

from typing import Any

import jax
import jax.numpy as jnp

from experiments.kit.adversarial import Rates
from experiments.kit.training import initial_parameters
from experiments.trilemma.config import Config
from experiments.trilemma.data import Data
from experiments.trilemma.family import Family, Game, Way
from jaxgen.gan import adversarial_objectives, lazy, non_saturating, r1
from jaxgen.nets import DCGANCritic, DCGANGenerator


def family(config: Config, data: Data) -> Family:
    """A DCGAN with the non-saturating loss and R1."""
    generator, critic = DCGANGenerator(data.shape, config.gan_channels), DCGANCritic(config.critic_channels)

    def fake(key: jax.Array, params: Any, x: jax.Array) -> jax.Array:
        return generator.apply(params, jax.random.normal(key, (len(x), config.latents)))

    def initial(seed: int) -> tuple[Any, Any]:
        z, x = jnp.zeros((1, config.latents)), jnp.zeros((1, *data.shape))
        return initial_parameters(generator, seed, z), initial_parameters(critic, seed + 1, x)

    def draw(params: Any, keys: jax.Array) -> jax.Array:
        return generator.apply(params, jax.vmap(lambda key: jax.random.normal(key, (config.latents,)))(keys))

    penalties = {"r1": lazy(r1(config.gamma), config.penalty_every)} if config.gamma else {}
    return Family(
        title="GAN",
        networks=("generator", "critic"),
        training=Game(
            initial,
            adversarial_objectives(fake, critic.apply, non_saturating(), penalties=penalties),
            Rates(config.gan_learning_rate, config.gan_learning_rate),
        ),
        ways={"GAN": Way(draw, 1, "StyleGAN2")},
    )
