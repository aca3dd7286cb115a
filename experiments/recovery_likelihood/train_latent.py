"""VAEs of several seeds, and two energies of the latents of each: by a classifier and by maximum likelihood."""

from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments.kit import autoencoder, side_by_side
from experiments.kit.autoencoder import Autoencoder
from experiments.kit.images import Images
from experiments.kit.run import BadInput, Run
from experiments.kit.training import train_network
from experiments.recovery_likelihood.config import Config
from jaxgen import ebm
from jaxgen.distributions import standard_normal
from jaxgen.nets import ConvDecoder, ConvEncoder, EnergyMLP
from jaxgen.training import Diverged, History

FOLLOWED = 512  # images and latents on which losses are followed


class LatentModels(NamedTuple):
    """The trained VAEs, their latents, and the energies of these; parameters of energies have an axis of seeds.

    Attributes:
        vae: the networks.
        vae_params: parameters of the VAE of each seed.
        latents: draws of each encoder at the training images (n, seeds, d), the aggregate posterior.
        held_out: likewise at the held-out images.
        net: the network of the energies.
        classifier: parameters by noise-contrastive estimation.
        judge: likewise on the held-out latents; it trains no prior.
        energy: parameters by maximum likelihood.
        histories: of the first VAE, of the classifiers and of the energies.
    """

    vae: Autoencoder
    vae_params: list[Any]
    latents: np.ndarray
    held_out: np.ndarray
    net: EnergyMLP
    classifier: Any
    judge: Any
    energy: Any
    histories: dict[str, History]


def build(config: Config, data: Images) -> Autoencoder:
    """The networks; raises BadInput for images that they do not take, before a run begins."""
    encoder = ConvEncoder(config.latents, config.vae_hidden)
    try:
        jax.eval_shape(encoder.init, jax.random.key(0), data.train.images[:1])
    except ValueError as error:
        raise BadInput(str(error)) from error
    shape = data.train.images.shape[1:]
    return Autoencoder(encoder, ConvDecoder(shape, config.vae_hidden, learned_scale=True))


def train(run: Run[Config], vae: Autoencoder, data: Images) -> LatentModels:
    """Train the VAEs one after the other, and the energies of all at once."""
    config = run.config
    trained = [train_vae(run, vae, data, seed) for seed in range(config.seeds)]
    latents, held_out = run.stage(
        "latents",
        lambda: tuple(encoded(vae, [of.params for of in trained], each.images, config.seed) for each in data),
    )
    small = replace(run, config=replace(config, cores=1))
    net = EnergyMLP(config.prior_hidden)
    classify = partial(train_classifier, small, net)
    classifier, judge = classify("classifier", latents), classify("judge", held_out)
    energy = train_energy(small, net, latents)
    histories = {"VAE": trained[0].history, "classifier": classifier[1], "energy": energy[1]}
    return LatentModels(
        vae, [of.params for of in trained], latents, held_out, net, classifier[0], judge[0], energy[0], histories
    )


def train_vae(run: Run[Config], vae: Autoencoder, data: Images, seed: int) -> autoencoder.Trained:
    """The VAE of one seed, by −ELBO."""
    config = run.config
    first = config.seed + 10 * seed
    return autoencoder.train(
        run, f"latent/vae-{seed + 1}", vae, vae.initial(first, data.train.images.shape[1:]), data.train.images,
        data.held_out.images[:FOLLOWED], seed=first, warm_up=config.warm_up, steps=config.vae_steps,
        batch_size=config.vae_batch_size,
    )  # fmt: skip


def encoded(vae: Autoencoder, params: list[Any], images: np.ndarray, seed: int) -> np.ndarray:
    """A draw of each encoder at each image (n, seeds, d)."""

    @jax.jit
    def draw(params: Any, keys: jax.Array, x: jax.Array) -> jax.Array:
        return vae.encoder.apply(params, x).sample(keys)

    keys, block = jax.random.split(jax.random.key(seed + 11), len(images)), 1000
    return np.stack(
        [
            np.concatenate(
                [draw(of["encoder"], keys[i : i + block], images[i : i + block]) for i in range(0, len(images), block)]
            )
            for of in params
        ],
        axis=1,
    )


def train_classifier(run: Run[Config], net: EnergyMLP, name: str, latents: np.ndarray) -> tuple[Any, History]:
    """Energies of each seed's latents relative to N(0, I), by telling them from draws of it."""

    def loss(key: jax.Array, params: Any, batch: tuple[jax.Array]) -> tuple[jax.Array, dict[str, jax.Array]]:
        noise = jax.random.normal(key, batch[0].shape)
        return ebm.noise_contrastive_losses(lambda z: -net.apply(params, z), batch[0], noise)

    return _train(run, net, name, loss, latents)


def train_energy(run: Run[Config], net: EnergyMLP, latents: np.ndarray) -> tuple[Any, History]:
    """Energies of each seed's latents relative to N(0, I), by maximum likelihood with a replay buffer."""
    config, shape = run.config, latents.shape[2:]

    def energy(params: Any, z: jax.Array) -> jax.Array:
        return ebm.tilted(partial(net.apply, params), standard_normal())(z)

    def starts(key: jax.Array) -> ebm.ChainStarts:
        return ebm.persistent_chains(
            key, standard_normal(), shape, size=config.buffer, reinitialise=config.reinitialise
        )

    objective = ebm.maximum_likelihood(
        energy, ebm.langevin_chain(config.prior_step), starts(jax.random.key(0)), steps=config.prior_chain_steps,
        regularisation=config.prior_regularisation,
    )  # fmt: skip

    def loss(key: jax.Array, params: Any, batch: tuple[jax.Array], **carry: Any) -> tuple[jax.Array, dict, dict]:
        return objective.loss(key, params, batch[0], **carry)

    keys = jax.random.split(jax.random.key(config.seed + 12), config.seeds)
    try:
        return _train(run, net, "energy", loss, latents, jax.jit(jax.vmap(lambda key: starts(key).carry))(keys))
    except Diverged as error:
        remedy = "Try a lower --prior-learning-rate, more --prior-chain-steps, or a larger --prior-regularisation"
        raise Diverged(f"energies of latents: {error}. {remedy}", error.history) from error


def _train(
    run: Run[Config], net: EnergyMLP, name: str, loss: Any, latents: np.ndarray, carry: Any = None
) -> tuple[Any, History]:
    config = replace(run.config, learning_rate=run.config.prior_learning_rate)
    init = lambda key: net.init(key, jnp.zeros((1, latents.shape[-1])))  # noqa: E731
    losses = side_by_side.losses_of(loss, config.seeds)
    seeds = jax.random.split(jax.random.key(config.seed), config.seeds)

    def held_out_loss(params: Any, **carry: Any) -> jax.Array:
        rows = min(FOLLOWED, len(latents), config.buffer)
        return losses(jax.random.key(1), params, (latents[:rows],), **carry)[0].mean()

    trained = train_network(
        replace(run, config=config), f"latent/{name}", side_by_side.initial(init, seeds), losses,
        (latents,), held_out_loss=held_out_loss, seed=config.seed, steps=config.prior_steps,
        batch_size=config.prior_batch_size, carry=carry, clip=0.0,
    )  # fmt: skip
    return trained.averaged, trained.history


def of_seed(params: Any, seed: int) -> Any:
    """The parameters of one seed."""
    return jax.tree.map(lambda leaf: leaf[seed], params)
