"""The data of the plane, eight narrow modes of unequal weights, and the hole between them."""

import jax.numpy as jnp
import numpy as np

from experiments.kit.plane import lattice
from jaxgen.distributions import GaussianMixture

LIMITS = (-2.3, 2.3)  # the square that is shown and integrated over
WEIGHTS = np.array([0.22, 0.05, 0.14, 0.09, 0.18, 0.06, 0.16, 0.10])
RADIUS, STD = 1.4, 0.15  # of the circle, so that the data have about unit variance, and of a mode
HOLE_MASS = 1e-3  # of the data in the hole
CELLS = 800  # of the quadrature along an axis


def modes() -> GaussianMixture:
    """Eight round Gaussians on a circle; light modes lie beside heavy ones."""
    angle = 2 * np.pi * np.arange(8) / 8
    means = RADIUS * np.stack([np.cos(angle), np.sin(angle)], -1)
    return GaussianMixture(WEIGHTS, means, np.broadcast_to(STD**2 * np.eye(2), (8, 2, 2)))


def hole_level(mixture: GaussianMixture) -> float:
    """The log-density (nats) below which a point lies in the hole: a thousandth of the data do, by quadrature."""
    log_density = np.asarray(mixture.log_density(jnp.asarray(lattice(LIMITS, CELLS))), np.float64).ravel()
    order = np.sort(log_density)
    mass = np.cumsum(np.exp(order)) * ((LIMITS[1] - LIMITS[0]) / CELLS) ** 2
    return float(order[np.searchsorted(mass, HOLE_MASS)])
