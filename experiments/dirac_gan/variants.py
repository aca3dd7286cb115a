"""The eight variants by name, and the Jacobians of their fields and updates at the equilibrium."""

from collections.abc import Callable, Mapping
from functools import cache
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from jaxgen.gan import DiracVariant, Field, Players, Update, alternating, dirac_variant, jacobian, simultaneous

NAMES: Mapping[DiracVariant, str] = {
    "unregularised": "unregularised",
    "wgan": "WGAN",
    "wgan_gp": "WGAN-GP",
    "non_saturating": "non-saturating",
    "instance_noise": "instance noise",
    "r1": "R1",
    "r1_r2": "R1 + R2",
    "consensus": "consensus",
}
REMEDIES: tuple[DiracVariant, ...] = ("instance_noise", "r1", "r1_r2", "consensus")  # those of some strength

Order = Literal["simultaneous", "alternating"]
ORDERS: Mapping[Order, Callable[[Field, ArrayLike], Update]] = {
    "simultaneous": simultaneous,
    "alternating": alternating,
}


def of_strength(variant: DiracVariant, strength: ArrayLike) -> Field:
    """The field of a remedy; the strength is γ, or σ² for instance noise."""
    return dirac_variant(variant, gamma=strength, sigma=jnp.sqrt(strength))


def field_jacobians(variant: DiracVariant, strengths: np.ndarray) -> np.ndarray:
    """The Jacobians (n, 2, 2) of the fields of strengths (n,) at the equilibrium; float64 must be enabled."""
    return np.asarray(_of_field(variant)(jnp.asarray(strengths, jnp.float64)))


def update_jacobians(variant: DiracVariant, order: Order, strengths: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """The Jacobians (n, 2, 2) of updates at the equilibrium, of strengths (n,) and step sizes (n,)."""
    strengths, sizes = (jnp.asarray(values, jnp.float64) for values in np.broadcast_arrays(strengths, sizes))
    return np.asarray(_of_update(variant, order)(strengths, sizes))


def spectral_radii(variant: DiracVariant, order: Order, strengths: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """The largest moduli (n,) of the eigenvalues of updates at the equilibrium."""
    return np.abs(np.linalg.eigvals(update_jacobians(variant, order, strengths, sizes))).max(-1)


def _equilibrium() -> Players:
    return Players(jnp.float64(0), jnp.float64(0))


@cache
def _of_field(variant: DiracVariant) -> Callable:
    return jax.jit(jax.vmap(lambda strength: jacobian(of_strength(variant, strength), _equilibrium())))


@cache
def _of_update(variant: DiracVariant, order: Order) -> Callable:
    def of(strength, size):
        return jacobian(ORDERS[order](of_strength(variant, strength), size), _equilibrium())

    return jax.jit(jax.vmap(of))
