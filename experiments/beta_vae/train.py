"""The networks of the β-VAE exercise and their training."""

from functools import partial

from experiments.beta_vae.config import Config
from experiments.beta_vae.data import Data, pixels
from experiments.kit import autoencoder
from experiments.kit.autoencoder import Autoencoder, Trained
from experiments.kit.run import Run
from jaxgen.distributions.likelihoods import bernoulli
from jaxgen.nets import ConvDecoder, ConvEncoder, MLPDecoder, MLPEncoder

Models = dict[float, list[Trained]]  # by β, one for each seed


def networks(config: Config, shape: tuple[int, ...]) -> Autoencoder:
    """Encoder and decoder of images of a shape, with values in [0, 1]."""
    if config.network == "conv":
        return Autoencoder(ConvEncoder(config.latents), ConvDecoder(shape), bernoulli())
    hidden = (config.width, config.width)
    return Autoencoder(MLPEncoder(config.latents, hidden), MLPDecoder(shape, hidden, "relu"), bernoulli())


def train(run: Run[Config], data: Data) -> Models:
    """Train a VAE for each β and seed by −E log p(x|z) + β KL."""
    config, shape = run.config, (run.config.size, run.config.size, 1)
    nets = networks(config, shape)

    def trained(beta: float, seed: int) -> Trained:
        return autoencoder.train(
            run, f"beta-{beta:g}-seed-{seed}", nets, nets.initial(seed, shape), data.train.codes,
            data.held_out.codes[:512], seed=seed, beta=beta * (config.size / 64) ** 2,
            images=partial(pixels, data.train), decay=config.schedule, clip=config.clip,
        )  # fmt: skip

    # each β has the same first parameters and batches
    seeds = range(config.seed, config.seed + config.seeds)
    return {beta: [trained(beta, seed) for seed in seeds] for beta in config.betas}
