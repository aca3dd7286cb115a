"""The two models of images: a denoising diffusion GAN and a diffusion model, and their trainings."""

from functools import partial
from typing import Any, NamedTuple

import jax.numpy as jnp

from experiments.diffusion_gan.config import Config
from experiments.kit import images, score_model
from experiments.kit.adversarial import Rates, TrainedGame, game_optimizers, train_game
from experiments.kit.chains import scaled_linear
from experiments.kit.images import Images
from experiments.kit.run import Run
from experiments.kit.score_model import Model
from experiments.kit.training import initial_parameters
from jaxgen.data import to_uint8
from jaxgen.diffusion import Denoiser, GaussianProcess, denoiser
from jaxgen.gan import ddgan_process, denoising_objectives, lazy, non_saturating, r1
from jaxgen.nets import DenoisingCritic, DenoisingGenerator, UNet

DDGAN, DDPM = "DDGAN", "DDPM"


class Networks(NamedTuple):
    """The networks of both models: the U-Nets have the same channels."""

    generator: DenoisingGenerator
    critic: DenoisingCritic
    unet: UNet


class ImageModels(NamedTuple):
    """Both trained models.

    Attributes:
        generator: the DDGAN's network of (x, t, z).
        process: its chain of a few steps.
        game: its trained parameters and its losses.
        diffusion: the diffusion model, with DDPM's chain.
    """

    generator: DenoisingGenerator
    process: GaussianProcess
    game: TrainedGame
    diffusion: Model

    def ddgan(self, params: Any) -> Denoiser:
        """The DDGAN with these parameters as a denoiser."""
        return denoiser(self.process, partial(self.generator.apply, params), predicts="x0")


def build(config: Config, data: Images) -> Networks:
    """The networks; raises BadInput for images that they do not take, before a run begins."""
    unet = {"channels": config.channels, "multipliers": config.multipliers, "blocks": config.blocks}
    return Networks(
        DenoisingGenerator(**unet, mapping_features=config.mapping, dtype=config.compute["dtype"]),
        DenoisingCritic(config.critic_channels, 4 * config.critic_channels, config.minibatch_group),
        images.fitting(config.unet(), data),
    )


def train(run: Run[Config], nets: Networks, data: Images) -> ImageModels:
    """Train both models."""
    config = run.config
    process = ddgan_process(config.denoising_steps)
    game = _train_ddgan(run, nets, process, data)
    diffusion = score_model.train(
        run, f"images/{DDPM}", nets.unet, None, config.steps, config.seed, to_uint8(data.train.images),
        jnp.asarray(to_uint8(data.held_out.images[:256])),
    )  # fmt: skip
    return ImageModels(nets.generator, process, game, diffusion._replace(process=scaled_linear(config.timesteps)))


def _train_ddgan(run: Run[Config], nets: Networks, process: GaussianProcess, data: Images) -> TrainedGame:
    """Both players of the DDGAN, by the non-saturating loss with lazy R1 in x_s, as in the paper."""
    config = run.config
    penalties = {"r1": lazy(r1(config.gamma), config.penalty_every, scaled=False)} if config.gamma else {}
    objectives = denoising_objectives(
        process, nets.generator.apply, nets.critic.apply, non_saturating(), latent_size=config.latents,
        penalties=penalties,
    )  # fmt: skip
    x, t, z = jnp.zeros((1, *data.train.images.shape[1:])), jnp.zeros(1), jnp.zeros((1, config.latents))
    params = (
        initial_parameters(nets.generator, config.seed, x, t, z),
        initial_parameters(nets.critic, config.seed + 1, x, x, t),
    )
    return train_game(
        run, f"images/{DDGAN}", objectives, params, (data.train.images,), seed=config.seed, steps=config.gan_steps,
        optimizers=game_optimizers(Rates(config.generator_rate, config.critic_rate), config.gan_steps),
        batch_size=config.gan_batch_size,
    )  # fmt: skip
