"""The two models of images: a diffusion model, and a denoising diffusion GAN whose generator begins as that model."""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from experiments.diffusion_gan.config import Config
from experiments.kit import images, score_model
from experiments.kit.adversarial import Rates, TrainedGame, game_optimizers, train_game
from experiments.kit.chains import scaled_linear
from experiments.kit.images import Images
from experiments.kit.run import Run
from experiments.kit.score_model import Model
from experiments.kit.training import apply_network, initial_parameters
from jaxgen.data import to_uint8
from jaxgen.diffusion import Denoiser, GaussianProcess, Network, denoiser, edm_preconditioning
from jaxgen.gan import ddgan_process, denoising_objectives, lazy, non_saturating, r1
from jaxgen.nets import DenoisingCritic, UNet

DDGAN, DDPM = "DDGAN", "DDPM"


class Networks(NamedTuple):
    """The networks of both models: the generator is the diffusion model's U-Net with a latent."""

    generator: UNet
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

    generator: UNet
    process: GaussianProcess
    game: TrainedGame
    diffusion: Model

    def ddgan(self, params: Any) -> Denoiser:
        """The DDGAN with these parameters as a denoiser."""
        network = generate(self.generator, self.process, self.diffusion.sigma_data, params)
        return denoiser(self.process, network, predicts="x0")


def generate(net: UNet, process: GaussianProcess, sigma_data: float, params: Any) -> Network:
    """The generator (x_t, t, z) -> x0: the U-Net with the diffusion model's preconditioning."""
    return edm_preconditioning(process, partial(apply_network, net, params), sigma_data)


def build(config: Config, data: Images) -> Networks:
    """The networks; raises BadInput for images that they do not take, before a run begins."""
    return Networks(
        config.unet(cond_dim=config.latents),
        DenoisingCritic(config.critic_channels, 4 * config.critic_channels, config.minibatch_group),
        images.fitting(config.unet(), data),
    )


def train(run: Run[Config], nets: Networks, data: Images) -> ImageModels:
    """Train the diffusion model, and the DDGAN from it."""
    config = run.config
    process = ddgan_process(config.denoising_steps)
    diffusion = score_model.train(
        run, f"images/{DDPM}", nets.unet, None, config.steps, config.seed, to_uint8(data.train.images),
        jnp.asarray(to_uint8(data.held_out.images[:256])),
    )  # fmt: skip
    game = _train_ddgan(run, nets, process, diffusion, data)
    return ImageModels(nets.generator, process, game, diffusion._replace(process=scaled_linear(config.timesteps)))


def _train_ddgan(
    run: Run[Config], nets: Networks, process: GaussianProcess, diffusion: Model, data: Images
) -> TrainedGame:
    """Both players of the DDGAN, by the non-saturating loss with lazy R1 in x_s, as in the paper."""
    config = run.config
    penalties = {"r1": lazy(r1(config.gamma), config.penalty_every, scaled=False)} if config.gamma else {}

    def generator(params: Any, x_t: jax.Array, t: jax.Array, z: jax.Array) -> jax.Array:
        return generate(nets.generator, process, diffusion.sigma_data, params)(x_t, t, z)

    objectives = denoising_objectives(
        process, generator, nets.critic.apply, non_saturating(), latent_size=config.latents, penalties=penalties
    )
    x, t, z = jnp.zeros((1, *data.train.images.shape[1:])), jnp.zeros(1), jnp.zeros((1, config.latents))
    params = (
        beginning_as(diffusion.params, initial_parameters(nets.generator, config.seed, x, t, z)),
        initial_parameters(nets.critic, config.seed + 1, x, x, t),
    )
    return train_game(
        run, f"images/{DDGAN}", objectives, params, (data.train.images,), seed=config.seed, steps=config.gan_steps,
        optimizers=game_optimizers(Rates(config.generator_rate, config.critic_rate), config.gan_steps),
        batch_size=config.gan_batch_size,
    )  # fmt: skip


def beginning_as(trained: Any, params: Any) -> Any:
    """The generator's first parameters, with which it is the trained diffusion model whatever the latent.

    Args:
        trained: parameters of the U-Net without a latent.
        params: random parameters of the U-Net with one. Its layers are kept, but the last of them begins at zero.
    """
    inner, known = params["params"], trained["params"]
    first, last = (inner["embedding"]["condition"][name] for name in ("Dense_0", "Dense_1"))
    condition = {"Dense_0": first, "Dense_1": jax.tree.map(jnp.zeros_like, last)}
    return {"params": {**known, "embedding": {**known["embedding"], "condition": condition}}}
