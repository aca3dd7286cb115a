"""Langevin dynamics in the plane, plain and annealed, of any score, and how its samples compare with a mixture."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments.kit.toy_training import ScoreNet
from jaxgen import mcmc
from jaxgen.diffusion import denoiser, edm
from jaxgen.distributions import GaussianMixture
from jaxgen.metrics import rbf_kernel

Score = Callable[[jax.Array, jax.Array], jax.Array]  # x (n, 2) and sigma, () or (n,), to (n, 2)

BANDWIDTHS = (0.5, 2.0, 8.0)  # within a mode, of a mode, between modes


def exact_score(mixture: GaussianMixture) -> Score:
    """The score of the mixture under noise: of N(μ_k, Σ_k + σ² I)."""
    return lambda x, sigma: mixture.perturbed(1.0, sigma).score(x)


def walk(
    score: Callable[[jax.Array], jax.Array],
    key: jax.Array,
    start: jax.Array,
    *,
    step_size: float,
    steps: int,
    frames: int = 1,
    noise_scale: float = 1.0,
) -> jax.Array:
    """Langevin dynamics in one score, x ← x + (ε/2) s(x) + √ε z: `frames` + 1 states of each chain from `start` (n, 2).

    noise_scale = 0 is gradient ascent. Of `steps`, as many are made as `frames` divides.
    """
    keys, chain = jax.random.split(key, len(start)), mcmc.langevin(score, step_size, noise_scale)
    return mcmc.run(keys, chain, start, frames=frames, thin=steps // frames)


def anneal(
    score: Score, key: jax.Array, start: jax.Array, sigmas: np.ndarray, *, step_size: float, steps: int
) -> jax.Array:
    """Annealed Langevin dynamics down the levels: the states (levels + 1, n, 2) at the start and after each level."""
    chain = mcmc.annealed_langevin(score, jnp.asarray(sigmas, jnp.float32), step_size, steps)
    return mcmc.run(jax.random.split(key, len(start)), chain, start, frames=len(sigmas), thin=steps).x


def on_levels(score: Score, sigma_max: float):
    """The process whose σ grows to sigma_max, and the denoiser that a score of every σ gives."""
    process = edm(float(sigma_max))
    return process, denoiser(process, lambda x, t, cond: score(x, process.sigma(t)), predicts="score")


def uniform_starts(key: jax.Array, n: int, half: float) -> jax.Array:
    """n starts (n, 2), uniform on [−half, half]²."""
    return jax.random.uniform(key, (n, 2), minval=-half, maxval=half)


@partial(jax.jit, static_argnums=2)
def sample_mixture(mixture: GaussianMixture, key: jax.Array, n: int) -> jax.Array:
    """n draws (n, d) of a mixture, as `mixture.sample` has them, compiled at once and not operation by operation."""
    return mixture.sample(key, n)


def nearest_mode(x: np.ndarray, means: np.ndarray) -> np.ndarray:
    """The index (…) of the mean (k, 2) that x (…, 2) is nearest to."""
    return np.argmin(np.sum((np.asarray(x)[..., None, :] - np.asarray(means)) ** 2, -1), -1)


class Found(NamedTuple):
    """What samples are like: the share at the first mode, their modes' width over the true one, the MMD to the law."""

    weight: float
    width: float
    mmd: float


class MixtureComparison:
    """Compares n samples with a mixture; `floor` is the mean MMD of n draws of the mixture itself.

    The MMD is the root of the biased estimate (Gretton et al. 2012, eq. 5) to a fixed reference of draws, in the mean
    of RBF kernels: positive also between draws of one law, so that there is a floor to compare with.
    """

    def __init__(
        self,
        mixture: GaussianMixture,
        n: int,
        key: jax.Array,
        draws: int = 8,
        bandwidths: tuple[float, ...] = BANDWIDTHS,
    ):
        reference_key, *keys = jax.random.split(key, draws + 1)
        self.mixture, self._kernel = mixture, partial(rbf_kernel, bandwidths=bandwidths)
        self._reference = np.asarray(sample_mixture(mixture, reference_key, 3 * n), np.float64)
        self._inner = self._kernel(self._reference, self._reference).mean()
        self.floors = np.array([self.mmd(sample_mixture(mixture, key, n)) for key in keys])
        self.floor = float(self.floors.mean())

    def mmd(self, x: np.ndarray) -> float:
        """The MMD of x (n, 2) to the mixture; NaN where x is not finite."""
        x = np.asarray(x, np.float64)
        if not np.isfinite(x).all():
            return float("nan")
        squared = self._kernel(x, x).mean() + self._inner - 2 * self._kernel(x, self._reference).mean()
        return float(np.sqrt(max(squared, 0.0)))

    def __call__(self, x: np.ndarray) -> Found:
        """All three; a mode that holds fewer than three samples has no width."""
        x, mixture = np.asarray(x, np.float64), self.mixture
        mode, widths = nearest_mode(x, mixture.means), []
        for k, covariance in enumerate(np.asarray(mixture.covariances)):
            members = x[mode == k]
            if len(members) > 2:
                widths.append(np.sqrt(np.trace(np.cov(members.T)) / np.trace(covariance)))
        return Found(float(np.mean(mode == 0)), float(np.mean(widths)), self.mmd(x))


def half_width(mixture: GaussianMixture) -> float:
    """Half the side of a square about the origin that shows nearly all of the mixture: 3.5 deviations, rounded up."""
    deviations = np.sqrt(np.linalg.eigvalsh(np.asarray(mixture.covariances)).max(-1))
    return float(np.ceil((np.abs(np.asarray(mixture.means)).max(-1) + 3.5 * deviations).max()))


def outside(shown: Mapping[str, np.ndarray], half: float) -> dict[str, float]:
    """The share of points (…, 2), by name, outside a square of this half side, where it is half a percent or more."""
    shares = {name: float(np.mean(np.abs(x).max(-1) > half)) for name, x in shown.items()}
    return {name: share for name, share in shares.items() if share >= 0.005}


def true_widths(mixture: GaussianMixture, sigma: float) -> float:
    """The width, as `Found` has it, that the mixture under noise σ has: mean over modes of √(tr(Σ + σ² I)/tr Σ)."""
    traces = np.trace(np.asarray(mixture.covariances), axis1=-2, axis2=-1)
    return float(np.mean(np.sqrt(1 + 2 * sigma**2 / traces)))


def log_density(mixture: GaussianMixture, points: np.ndarray, sigma: float = 0.0) -> np.ndarray:
    """log of the density under noise σ at points (…, 2), in nats."""
    return np.asarray(_log_density(mixture, jnp.asarray(points, jnp.float32), sigma), np.float64)


def density(mixture: GaussianMixture, points: np.ndarray, sigma: float = 0.0) -> np.ndarray:
    """The density under noise σ at points (…, 2)."""
    return np.exp(log_density(mixture, points, sigma))


def exact_field(mixture: GaussianMixture, points: np.ndarray, sigma: float = 0.0) -> np.ndarray:
    """The exact score under noise σ at points (…, 2)."""
    return np.asarray(_exact(mixture, jnp.asarray(points, jnp.float32), sigma), np.float64)


def learned_field(net: ScoreNet, params: Any, points: np.ndarray, sigma: float = 1.0) -> np.ndarray:
    """A network's score at points (…, 2) and σ."""
    flat = jnp.asarray(points, jnp.float32).reshape(-1, 2)
    return np.asarray(_learned(net, params, flat, sigma), np.float64).reshape(np.shape(points))


@jax.jit
def _log_density(mixture, points, sigma):
    return mixture.perturbed(1.0, sigma).log_density(points)


@jax.jit
def _exact(mixture, points, sigma):
    return mixture.perturbed(1.0, sigma).score(points)


@partial(jax.jit, static_argnums=0)
def _learned(net, params, points, sigma):
    return net.apply(params, points, sigma)
