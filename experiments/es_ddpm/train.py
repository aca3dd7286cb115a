"""The VAE and the diffusion model of the ES-DDPM exercise, and their training."""

from typing import Any, NamedTuple

import flax.linen as nn
import jax.numpy as jnp

from experiments.es_ddpm.config import Config
from experiments.kit import autoencoder, images, score_model
from experiments.kit.autoencoder import Autoencoder, Trained
from experiments.kit.chains import scaled_linear
from experiments.kit.images import Images
from experiments.kit.launch import reading_data
from experiments.kit.run import BadInput, Run
from experiments.kit.score_model import Model
from jaxgen.data import to_uint8
from jaxgen.nets import ConvDecoder, ConvEncoder

FOLLOWED = 256  # held-out images whose loss is followed


class Networks(NamedTuple):
    """Both networks, and the first parameters of the VAE."""

    denoiser: nn.Module
    vae: Autoencoder
    vae_params: dict[str, Any]


def build(config: Config, data: Images) -> Networks:
    """Both networks; raises BadInput if one does not take images of this shape, or the VAE's batch is too large."""
    shape = data.train.images.shape[1:]
    if config.vae_batch_size > len(data.train):
        raise BadInput(
            f"--vae-batch-size {config.vae_batch_size} exceeds the {len(data.train)} training images: lower it"
        )
    denoiser = images.fitting(config.build_network(), data)
    vae = Autoencoder(ConvEncoder(config.latents), ConvDecoder(shape, learned_scale=True))
    with reading_data():
        return Networks(denoiser, vae, vae.initial(config.seed, shape))


def train_vae(run: Run[Config], networks: Networks, data: Images) -> Trained:
    """Train the VAE by its evidence lower bound."""
    config = run.config
    return autoencoder.train(
        run, "vae", networks.vae, networks.vae_params, data.train.images, data.held_out.images[:FOLLOWED],
        seed=config.seed, steps=config.vae_steps, batch_size=config.vae_batch_size,
    )  # fmt: skip


def train_diffusion(run: Run[Config], networks: Networks, data: Images) -> Model:
    """Train the diffusion model by EDM's objective; return it as a model of the chain, which has the same scores."""
    config = run.config
    trained = score_model.train(
        run, "score", networks.denoiser, None, config.steps, config.seed, to_uint8(data.train.images),
        jnp.asarray(to_uint8(data.held_out.images[:FOLLOWED])),
    )  # fmt: skip
    return trained._replace(process=scaled_linear(config.timesteps))
