"""The noise-conditional score network, with the techniques of NCSNv2."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from experiments.kit.training import apply_network, initial_parameters
from experiments.trilemma.config import Config
from experiments.trilemma.data import Data, as_floats
from experiments.trilemma.family import Family, Network, Way
from jaxgen.diffusion import denoiser, denoising_loss, ncsn, noise_grid, ve, weighting
from jaxgen.samplers import annealed_langevin, sample

EXAMINED = 2000  # images whose distances give σ₁


def family(config: Config, data: Data) -> Family:
    """A score network s(x)/σ on geometric noise levels, sampled by annealed Langevin dynamics."""
    net, last = config.unet(), config.sigma_last
    first = float(ncsn.max_pairwise_distance(data.train.images[:EXAMINED]))
    levels = ncsn.num_noise_levels(first, last, ncsn.overlap_ratio(data.train.images[0].size))
    process, steps = ve(last, first), config.langevin_steps

    def score(params: Any) -> Any:
        return ncsn.sigma_scaled_score(process, partial(apply_network, net, params))

    def initial(seed: int) -> Any:
        return initial_parameters(net, seed, jnp.zeros((1, *data.shape)), jnp.zeros(1))

    def loss(key: jax.Array, params: Any, integers: jax.Array) -> jax.Array:
        return denoising_loss(
            key, process, score(params), as_floats(integers, data.levels), predicts="score",
            weighting=weighting.simple(), times=ncsn.noise_level_times(levels),
        )  # fmt: skip

    sampler = annealed_langevin(ncsn.step_size(first, last, levels, steps), last, steps, final_denoising=True)
    times = noise_grid(process, ncsn.geometric_sigmas(first, last, levels))

    def draw(params: Any, keys: jax.Array) -> jax.Array:
        return sample(keys, process, denoiser(process, score(params), predicts="score"), sampler, times, data.shape)

    return Family(
        title="NCSN",
        networks=("score",),
        training=Network(initial, loss, config.learning_rate),
        ways={"NCSN": Way(draw, levels * steps + 1, "NCSN")},
    )
