"""The trainings in the plane: the energies of each number of levels and the denoiser, all seeds of one at once."""

from dataclasses import replace
from typing import Any, NamedTuple

import jax
import numpy as np

from experiments.kit import side_by_side
from experiments.kit.run import Run
from experiments.kit.training import train_network
from experiments.recovery_likelihood.chains import DIMS, EnergyChain, GaussianChain, energy_chains, gaussian_chain
from experiments.recovery_likelihood.config import Config
from experiments.recovery_likelihood.modes import LIMITS, modes
from jaxgen import ebm
from jaxgen.training import Diverged, History

POINTS = 50_000  # of each seed
CELLS = 64  # of the quadrature that follows a training


class Plane(NamedTuple):
    """The trained chains; averaged parameters have a leading axis of seeds.

    Attributes:
        energies: the chains of energies by their number of levels.
        gaussian: the chain of Gaussian kernels.
        energy_params: parameters of each of the energies.
        gaussian_params: those of the denoiser.
        histories: what was followed, by number of levels.
    """

    energies: dict[int, EnergyChain]
    gaussian: GaussianChain
    energy_params: dict[int, Any]
    gaussian_params: Any
    histories: dict[int, History]


def train(run: Run[Config]) -> Plane:
    """Train all of them."""
    config = replace(run.config, cores=1, learning_rate=run.config.plane_learning_rate)
    run = replace(run, config=config)
    data = np.asarray(jax.jit(modes().sample, static_argnums=1)(jax.random.key(config.seed), POINTS * config.seeds))
    data = data.reshape(POINTS, config.seeds, DIMS)
    plane = Plane(energy_chains(config), gaussian_chain(config), {}, train_denoiser(run, data), {})
    for levels, chain in plane.energies.items():
        plane.energy_params[levels], plane.histories[levels] = train_energy(run, levels, chain, data)
    return plane


def train_energy(run: Run[Config], levels: int, chain: EnergyChain, data: np.ndarray) -> tuple[Any, History]:
    """The energies of a number of levels by recovery likelihood; their divergence from the data is followed."""
    mixture, config = modes(), run.config

    def divergence(params: Any, **_: Any) -> jax.Array:
        def of_one(params: Any) -> jax.Array:
            energy = lambda x: chain.of_clean(params, x, jax.numpy.zeros(len(x)))  # noqa: E731
            return ebm.plane_density(energy, *LIMITS, cells=CELLS).kl_from(mixture.log_density)

        return jax.vmap(of_one)(params).mean()

    seeds = jax.random.split(jax.random.key(config.seed), config.seeds)
    try:
        trained = train_network(
            run, f"plane/energy-{levels}", side_by_side.initial(chain.init, seeds),
            side_by_side.losses_of(chain.loss, config.seeds), (data,), held_out_loss=divergence, seed=config.seed,
            steps=config.plane_steps, batch_size=config.plane_batch_size, clip=0.0,
        )  # fmt: skip
    except Diverged as error:
        remedy = "Try a lower --plane-learning-rate, a smaller --plane-step, or more --plane-chain-steps"
        raise Diverged(f"energies of {levels} levels: {error}. {remedy}", error.history) from error
    return trained.averaged, trained.history


def train_denoiser(run: Run[Config], data: np.ndarray) -> Any:
    """The denoiser of the Gaussian chain."""
    chain, config = gaussian_chain(run.config), run.config
    loss = side_by_side.losses_of(chain.loss, config.seeds)
    seeds = jax.random.split(jax.random.key(config.seed), config.seeds)
    return train_network(
        run, "plane/denoiser", side_by_side.initial(chain.init, seeds), loss, (data,),
        held_out_loss=lambda params: loss(jax.random.key(1), params, (data[:1000],))[0].mean(), seed=config.seed,
        steps=config.denoiser_steps, batch_size=config.plane_batch_size, clip=0.0,
    ).averaged  # fmt: skip
