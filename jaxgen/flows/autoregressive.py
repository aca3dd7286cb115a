"""Autoregressive flows: each coordinate's map depends on the coordinates before it."""

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxgen.flows._coupling import Conditioner, params_of
from jaxgen.flows.bijections import Bijection, as_batch, invert, sum_event
from jaxgen.flows.scalar_maps import ScalarMap


def masked_autoregressive(conditioner: Conditioner, scalar_map: ScalarMap) -> Bijection:
    """The flow z_i = f(x_i; θ(x_1 … x_{i−1})).

    `forward`, and so the density of data, takes one call of the conditioner. `inverse`, and so sampling, takes one for
    each of d coordinates, one after the other.

    Args:
        conditioner: a network with its parameters, from x (B, d) to (B, d, size) or (B, d · size), whose outputs for
            coordinate i depend on the coordinates before i only, as those of `nets.MADE` do. Examples of other shapes
            are flattened for it.
        scalar_map: the map f of each number.

    Returns:
        The bijection.

    Raises:
        ValueError: when called, if the conditioner's output has another size.

    Reference:
        Papamakarios et al. 2017, "Masked autoregressive flow for density estimation", §3.1.
    """

    def parameters(x: Float[Array, "b d"]) -> Float[Array, "b d size"]:
        return params_of(conditioner(x), x, scalar_map.size)

    def forward(x: Float[Array, "b *event"]) -> tuple[Array, Array]:
        x = as_batch(x)
        rows = x.reshape(x.shape[0], -1)
        z, log_slope = scalar_map.forward(parameters(rows), rows)
        return z.reshape(x.shape), sum_event(log_slope)

    def inverse(z: Float[Array, "b *event"]) -> tuple[Array, Array]:
        z = as_batch(z)
        rows = z.reshape(z.shape[0], -1)

        def next_coordinate(i: Array, found: tuple[Array, Array]) -> tuple[Array, Array]:
            x, log_slopes = found
            params = jax.lax.dynamic_index_in_dim(parameters(x), i, 1, keepdims=False)
            value, log_slope = scalar_map.inverse(params, jax.lax.dynamic_index_in_dim(rows, i, 1, keepdims=False))
            return x.at[:, i].set(value), log_slopes.at[:, i].set(log_slope)

        start = jnp.zeros_like(rows), jnp.zeros_like(rows)
        x, log_slopes = jax.lax.fori_loop(0, math.prod(z.shape[1:]), next_coordinate, start)
        return x.reshape(z.shape), sum_event(log_slopes)

    return Bijection(forward, inverse)


def inverse_autoregressive(conditioner: Conditioner, scalar_map: ScalarMap) -> Bijection:
    """The flow x_i = f(z_i; θ(z_1 … z_{i−1})), the inverse of `masked_autoregressive`.

    `inverse`, and so sampling with its density, takes one call of the conditioner. `forward`, and so the density of
    given data, takes one for each coordinate.

    Args:
        conditioner: as in `masked_autoregressive`, of z.
        scalar_map: the map f of each number.

    Returns:
        The bijection.

    Raises:
        ValueError: as `masked_autoregressive` does.

    Reference:
        Kingma et al. 2016, "Improved variational inference with inverse autoregressive flow", §3.
    """
    return invert(masked_autoregressive(conditioner, scalar_map))
