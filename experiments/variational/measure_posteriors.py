"""What the mean field keeps of the exact posteriors."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments.kit.plane import lattice
from experiments.variational.mixture import mixture_log_joint
from experiments.variational.problems import MIXTURE, NORMAL_GAMMA, PRIOR, Problem
from jaxgen.variational import linear_gaussian, normal_gamma

LINEAR = linear_gaussian.LinearGaussian(np.array([[1.0, 0.8], [0.6, 1.0], [0.9, 0.7]]), np.zeros(3), 0.7)
SEEN = np.array([[1.2, -0.3, 0.5]])  # the linear model's datum
LINEAR_GAUSSIAN, OWN_MODE = "linear-Gaussian", "mixture, q's mode"
VARIABLES = {NORMAL_GAMMA: ("μ", "τ"), MIXTURE: ("μ₁", "μ₂"), OWN_MODE: ("μ₁", "μ₂"), LINEAR_GAUSSIAN: ("z₁", "z₂")}
EXTENT, CELLS = (-3.2, 3.2), 220


class Pair(NamedTuple):
    """Log densities of two variables (..., 2) -> (...), up to constants, and a box that holds nearly all of both."""

    exact: Callable[[np.ndarray], np.ndarray]
    mean_field: Callable[[np.ndarray], np.ndarray]
    low: np.ndarray
    high: np.ndarray


def pairs(of: Mapping[str, Problem], optima: Mapping[str, Any]) -> dict[str, Pair]:
    """The exact posterior and the mean field of every model; the mixture's also within the mode that q took."""
    q, joint = optima[MIXTURE], jax.jit(partial(mixture_log_joint, of[MIXTURE].x))
    ordered, wide = np.sign(q.means[0, 0] - q.means[1, 0]), np.full(2, 10.0)

    def exact(z):
        return np.asarray(joint(jnp.asarray(z).reshape(-1, 2))).reshape(z.shape[:-1])

    mixture = Pair(exact, _gaussian(q.means[:, 0], np.diag(q.variances)), -wide, wide)
    own_mode = mixture._replace(exact=lambda z: np.where(ordered * (z[..., 0] - z[..., 1]) > 0, exact(z), -np.inf))
    posterior, best = (of(LINEAR, jnp.asarray(SEEN)) for of in (linear_gaussian.posterior, linear_gaussian.mean_field))
    mean, wide = np.asarray(posterior.mean[0]), 8 * np.sqrt(np.diag(posterior.covariance))
    densities = (_gaussian(mean, np.asarray(law.covariance)) for law in (posterior, best))
    return {
        NORMAL_GAMMA: _normal_gamma_pair(of[NORMAL_GAMMA].x, optima[NORMAL_GAMMA]),
        MIXTURE: mixture,
        OWN_MODE: own_mode,
        LINEAR_GAUSSIAN: Pair(*densities, mean - wide, mean + wide),
    }


def _gaussian(mean: np.ndarray, covariance: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    precision = np.linalg.inv(covariance)
    return lambda z: -0.5 * np.einsum("...i,ij,...j->...", z - mean, precision, z - mean)


def _normal_gamma_pair(x: jax.Array, q: normal_gamma.Factors) -> Pair:
    law = normal_gamma.posterior(PRIOR, x)
    spread = 12 * np.sqrt([law.rate / law.strength / law.shape, law.shape / law.rate**2])
    centre = np.array([law.mean, law.shape / law.rate])

    def exact(mu, tau):
        return normal_gamma.log_density(law, mu, tau)

    def mean_field(mu, tau):
        return -0.5 * q.precision * (mu - q.mean) ** 2 + (q.shape - 1) * jnp.log(tau) - q.rate * tau

    def above_zero(log_density):
        return lambda z: np.where(z[..., 1] > 0, log_density(z[..., 0], np.maximum(z[..., 1], 1e-12)), -np.inf)

    return Pair(above_zero(exact), above_zero(mean_field), np.maximum(centre - spread, [-np.inf, 0]), centre + spread)


class Moments(NamedTuple):
    """Of two variables: means (2,), standard deviations (2,) and correlation."""

    mean: np.ndarray
    std: np.ndarray
    correlation: float


class Posterior(NamedTuple):
    """The exact posterior of two variables, and its best mean field."""

    exact: Moments
    mean_field: Moments
    density: np.ndarray  # (cells, cells), exact, over its highest value; on `EXTENT` exact standard deviations
    mean_field_density: np.ndarray  # (cells, cells), likewise

    @property
    def ratio(self) -> np.ndarray:
        """The mean field's standard deviations over the exact ones, (2,)."""
        return self.mean_field.std / self.exact.std

    @property
    def offset(self) -> np.ndarray:
        """The distances of the means in exact standard deviations, (2,)."""
        return np.abs(self.mean_field.mean - self.exact.mean) / self.exact.std


def moments(log_density: Callable, low: np.ndarray, high: np.ndarray, n: int = 800) -> Moments:
    """By sums over n × n points of the box."""
    axes = [a + (b - a) * (np.arange(n) + 0.5) / n for a, b in zip(low, high, strict=True)]
    z = np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, 2)
    log_p = np.asarray(log_density(z))
    weights = np.exp(log_p - log_p.max())
    mean = weights @ z / weights.sum()
    covariance = (weights[:, None] * (z - mean)).T @ (z - mean) / weights.sum()
    std = np.sqrt(np.diag(covariance))
    return Moments(mean, std, float(covariance[0, 1] / std.prod()))


def posteriors(of: Mapping[str, Problem], optima: Mapping[str, Any]) -> dict[str, Posterior]:
    """Moments and densities of the exact posterior and the mean field of every model."""
    found = {}
    for name, pair in pairs(of, optima).items():
        exact, ours = (moments(density, pair.low, pair.high) for density in (pair.exact, pair.mean_field))
        z = exact.mean + exact.std * lattice(EXTENT, CELLS)
        densities = (np.exp(log_p - log_p.max()) for log_p in (pair.exact(z), pair.mean_field(z)))
        found[name] = Posterior(exact, ours, *map(np.asarray, densities))
    return found
