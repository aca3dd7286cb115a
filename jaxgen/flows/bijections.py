"""Bijections: pairs of pure functions with log-determinants, and what composes them."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxgen.core import as_float, check_floating

Map = Callable[[Array], tuple[Array, Array]]
"""x (B, *event) -> (z (B, *other), log_det (B,))."""


class Bijection(NamedTuple):
    """An invertible map of each example of a batch, as a pair of pure functions.

    `forward` maps data x to latents z and returns log|det ∂z/∂x|. `inverse` maps z to x and returns log|det ∂x/∂z|.
    Both log-determinants are (B,) in nats. The shapes of x and z may differ, but not their sizes. Parameters are part
    of the functions: a bijection of a network is made inside the loss, from the parameters that the loss is given.

    Any two such functions make a bijection.

    Args:
        forward: x (B, *event) -> (z (B, *other), log_det (B,)).
        inverse: z (B, *other) -> (x (B, *event), log_det (B,)).

    Example:
        >>> double = flows.Bijection(
        ...     lambda x: (2 * x, jnp.full(len(x), x[0].size * jnp.log(2.0))),
        ...     lambda z: (z / 2, jnp.full(len(z), -z[0].size * jnp.log(2.0))),
        ... )
    """

    forward: Map
    inverse: Map


def chain(bijections: Sequence[Bijection]) -> Bijection:
    """The composition of bijections, of which the first is applied to the data first.

    Args:
        bijections: the parts; none make the identity.

    Returns:
        The bijection z = f_n(… f_1(x)), whose log-determinant is the sum of those of the parts.
    """
    bijections = tuple(bijections)

    def through(maps: Sequence[Map]) -> Map:
        def composed(x: Float[Array, "b *event"]) -> tuple[Array, Array]:
            x = as_batch(x)
            total = no_change(x)
            for one in maps:
                x, log_det = one(x)
                total = total + log_det
            return x, total

        return composed

    return Bijection(
        through([each.forward for each in bijections]), through([each.inverse for each in reversed(bijections)])
    )


def invert(bijection: Bijection) -> Bijection:
    """The inverse bijection: `forward` and `inverse` change places.

    Args:
        bijection: the bijection.

    Returns:
        Its inverse.
    """
    return Bijection(bijection.inverse, bijection.forward)


def as_batch(x: Float[Array, "b *event"]) -> Float[Array, "b *event"]:
    """Return x as float32 or wider; raise ValueError unless it is floating point and (B, *event)."""
    check_floating(x)
    x = as_float(x)
    if x.ndim < 2:
        raise ValueError(f"a bijection maps a batch (B, *event), got shape {x.shape}: x[None] for one example")
    return x


def no_change(x: Float[Array, "b *event"]) -> Float[Array, " b"]:
    """The log-determinant 0 of each example."""
    return jnp.zeros(x.shape[0], x.dtype)


def sum_event(values: Float[Array, "b *event"]) -> Float[Array, " b"]:
    """The sum over each example."""
    return values.reshape(values.shape[0], -1).sum(-1)
