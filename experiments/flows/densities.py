"""Densities of the plane that are known: their draws, their values and their entropies."""

import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxgen.data import ring
from jaxgen.distributions import GaussianMixture

EXTENT = (-3.5, 3.5)  # shown
RADIUS, WIDTH = 2.0, 0.25


class Density(NamedTuple):
    """A density of the plane.

    Attributes:
        sample: (key, n) -> (n, 2).
        log_density: x (n, 2) -> (n,) in nats.
    """

    sample: Callable[[jax.Array, int], jax.Array]
    log_density: Callable[[jax.Array], jax.Array]


def densities() -> dict[str, Density]:
    """The densities by name."""
    angles = 2 * np.pi * np.arange(8) / 8
    means = RADIUS * np.stack([np.cos(angles), np.sin(angles)], -1)
    mixture = GaussianMixture(
        jnp.full(8, 1 / 8), jnp.asarray(means, jnp.float32), jnp.tile(WIDTH**2 * jnp.eye(2), (8, 1, 1))
    )
    noisy_ring = Density(lambda key, n: ring(key, n, radius=RADIUS, noise=WIDTH), ring_log_density)
    return {"eight Gaussians": Density(mixture.sample, mixture.log_density), "ring": noisy_ring}


def ring_log_density(x: jax.Array) -> jax.Array:
    """The log-density of points on a circle under Gaussian noise: e^{−(ρ² + r²)/2σ²} I₀(ρ r/σ²)/(2πσ²), ρ = ‖x‖."""
    rho = jnp.linalg.norm(x, axis=-1)
    bessel = jnp.log(jax.scipy.special.i0e(rho * RADIUS / WIDTH**2))  # times e^{−ρr/σ²}
    return -((rho - RADIUS) ** 2) / (2 * WIDTH**2) + bessel - math.log(2 * math.pi * WIDTH**2)
