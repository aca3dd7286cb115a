"""The learned energies: their densities by quadrature, their divergence from the truth, and their likelihood."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments.ebm.config import Config
from experiments.ebm.densities import DENSITIES, LIMITS
from experiments.ebm.methods import BASE, Method
from experiments.ebm.train import Trained, of_seed
from experiments.kit.plane import lattice
from experiments.kit.statistics import over_repetitions
from jaxgen import ebm, mcmc
from jaxgen.metrics import MeanAndError

HELD_OUT, WEIGHTED = 5000, 512  # points of the likelihood, and weights of annealed importance sampling
WIDER = 4.0  # times the square, where mass beyond it is looked for


class Landscape(NamedTuple):
    """What was learned of a density.

    Attributes:
        density: e^{−E}/Z on the cells of the square, of the first seed (n, n).
        truth: the true density there (n, n).
        divergences: KL(truth ‖ e^{−E}/Z) in nats on the square, of each seed (seeds,).
        beyond: the share of mass beyond the square, on one that is four times as wide, of each seed (seeds,).
        likelihoods: mean log-density of held-out data in nats, by quadrature, of each seed (seeds,).
        entropy: minus the mean log-density of the same data under the truth.
        annealed: the log-likelihood of the first seed by annealed importance sampling, and its error.
        share: the effective share of its weights.
    """

    density: np.ndarray
    truth: np.ndarray
    divergences: np.ndarray
    beyond: np.ndarray
    likelihoods: np.ndarray
    entropy: float
    annealed: MeanAndError
    share: float

    @property
    def divergence(self) -> MeanAndError:
        """KL over seeds."""
        return over_repetitions(self.divergences)

    @property
    def likelihood(self) -> MeanAndError:
        """Log-likelihood over seeds."""
        return over_repetitions(self.likelihoods)

    @property
    def misfit(self) -> np.ndarray:
        """p |log q/p|, where each cell's part of the divergence lies, (n, n)."""
        return self.truth * np.abs(np.log(np.maximum(self.density, 1e-30)) - np.log(np.maximum(self.truth, 1e-30)))


def landscapes(
    config: Config, methods: dict[str, Method], name: str, trained: dict[str, Trained]
) -> dict[str, Landscape]:
    """The energies of one density, by method."""
    target = DENSITIES[name]()
    held_out = target.sample(jax.random.key(config.seed + 1000), (HELD_OUT, 2))
    log_density = jax.jit(target.log_density)
    entropy = -np.asarray(log_density(held_out), np.float64).mean()
    truth = np.asarray(log_density(lattice(LIMITS, config.cells).reshape(-1, 2).astype(np.float32)))
    return {
        key: landscape(config, method, trained[key], held_out, float(entropy), truth)
        for key, method in methods.items()
        if method.energy is not None
    }


def landscape(
    config: Config, method: Method, trained: Trained, held_out: jax.Array, entropy: float, truth: np.ndarray
) -> Landscape:
    """The energies of one method; `truth` is the density's logarithm at the centres of all cells."""
    each = [
        jax.device_get(_by_quadrature(method.energy, config.cells, of_seed(trained, seed), held_out, truth))
        for seed in range(config.seeds)
    ]
    log_density, divergences, beyond, likelihoods = zip(*each, strict=True)
    keys = jax.random.split(jax.random.key(config.seed + 2000), WEIGHTED)
    value, error, share = map(
        float, _by_annealing(method.energy, config.ais_steps, keys, of_seed(trained, 0), held_out)
    )
    return Landscape(
        np.exp(log_density[0]), np.exp(truth).reshape(log_density[0].shape), np.array(divergences, np.float64),
        np.array(beyond), np.array(likelihoods), entropy, MeanAndError(value, error), share,
    )  # fmt: skip


# Compiled once for a method, whose energy of parameters is the same function for both densities.
@partial(jax.jit, static_argnums=(0, 1))
def _by_quadrature(
    energy_of: Callable[[Any], ebm.Energy], cells: int, params: Any, held_out: jax.Array, truth: jax.Array
) -> tuple[jax.Array, ...]:
    """The log-density of the cells, its divergence from the truth, the mass beyond, and the held-out likelihood."""
    (low, high), energy = LIMITS, energy_of(params)
    near = ebm.plane_density(energy, low, high, cells=cells)
    far = ebm.plane_density(energy, WIDER * low, WIDER * high, cells=cells)
    inside = jnp.all(jnp.abs(far.points) < high, axis=-1)
    beyond = jnp.sum(jnp.where(inside, 0, jnp.exp(far.log_density))) * far.cell_area
    likelihood = -energy(held_out).mean() - near.log_normalizer
    return near.log_density, near.kl_from(lambda points: truth), beyond, likelihood


@partial(jax.jit, static_argnums=(0, 1))
def _by_annealing(
    energy_of: Callable[[Any], ebm.Energy], steps: int, keys: jax.Array, params: Any, held_out: jax.Array
) -> tuple[jax.Array, ...]:
    """The held-out log-likelihood by annealed importance sampling, its error, and the weights' effective share."""
    energy = energy_of(params)
    # held at the square, so that the constant is that of the quadrature
    walled = lambda x: jnp.where(jnp.all(jnp.abs(x) < LIMITS[1], axis=-1), energy(x), jnp.inf)  # noqa: E731
    log_z = ebm.estimate_log_normalizer(
        keys, walled, BASE, (2,), transition=lambda p, beta: mcmc.mala(p, 0.3 / (1 + 4 * beta)),
        betas=jnp.linspace(0, 1, steps + 1), steps=2,
    )  # fmt: skip
    found = ebm.log_likelihood(energy, held_out, log_z)
    return found.values.mean(), found.error, log_z.effective_share
