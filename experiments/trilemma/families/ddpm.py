"""The denoising diffusion model; DDIM draws from the same network."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments.kit.chains import scaled_linear
from experiments.kit.training import apply_network, initial_parameters
from experiments.trilemma.config import Config
from experiments.trilemma.data import Data, as_floats
from experiments.trilemma.family import Family, Likelihood, Network, Way
from jaxgen.diffusion import Denoiser, denoiser, denoising_loss, subset_grid, variational_bound
from jaxgen.distributions.likelihoods import discretised_gaussian
from jaxgen.samplers import Sampler, ddim, ddpm, sample


def family(config: Config, data: Data) -> Family:
    """A network of ε on a linear chain of T steps, sampled by the whole chain and by DDIM."""
    net, process, steps = config.unet(), scaled_linear(config.timesteps), config.timesteps

    def denoise(params: Any) -> Denoiser:
        return denoiser(process, partial(apply_network, net, params), clip=1.0)

    def initial(seed: int) -> Any:
        return initial_parameters(net, seed, jnp.zeros((1, *data.shape)), jnp.zeros(1))

    def loss(key: jax.Array, params: Any, integers: jax.Array) -> jax.Array:
        return denoising_loss(key, process, partial(apply_network, net, params), as_floats(integers, data.levels))

    def way(sampler: Sampler, count: int, published: str) -> Way:
        times = subset_grid(steps, count)

        def draw(params: Any, keys: jax.Array) -> jax.Array:
            return sample(keys, process, denoise(params), sampler, times, data.shape)

        return Way(draw, count, published)

    def bound(params: Any, key: jax.Array, integers: jax.Array) -> jax.Array:
        keys, x = jax.random.split(key, len(integers)), as_floats(integers, data.levels)
        likelihood = discretised_gaussian(data.levels)
        return -variational_bound(keys, process, denoise(params), x, likelihood=likelihood).total

    def encode(params: Any, integers: jax.Array) -> jax.Array:
        """DDIM's steps from the first to the last time of the chain."""
        times = subset_grid(steps, config.ddim_steps, "linspace")[:-1][::-1].astype(np.float32)
        upwards, network = ddim(), denoise(params)

        def step(x: jax.Array, pair: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, None]:
            return upwards.step(None, process, network, *pair, x, None)[0], None

        x = process.alpha(times[0]) * as_floats(integers, data.levels)
        codes, _ = jax.lax.scan(step, x, (times[:-1], times[1:]))
        return codes.reshape(len(codes), -1)

    return Family(
        title="DDPM",
        networks=("denoiser",),
        training=Network(initial, loss, config.learning_rate),
        ways={
            "DDPM": way(ddpm(), steps, "DDPM"),
            f"DDIM-{config.ddim_steps}": way(ddim(), config.ddim_steps, "DDIM, 50 steps"),
        },
        likelihood=Likelihood("bound", bound),
        encode=encode,
    )
