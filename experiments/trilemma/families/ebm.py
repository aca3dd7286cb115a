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

ITERATIONS = 30  # of the power method, by which the norms of averaged parameters are found
STATISTICS = "batch_stats"


def family(config: Config, data: Data) -> Family:
    """Energies on the six levels of the paper, whose reverse kernels are sampled by Langevin dynamics.

    Spectral normalisation bounds their slopes, as in the paper: chains of few steps would else run away.
    """
    net, ladder = ResidualEnergy(config.energy_channels, spectral_norm=True), ebm.published_ladder()
    x, t = jnp.zeros((1, *data.shape)), jnp.zeros(1)
    first = initial_parameters(net, config.seed, x, t)[STATISTICS]

    def advanced(params: Any, y: jax.Array, s: jax.Array, statistics: Any) -> tuple[jax.Array, Any]:
        """The energy, and the statistics after another step of the power method."""
        variables = {"params": params, STATISTICS: statistics}
        found, updated = net.apply(variables, y, s, update_stats=True, mutable=[STATISTICS])
        return found, updated[STATISTICS]

    objective = ebm.recovery_likelihood(
        ebm.scaled_energy(advanced, ladder), ladder, steps=config.chain_steps, weights=ladder.published_weights,
        data_noise=0.01, energy_state=first,
    )  # fmt: skip

    def loss(key: jax.Array, params: Any, integers: jax.Array, **carry: Any) -> tuple[jax.Array, dict, dict]:
        return objective.loss(key, params, as_floats(integers, data.levels), **carry)

    def energy(params: Any) -> Any:
        statistics = jax.lax.fori_loop(0, ITERATIONS, lambda _, each: advanced(params, x, t, each)[1], first)

        def network(params: Any, y: jax.Array, s: jax.Array) -> jax.Array:
            return net.apply({"params": params, STATISTICS: statistics}, y, s)

        return partial(ebm.scaled_energy(network, ladder), params)

    sampler, times = ebm.recovery_sampler(config.sampling_chain_steps), uniform_grid(ladder.steps)

    def draw(params: Any, keys: jax.Array) -> jax.Array:
        return sample(keys, ladder, energy(params), sampler, times, data.shape)

    return Family(
        title="EBM",
        networks=("energy",),
        training=Network(
            lambda seed: initial_parameters(net, seed, x, t)["params"], loss, config.energy_learning_rate,
            objective.carry,
        ),
        ways={"EBM": Way(draw, ladder.steps * config.sampling_chain_steps, "recovery likelihood")},
    )  # fmt: skip
