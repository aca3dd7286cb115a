"""The GANs of the plane: with one call of the generator, or with four."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments.diffusion_gan.config import Config
from jaxgen.diffusion import GaussianProcess, denoiser, from_betas, uniform_grid
from jaxgen.gan import (
    AdversarialLoss,
    AdversarialObjectives,
    ScheduledPenalty,
    adaptive_diffusion,
    adversarial_objectives,
    ddgan,
    denoising_objectives,
    non_saturating,
    r1,
    r2,
    relativistic_pairing,
    scheduled,
)
from jaxgen.nets import DenoisingMLPCritic, DenoisingMLPGenerator, MLPCritic, MLPGenerator
from jaxgen.samplers import sample

PLAIN, PENALISED, DIFFUSION_GAN, RELATIVISTIC, DDGAN = "GAN", "GAN, R1", "Diffusion-GAN", "relativistic GAN", "DDGAN"
DIMS = 2


class Game(NamedTuple):
    """A GAN of the plane.

    Attributes:
        objectives: the losses of both players.
        init: key -> the first parameters of generator and critic.
        draw: (generator's parameters, keys (n,)) -> samples (n, 2).
        calls: calls of the generator for a sample.
    """

    objectives: AdversarialObjectives
    init: Callable[[jax.Array], tuple[Any, Any]]
    draw: Callable[[Any, jax.Array], jax.Array]
    calls: int


def games(config: Config) -> dict[str, Game]:
    """All games by name."""
    strong = {"loss": relativistic_pairing(), "penalties": {"r1": falling(config, r1), "r2": falling(config, r2)}}
    return {
        PLAIN: of_one_call(config, non_saturating()),
        PENALISED: of_one_call(config, non_saturating(), penalties={"r1": falling(config, r1)}),
        DIFFUSION_GAN: of_one_call(config, non_saturating(), noise=adaptive_diffusion(std=config.plane_noise)),
        RELATIVISTIC: of_one_call(config, **strong),
        DDGAN: of_many_calls(config, **strong),
    }


def falling(config: Config, penalty: Callable[[Any], Callable]) -> ScheduledPenalty:
    """A penalty whose γ falls from `plane_gamma` to a thousandth of it."""
    return scheduled(lambda update: penalty(config.plane_gamma * 1e-3 ** (update / config.plane_steps)))


def of_one_call(config: Config, loss: AdversarialLoss, **remedy: Any) -> Game:
    """A GAN whose generator maps a latent to a sample."""
    how, latents = {"hidden": config.plane_hidden, "frequencies": config.plane_frequencies}, config.plane_latents
    generator, critic = MLPGenerator((DIMS,), **how), MLPCritic(**how)
    times = (jnp.zeros(1),) if "noise" in remedy else ()

    def fakes(key: jax.Array, params: Any, x: jax.Array) -> jax.Array:
        return generator.apply(params, jax.random.normal(key, (len(x), latents)))

    def init(key: jax.Array) -> tuple[Any, Any]:
        keys = jax.random.split(key)
        z, x = jnp.zeros((1, latents)), jnp.zeros((1, DIMS))
        return generator.init(keys[0], z), critic.init(keys[1], x, *times)

    def draw(params: Any, keys: jax.Array) -> jax.Array:
        return generator.apply(params, jax.vmap(lambda key: jax.random.normal(key, (latents,)))(keys))

    return Game(adversarial_objectives(fakes, critic.apply, loss, **remedy), init, draw, 1)


def noise_ratios(config: Config) -> np.ndarray:
    """Noise over signal, σ/α, after each step of the DDGAN's chain: it rises by one factor a step."""
    return np.geomspace(config.plane_noise_min, config.plane_noise_max, config.denoising_steps)


def chain(config: Config) -> GaussianProcess:
    """The DDGAN's chain."""
    alpha_bar = np.concatenate([[1.0], 1 / (1 + noise_ratios(config) ** 2)])
    return from_betas(1 - alpha_bar[1:] / alpha_bar[:-1])


def of_many_calls(config: Config, loss: AdversarialLoss, **remedy: Any) -> Game:
    """A denoising diffusion GAN."""
    how, latents = {"hidden": config.plane_hidden, "frequencies": config.plane_frequencies}, config.plane_latents
    generator, critic = DenoisingMLPGenerator(**how), DenoisingMLPCritic(**how)
    process = chain(config)

    def init(key: jax.Array) -> tuple[Any, Any]:
        keys = jax.random.split(key)
        x, t, z = jnp.zeros((1, DIMS)), jnp.zeros(1), jnp.zeros((1, latents))
        return generator.init(keys[0], x, t, z), critic.init(keys[1], x, x, t)

    def draw(params: Any, keys: jax.Array) -> jax.Array:
        denoise = denoiser(process, partial(generator.apply, params), predicts="x0")
        return sample(keys, process, denoise, ddgan(latents), uniform_grid(process.steps), (DIMS,))

    objectives = denoising_objectives(process, generator.apply, critic.apply, loss, latent_size=latents, **remedy)
    return Game(objectives, init, draw, process.steps)
