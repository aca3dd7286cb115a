"""The two densities of the plane, both known exactly: five unequal blobs, and a ring around a blob."""

import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxgen.distributions import Distribution, GaussianMixture

LIMITS = (-4.5, 4.5)  # the square that is shown and integrated over

RADIUS, THICKNESS, WIDTH, SHARE = 2.2, 0.3, 0.45, 0.3  # of the ring, and of the blob within


def blobs() -> GaussianMixture:
    """Five Gaussians on a circle, with weights from .1 to .3."""
    angle = 2 * np.pi * np.arange(5) / 5 + np.pi / 2
    means = 2 * np.stack([np.cos(angle), np.sin(angle)], -1)
    return GaussianMixture(np.array([0.1, 0.15, 0.2, 0.25, 0.3]), means, np.stack([0.45**2 * np.eye(2)] * 5))


class Ring(NamedTuple):
    """A ring of radius N(2.2, .3²) at every angle alike, and with probability .3 a Gaussian blob in its middle."""

    def sample(self, key: jax.Array, shape: tuple[int, int]) -> jax.Array:
        """Draw points (n, 2)."""
        keys = jax.random.split(key, 4)
        n = shape[0]
        radius = RADIUS + THICKNESS * jax.random.normal(keys[0], (n,))
        angle = 2 * jnp.pi * jax.random.uniform(keys[1], (n,))
        ring = radius[:, None] * jnp.stack([jnp.cos(angle), jnp.sin(angle)], -1)
        blob = WIDTH * jax.random.normal(keys[2], (n, 2))
        return jnp.where(jax.random.bernoulli(keys[3], SHARE, (n, 1)), blob, ring)

    def log_density(self, x: jax.Array) -> jax.Array:
        """log p of points (n, 2): that of the radius over the length 2πr of its circle, and the blob."""
        squared = jnp.sum(x**2, -1)
        r = jnp.sqrt(squared + 1e-12)
        # radii below 0, seven deviations away, are left out
        ring = -0.5 * ((r - RADIUS) / THICKNESS) ** 2 - jnp.log(THICKNESS * r) - 1.5 * math.log(2 * math.pi)
        blob = -0.5 * squared / WIDTH**2 - math.log(2 * math.pi * WIDTH**2)
        return jnp.logaddexp(math.log(1 - SHARE) + ring, math.log(SHARE) + blob)


# made when asked for, because an array of JAX would begin its work on import
DENSITIES: dict[str, Callable[[], Distribution]] = {"blobs": blobs, "ring": Ring}
