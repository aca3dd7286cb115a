"""The networks of both models, and their trainings."""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from experiments.kit import autoencoder
from experiments.kit.adversarial import Rates, game_optimizers, train_game
from experiments.kit.autoencoder import Autoencoder
from experiments.kit.run import BadInput, Run
from experiments.kit.training import initial_parameters
from experiments.vae_gan.config import Config
from experiments.vae_gan.data import Data
from jaxgen.distributions.likelihoods import discretised_logistic
from jaxgen.gan import AdversarialObjectives, adversarial_objectives, lazy, non_saturating, r1
from jaxgen.nets import ConvDecoder, ConvEncoder, DCGANCritic, DCGANGenerator
from jaxgen.training import History

FOLLOWED = 512  # images on which losses are followed
SEEDS = 10  # from one repetition's seed to the next: a repetition has several


class Networks(NamedTuple):
    """The networks of both models."""

    vae: Autoencoder
    generator: DCGANGenerator
    critic: DCGANCritic


class Game(NamedTuple):
    """The losses of both players, and their optimisers."""

    objectives: AdversarialObjectives
    optimizers: tuple[optax.GradientTransformation, ...]


class Trained(NamedTuple):
    """Both models of one repetition.

    Attributes:
        vae: parameters of encoder and decoder.
        vae_history: the history of its losses.
        generator: parameters of the GAN's generator.
        critic: parameters of the GAN's own discriminator.
        gan_history: the history of its losses.
    """

    vae: Any
    vae_history: History
    generator: Any
    critic: Any
    gan_history: History


def build(config: Config, data: Data) -> Networks:
    """The networks; raises BadInput for images that they do not take, before a run begins."""
    shape = data.train.images.shape[1:]
    encoder, decoder = (
        ConvEncoder(config.latents, config.hidden),
        ConvDecoder(shape, config.hidden, learned_scale=True),
    )
    nets = Networks(
        Autoencoder(encoder, decoder, discretised_logistic(config.levels)),
        DCGANGenerator(shape, config.channels),
        DCGANCritic(config.critic_channels),
    )
    try:
        jax.eval_shape(encoder.init, jax.random.key(0), data.train.images[:1])
    except ValueError as error:
        raise BadInput(str(error)) from error
    return nets


def seed_of(config: Config, repetition: int) -> int:
    """The first seed of a repetition."""
    return config.seed + SEEDS * repetition


def train(run: Run[Config], nets: Networks, data: Data) -> list[Trained]:
    """Both models of every repetition: first all VAEs and then all GANs, so that each is compiled once."""
    repetitions, game = range(run.config.repetitions), make_game(run.config, nets)
    vaes = [train_vae(run, nets, data, repetition) for repetition in repetitions]
    gans = [train_gan(run, nets, game, data, repetition) for repetition in repetitions]
    return [Trained(*vae, *gan) for vae, gan in zip(vaes, gans, strict=True)]


def train_vae(run: Run[Config], nets: Networks, data: Data, repetition: int) -> tuple[Any, History]:
    """A VAE, by −ELBO: its parameters and its losses."""
    seed = seed_of(run.config, repetition)
    trained = autoencoder.train(
        run, f"vae-{repetition + 1}", nets.vae, nets.vae.initial(seed, data.train.images.shape[1:]), data.train.images,
        data.held_out.images[:FOLLOWED], seed=seed, warm_up=run.config.warm_up,
    )  # fmt: skip
    return trained.params, trained.history


def make_game(config: Config, nets: Networks) -> Game:
    """The non-saturating loss with R1, and Adam for both players."""

    def fake(key: jax.Array, params: Any, x: jax.Array) -> jax.Array:
        return nets.generator.apply(params, jax.random.normal(key, (len(x), config.latents)))

    penalties = {"r1": lazy(r1(config.gamma), config.penalty_every)} if config.gamma else {}
    objectives = adversarial_objectives(fake, nets.critic.apply, non_saturating(), penalties=penalties)
    return Game(
        objectives, game_optimizers(Rates(config.gan_learning_rate, config.gan_learning_rate), config.gan_steps)
    )


def train_gan(run: Run[Config], nets: Networks, game: Game, data: Data, repetition: int) -> tuple[Any, Any, History]:
    """A GAN: its generator's averaged parameters, its critic's, and their losses.

    The critic's mean logits of training and of held-out images are followed.
    """
    config, seed = run.config, seed_of(run.config, repetition)
    x, z = jnp.zeros((1, *data.train.images.shape[1:])), jnp.zeros((1, config.latents))
    params = initial_parameters(nets.generator, seed, z), initial_parameters(nets.critic, seed + 1, x)
    followed = {
        name: jnp.asarray(of.images[:FOLLOWED]) for name, of in {"train": data.train, "held_out": data.held_out}.items()
    }
    trained = train_game(
        run, f"gan-{repetition + 1}", game.objectives, params, (data.train.images,), seed=seed,
        steps=config.gan_steps, optimizers=game.optimizers, batch_size=config.gan_batch_size,
        evaluate=lambda state: mean_logits(nets.critic, state.critic.params, followed),
    )  # fmt: skip
    return trained.generator, trained.critic, trained.history


@partial(jax.jit, static_argnums=0)
def mean_logits(net: DCGANCritic, params: Any, images: dict[str, jax.Array]) -> dict[str, jax.Array]:
    """The mean logit of each of some sets of images."""
    return {name: net.apply(params, x).mean() for name, x in images.items()}
