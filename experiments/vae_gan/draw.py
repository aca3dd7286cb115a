"""The sets of images that are compared: those of both models, and real ones as a control."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments.kit.run import Run
from experiments.vae_gan.config import Config
from experiments.vae_gan.data import Data, quantised
from experiments.vae_gan.train import Networks, Trained, seed_of
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
    law = nets.vae.decoder.apply(params["decoder"], normal(z_keys, latents))
    noise = jax.vmap(lambda key: jax.random.logistic(key, law.mean.shape[1:]))(x_keys)
    return law.mean, law.mean + law.std * noise


def vae_reconstructions(nets: Networks, params: Any, keys: jax.Array, x: jax.Array) -> jax.Array:
    """The decoder's means of the mean codes of images."""
    return nets.vae.image(params, nets.vae.encoder.apply(params["encoder"], x).mean)


def gan_samples(nets: Networks, latents: int, params: Any, keys: jax.Array, _: None) -> jax.Array:
    """Images of latents from the prior."""
    return nets.generator.apply(params, normal(keys, latents))


def normal(keys: jax.Array, latents: int) -> jax.Array:
    """Latents (b, d) from N(0, I), one for each key."""
    return jax.vmap(lambda key: jax.random.normal(key, (latents,)))(keys)


def interpolations(nets: Networks, config: Config, trained: Trained, rows: int, columns: int) -> Sets:
    """Images of great circles between latents from the prior, (rows·columns, h, w, c), of both models alike."""
    ends = jax.random.normal(jax.random.key(config.seed + 3), (2, rows, config.latents))
    z = great_circles(*ends, columns).reshape(-1, config.latents)
    images = {
        MEANS: jax.jit(nets.vae.image)(trained.vae, z),
        GAN: jax.jit(nets.generator.apply)(trained.generator, z),
    }
    return {name: quantised(np.asarray(x), config.levels) for name, x in images.items()}


def great_circles(a: jax.Array, b: jax.Array, points: int) -> jax.Array:
    """Points (n, points, d) from a to b, (n, d) each: directions along a great circle, lengths along a line.

    Each point is as likely under N(0, I) as its ends are; a straight line would pass near 0, where latents are rare.

    Reference:
        White 2016, "Sampling generative networks", §2.1.
    """
    lengths = [jnp.linalg.norm(of, axis=-1, keepdims=True) for of in (a, b)]
    cosine = jnp.sum(a * b, -1, keepdims=True) / (lengths[0] * lengths[1])
    angle = jnp.arccos(jnp.clip(cosine, -1 + 1e-6, 1 - 1e-6))[:, None]
    share = jnp.linspace(0, 1, points)[:, None]
    directions = [(of / length)[:, None] for of, length in zip((a, b), lengths, strict=True)]
    weights = jnp.sin((1 - share) * angle) / jnp.sin(angle), jnp.sin(share * angle) / jnp.sin(angle)
    along = (1 - share) * lengths[0][:, None] + share * lengths[1][:, None]
    return along * (weights[0] * directions[0] + weights[1] * directions[1])
