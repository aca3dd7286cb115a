"""The sets of images that are compared: those of both models, and real ones as a control."""

from functools import partial
from typing import Any

import jax
import numpy as np

from experiments.kit.great_circle import great_circle
from experiments.kit.run import Run
from experiments.vae_gan.config import Config
from experiments.vae_gan.data import Data, quantised
from experiments.vae_gan.train import Networks, Trained, seed_of
from jaxgen.core import noise
from jaxgen.generation import generate

REAL, RECONSTRUCTIONS, MEANS, SAMPLES, GAN = (
    "real images",
    "VAE, reconstructions",
    "VAE, decoder means",
    "VAE, samples of x",
    "GAN",
)

Sets = dict[str, np.ndarray]  # (n, h, w, c) in [−1, 1] each, by name


def number(config: Config, data: Data) -> int:
    """How many images there are of each set, a multiple of the repetitions."""
    most = min(config.compared, len(data.train), len(data.held_out))
    return most // config.repetitions * config.repetitions


def draw_sets(run: Run[Config], nets: Networks, data: Data, trained: Trained, repetition: int) -> Sets:
    """The sets of a repetition, all rounded to the same levels.

    Real images are training images in random order. Reconstructions are those of the held-out images. Decoder means
    and samples of x come from the same codes.
    """
    config, n = run.config, number(run.config, data)
    seed = seed_of(config, repetition)

    def drawn() -> Sets:
        key, batch_size = jax.random.key(seed + 2), min(n, 500)
        make = partial(generate, key=key, n=n, batch_size=batch_size, progress=False)
        means, samples = make(partial(vae_samples, nets, config.latents), trained.vae)
        return {
            RECONSTRUCTIONS: make(partial(vae_reconstructions, nets), trained.vae, cond=data.held_out.images[:n]),
            MEANS: means,
            SAMPLES: samples,
            GAN: make(partial(gan_samples, nets, config.latents), trained.generator),
        }

    rows = np.random.default_rng(seed).permutation(len(data.train))[:n]
    found = run.stage(f"samples/{repetition + 1}", drawn)
    return {REAL: data.train.images[rows]} | {name: quantised(x, config.levels) for name, x in found.items()}


def vae_samples(nets: Networks, latents: int, params: Any, keys: jax.Array, _: None) -> tuple[jax.Array, jax.Array]:
    """The decoder's means of codes from the prior, and a sample of x for each."""
    z_keys, x_keys = jax.vmap(jax.random.split, out_axes=1)(keys)
    law = nets.vae.decoder.apply(params["decoder"], noise(z_keys, (latents,)))
    logistic = jax.vmap(lambda key: jax.random.logistic(key, law.mean.shape[1:]))(x_keys)
    return law.mean, law.mean + law.std * logistic


def vae_reconstructions(nets: Networks, params: Any, keys: jax.Array, x: jax.Array) -> jax.Array:
    """The decoder's means of the mean codes of images."""
    return nets.vae.image(params, nets.vae.encoder.apply(params["encoder"], x).mean)


def gan_samples(nets: Networks, latents: int, params: Any, keys: jax.Array, _: None) -> jax.Array:
    """Images of latents from the prior."""
    return nets.generator.apply(params, noise(keys, (latents,)))


def interpolations(nets: Networks, config: Config, trained: Trained, rows: int, columns: int) -> Sets:
    """Images of great circles between latents from the prior, (rows·columns, h, w, c), of both models alike."""
    ends = np.asarray(jax.random.normal(jax.random.key(config.seed + 3), (2, rows, config.latents)))
    z = great_circles(*ends, columns).reshape(-1, config.latents)
    images = {
        MEANS: jax.jit(nets.vae.image)(trained.vae, z),
        GAN: jax.jit(nets.generator.apply)(trained.generator, z),
    }
    return {name: quantised(np.asarray(x), config.levels) for name, x in images.items()}


def great_circles(a: np.ndarray, b: np.ndarray, points: int) -> np.ndarray:
    """Points (n, points, d) from a to b, (n, d) each, along great circles."""
    return np.stack([great_circle(a, b, share) for share in np.linspace(0, 1, points, dtype=np.float32)], axis=1)
