"""The mixtures of the plane: 25 Gaussians on a grid and 8 on a circle, each of narrow modes far apart."""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from jaxgen.distributions import GaussianMixture


class Mixture(NamedTuple):
    """Equal round Gaussians: their centres (k, 2) and their standard deviation."""

    centres: np.ndarray
    std: float

    def sample(self, seed: int, n: int) -> np.ndarray:
        """n draws (n, 2), float32."""
        rng = np.random.default_rng(seed)
        means = self.centres[rng.integers(len(self.centres), size=n)]
        return (means + self.std * rng.standard_normal((n, 2))).astype(np.float32)

    def law(self) -> GaussianMixture:
        """The same as a distribution, which knows its score."""
        k = len(self.centres)
        covariances = np.broadcast_to(self.std**2 * np.eye(2), (k, 2, 2))
        return GaussianMixture(*(jnp.asarray(a, jnp.float32) for a in (np.full(k, 1 / k), self.centres, covariances)))


def grid() -> Mixture:
    """25 Gaussians (Gulrajani et al. 2017): centres 2·{−2 … 2}², σ .05, all divided by 2.828, for unit variance."""
    axis = 2 * np.arange(-2, 3) / 2.828
    return Mixture(np.stack(np.meshgrid(axis, axis), -1).reshape(-1, 2), 0.05 / 2.828)


def ring() -> Mixture:
    """8 Gaussians (Gulrajani et al. 2017): centres on a circle of radius 2, σ .02, all divided by 1.414."""
    angles = 2 * np.pi * np.arange(8) / 8
    return Mixture(2 * np.stack([np.cos(angles), np.sin(angles)], -1) / 1.414, 0.02 / 1.414)


GRID, RING = "grid", "ring"
MIXTURES = {GRID: grid(), RING: ring()}
