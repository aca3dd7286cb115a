"""The score SDE of the variance preserving process."""

import math
from functools import partial
from typing import Any

import diffrax
import jax
import jax.numpy as jnp
import numpy as np

from experiments.kit.training import apply_network, initial_parameters
from experiments.trilemma.config import Config
from experiments.trilemma.data import Data
from experiments.trilemma.family import Family, Likelihood, Network, Way
from jaxgen.core import hutchinson
from jaxgen.data import dequantise
from jaxgen.diffusion import (
    Denoiser,
    denoiser,
    denoising_loss,
    edm_preconditioning,
    log_likelihood,
    noise_grid,
    perturb,
    times,
    uniform_grid,
    vp,
    weighting,
)
from jaxgen.samplers import langevin_corrector, ode_encode, predictor_corrector, reverse_diffusion, sample

SIGMA_CODE = 0.05  # noise of the images that are encoded: nearer to t = 0 a score changes too fast


def family(config: Config, data: Data) -> Family:
    """A preconditioned network at all times of the VP SDE, sampled by predictor and corrector."""
    net, process, dims = config.unet(), vp(), math.prod(data.shape)
    sigma_data = float(np.sqrt(np.mean(np.square(data.train.images[:5000]))))
    controller = diffrax.PIDController(rtol=config.tolerance, atol=config.tolerance)

    def network(params: Any) -> Any:
        return edm_preconditioning(process, partial(apply_network, net, params), sigma_data)

    def denoise(params: Any, clip: float | None = None) -> Denoiser:
        return denoiser(process, network(params), predicts="x0", clip=clip)

    def initial(seed: int) -> Any:
        return initial_parameters(net, seed, jnp.zeros((1, *data.shape)), jnp.zeros(1))

    def dequantised(key: jax.Array, integers: jax.Array) -> jax.Array:
        return dequantise(jax.random.split(key, len(integers)), integers, data.levels)

    def loss(key: jax.Array, params: Any, integers: jax.Array) -> jax.Array:
        noise_key, loss_key = jax.random.split(key)
        return denoising_loss(
            loss_key, process, network(params), dequantised(noise_key, integers), predicts="x0",
            weighting=weighting.simple(), times=times.uniform(),
        )  # fmt: skip

    sampler = predictor_corrector(reverse_diffusion(), langevin_corrector(config.snr))
    grid = uniform_grid(config.sde_steps)

    def draw(params: Any, keys: jax.Array) -> jax.Array:
        return sample(keys, process, denoise(params, clip=1.0), sampler, grid, data.shape)

    def log_probability(params: Any, key: jax.Array, integers: jax.Array) -> jax.Array:
        noise_key, probe_key = jax.random.split(key)
        divergence = hutchinson(jax.random.split(probe_key, len(integers)), data.shape)
        x = dequantised(noise_key, integers)
        found = log_likelihood(process, denoise(params), x, divergence=divergence, controller=controller)
        return found.log_density - dims * math.log(data.levels / 2)  # a level is 2/levels wide

    def encode(params: Any, integers: jax.Array) -> jax.Array:
        noise_key, eps_key = jax.random.split(jax.random.key(config.seed + 5))
        t = float(noise_grid(process, np.array([SIGMA_CODE]))[0])
        x = perturb(process, dequantised(noise_key, integers), t, jax.random.normal(eps_key, integers.shape))
        return ode_encode(process, denoise(params), x, t_min=t, controller=controller).x.reshape(len(x), -1)

    calls = 2 * config.sde_steps - 1  # the last step, to t = 0, has no corrector
    return Family(
        title="score SDE",
        networks=("denoiser",),
        training=Network(initial, loss, config.learning_rate),
        ways={"score SDE": Way(draw, calls, "VP SDE")},
        likelihood=Likelihood("exact", log_probability),
        encode=encode,
    )
