"""Both kinds of reverse chains in the plane: Gaussian kernels, and kernels of energies, on the same levels of noise."""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from experiments.recovery_likelihood.config import Config
from experiments.recovery_likelihood.gaussian_kernels import best_gaussian
from experiments.recovery_likelihood.levels import ladder_of, plane_levels, plane_times, process
from experiments.recovery_likelihood.modes import STD, modes
from jaxgen import diffusion, ebm, samplers
from jaxgen.nets import MLP, EnergyMLP

DIMS = 2


class EnergyChain(NamedTuple):
    """A ladder of few levels, and the network of its energies.

    Attributes:
        ladder: the levels.
        net: the network.
        chain_steps: Langevin steps of a level in training.
    """

    ladder: ebm.RecoveryLadder
    net: EnergyMLP
    chain_steps: int

    def init(self, key: jax.Array) -> Any:
        """The first parameters."""
        return self.net.init(key, jnp.zeros((1, DIMS)), jnp.zeros(1))

    def energy(self, params: Any, y: jax.Array, s: jax.Array) -> jax.Array:
        """E(y, s) of y = α x_s, as a network of x_s relative to N(0, I)."""
        alpha = self.ladder.transition(s + 1 / self.ladder.steps)[0]
        return self.of_clean(params, y / alpha[:, None], s)

    def of_clean(self, params: Any, x: jax.Array, s: jax.Array) -> jax.Array:
        """The same as a function of x_s; at s = 0 it is the energy of the data."""
        return self.net.apply(params, x, s) + (x**2).sum(-1) / 2

    def objective(self) -> ebm.EnergyObjective:
        """Recovery likelihood."""
        return ebm.recovery_likelihood(self.energy, self.ladder, steps=self.chain_steps)

    def loss(self, key: jax.Array, params: Any, batch: tuple[jax.Array]) -> tuple[jax.Array, dict, dict]:
        """Its losses on a batch (x0,)."""
        return self.objective().loss(key, params, batch[0])

    def draw(self, params: Any, keys: jax.Array, steps: int) -> jax.Array:
        """Samples (n, 2) by so many Langevin steps at each level."""
        times = diffusion.uniform_grid(self.ladder.steps)
        energy = partial(self.energy, params)
        return samplers.sample(keys, self.ladder, energy, ebm.recovery_sampler(steps), times, (DIMS,))


class GaussianChain(NamedTuple):
    """A denoiser of the continuous process, whose chains have any number of steps."""

    net: MLP

    def init(self, key: jax.Array) -> Any:
        """The first parameters."""
        return self.net.init(key, jnp.zeros((1, DIMS)), jnp.zeros(1))

    def loss(self, key: jax.Array, params: Any, batch: tuple[jax.Array]) -> jax.Array:
        """The squared error in ε of a batch (x0,)."""
        return diffusion.denoising_loss(key, process(), partial(self.net.apply, params), batch[0])

    def denoise(self, process: diffusion.GaussianProcess, params: Any) -> diffusion.Denoiser:
        """The denoiser with these parameters."""
        return diffusion.denoiser(process, partial(self.net.apply, params))

    def draw(self, params: Any, keys: jax.Array, steps: int) -> jax.Array:
        """Samples (n, 2) by ancestral sampling."""
        denoise = self.denoise(process(), params)
        return samplers.sample(keys, process(), denoise, samplers.ddpm(), plane_times(steps), (DIMS,))


def draw_by_moments(params: Any, keys: jax.Array, steps: int) -> jax.Array:
    """Samples (n, 2) by the best Gaussian kernels, which need neither parameters nor a denoiser."""
    return samplers.sample(keys, process(), modes().score, best_gaussian(modes()), plane_times(steps), (DIMS,))


def energy_chains(config: Config) -> dict[int, EnergyChain]:
    """The chains of energies by their number of levels."""
    net = EnergyMLP(config.plane_hidden)
    return {
        levels: EnergyChain(ladder_of(plane_levels(levels), config.plane_step, STD), net, config.plane_chain_steps)
        for levels in config.plane_levels
    }


def gaussian_chain(config: Config) -> GaussianChain:
    """The chain of Gaussian kernels."""
    return GaussianChain(MLP(config.denoiser_width, 3))
