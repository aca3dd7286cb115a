"""The denoising diffusion GAN."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from experiments.kit.adversarial import Rates
from experiments.kit.training import initial_parameters
from experiments.trilemma.config import Config
from experiments.trilemma.data import Data
from experiments.trilemma.family import Family, Game, Way
from jaxgen.diffusion import denoiser, uniform_grid
from jaxgen.gan import ddgan, ddgan_process, denoising_objectives, lazy, non_saturating, r1
from jaxgen.nets import DenoisingCritic, DenoisingGenerator
from jaxgen.samplers import sample

PENALTY_EVERY = 15  # updates of the critic from one R1 to the next, as in the paper, which does not scale it


def family(config: Config, data: Data) -> Family:
    """A diffusion model of a few steps whose generator, a U-Net with a latent, is trained against a critic."""
    process = ddgan_process(config.denoising_steps)
    unet = {"channels": config.channels, "multipliers": config.multipliers, "blocks": config.blocks}
    if len(config.multipliers) == 1:
        unet["attention_levels"] = ()
    generator = DenoisingGenerator(**unet, mapping_features=config.mapping, dtype=config.compute["dtype"])
    critic = DenoisingCritic(config.denoising_critic_channels, 4 * config.denoising_critic_channels)

    def initial(seed: int) -> tuple[Any, Any]:
        x, t, z = jnp.zeros((1, *data.shape)), jnp.zeros(1), jnp.zeros((1, config.latents))
        return initial_parameters(generator, seed, x, t, z), initial_parameters(critic, seed + 1, x, x, t)

    def draw(params: Any, keys: jax.Array) -> jax.Array:
        denoise = denoiser(process, partial(generator.apply, params), predicts="x0")
        times = uniform_grid(config.denoising_steps)
        return sample(keys, process, denoise, ddgan(config.latents), times, data.shape)

    penalties = {"r1": lazy(r1(config.gamma), PENALTY_EVERY, scaled=False)} if config.gamma else {}
    objectives = denoising_objectives(
        process, generator.apply, critic.apply, non_saturating(), latent_size=config.latents, penalties=penalties
    )
    return Family(
        title="DDGAN",
        networks=("generator", "critic"),
        training=Game(initial, objectives, Rates(config.gan_learning_rate, config.gan_learning_rate)),
        ways={f"DDGAN-{config.denoising_steps}": Way(draw, config.denoising_steps, "DDGAN")},
    )
