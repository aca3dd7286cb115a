"""The energy-based model, by diffusion recovery likelihood."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from experiments.kit.training import initial_parameters
from experiments.trilemma.config import Config
from experiments.trilemma.data import Data, as_floats
from experiments.trilemma.family import Family, Network, Way
from jaxgen import ebm
from jaxgen.diffusion import uniform_grid
from jaxgen.nets import ResidualEnergy
from jaxgen.samplers import sample


def family(config: Config, data: Data) -> Family:
    """Energies on the six levels of the paper, whose reverse kernels are sampled by Langevin dynamics."""
    net, ladder = ResidualEnergy(config.energy_channels), ebm.published_ladder()
    energy = ebm.scaled_energy(net.apply, ladder)
    objective = ebm.recovery_likelihood(
        energy, ladder, steps=config.chain_steps, weights=ladder.published_weights, data_noise=0.01
    )

    def initial(seed: int) -> Any:
        return initial_parameters(net, seed, jnp.zeros((1, *data.shape)), jnp.zeros(1))

    def loss(key: jax.Array, params: Any, integers: jax.Array) -> tuple[jax.Array, dict, dict]:
        return objective.loss(key, params, as_floats(integers, data.levels))

    sampler, times = ebm.recovery_sampler(config.sampling_chain_steps), uniform_grid(ladder.steps)

    def draw(params: Any, keys: jax.Array) -> jax.Array:
        return sample(keys, ladder, partial(energy, params), sampler, times, data.shape)

    return Family(
        title="EBM",
        networks=("energy",),
        training=Network(initial, loss, config.energy_learning_rate),
        ways={"EBM": Way(draw, ladder.steps * config.sampling_chain_steps, "recovery likelihood")},
    )
