"""The divergence of a vector field: exact, or estimated with random probes."""

import math
from collections.abc import Callable
from typing import Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from jaxgen.core.checks import check_at_least, check_choice
from jaxgen.core.keys import per_sample_keys

VectorField = Callable[[Array], Array]
Divergence = Callable[[VectorField, Array], tuple[Array, Array]]


def exact_divergence(
    field: VectorField, x: Float[Array, "b *event"]
) -> tuple[Float[Array, "b *event"], Float[Array, " b"]]:
    """A vector field and its exact divergence, by one directional derivative along each of the event's d axes.

    All derivatives are taken at once, at the time and memory of d more calls of the field.

    Args:
        field: v: (B, *event) -> (B, *event), acting on each sample alone.
        x: (B, *event).

    Returns:
        v(x) (B, *event) and ∇·v (B,).
    """
    event, dims = x.shape[1:], math.prod(x.shape[1:])
    axes = jnp.eye(dims, dtype=x.dtype).reshape(dims, 1, *event)
    value, products = _products(field, x, jnp.broadcast_to(axes, (dims, *x.shape)))
    return value, products.sum(0)


def hutchinson(
    keys: Key[Array, " b"],
    shape: tuple[int, ...],
    probes: int = 1,
    distribution: Literal["rademacher", "gaussian"] = "rademacher",
) -> Divergence:
    """Hutchinson's unbiased estimator of the divergence: the mean of εᵀ (∂v/∂x) ε over random probes ε.

    The probes are drawn once and stay the same during a whole solve. With S the symmetric part of the Jacobian, the
    variance is 2 Σ_{i≠j} S_ij²/probes for Rademacher and 2 ‖S‖²/probes for Gaussian probes.

    Args:
        keys: typed keys (B,). A sample's probes depend on its own key alone.
        shape: event shape of x.
        probes: probes per sample, at least 1.
        distribution: distribution of the probes' entries.

    Returns:
        A function (v, x) -> (v(x), estimate of ∇·v (B,)), as `exact_divergence`. It raises ValueError if x is not of
        shape (B, *shape).

    Raises:
        ValueError: if the distribution is unknown, probes < 1, or keys are not typed or not of shape (B,).

    Reference:
        Hutchinson 1990; Grathwohl et al. 2019, §3.1.
    """
    check_choice(Literal["rademacher", "gaussian"], distribution=distribution)
    check_at_least(1, probes=probes)
    draw = jax.random.rademacher if distribution == "rademacher" else jax.random.normal
    eps = jax.vmap(lambda key: draw(key, (probes, *shape), jnp.float32))(per_sample_keys(keys))
    return jax.tree_util.Partial(_probe, eps)


def _probe(
    eps: Float[Array, "b probes *event"], field: VectorField, x: Float[Array, "b *event"]
) -> tuple[Float[Array, "b *event"], Float[Array, " b"]]:
    if eps.shape[2:] != x.shape[1:] or len(eps) != len(x):
        raise ValueError(f"probes were drawn for {len(eps)} samples of shape {eps.shape[2:]}, got x of {x.shape}")
    value, products = _products(field, x, jnp.moveaxis(eps, 1, 0).astype(x.dtype))
    return value, products.mean(0)


def _products(
    field: VectorField, x: Float[Array, "b *event"], directions: Float[Array, "k b *event"]
) -> tuple[Float[Array, "b *event"], Float[Array, "k b"]]:
    """v(x), and uᵀ (∂v/∂x) u for each of k directions u."""
    value, along = jax.linearize(field, x)
    return value, jax.vmap(lambda u: (u * along(u)).reshape(len(x), -1).sum(-1))(directions)
