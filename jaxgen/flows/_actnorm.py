"""Activation normalisation: a scale and a shift for each channel, initialised from data."""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxgen.flows.bijections import Bijection, as_batch


class ActnormParams(NamedTuple):
    """Parameters of `actnorm`, one of each per channel, (c,)."""

    log_scale: Array
    shift: Array


def init_actnorm(x: Float[Array, "b *event"], epsilon: float = 1e-6) -> ActnormParams:
    """The parameters at which `actnorm` gives this batch mean 0 and variance 1 in each channel.

    Args:
        x: the first batch (B, *space, c), as it arrives at this layer.
        epsilon: added to the standard deviations, so that a constant channel stays finite.

    Returns:
        The parameters.

    Reference:
        Kingma & Dhariwal 2018, "Glow", §3.1.
    """
    rows = as_batch(x).reshape(-1, x.shape[-1])
    return ActnormParams(-jnp.log(rows.std(0) + epsilon), -rows.mean(0))


def actnorm(params: ActnormParams) -> Bijection:
    """The map z = e^log_scale · (x + shift) of each channel, the last axis.

    Args:
        params: as `init_actnorm` returns them.

    Returns:
        The bijection.

    Raises:
        ValueError: when called, if x has another number of channels.

    Reference:
        Kingma & Dhariwal 2018, "Glow", §3.1.
    """

    def prepared(x: Array) -> tuple[Array, Array, Array, Array]:
        x = as_batch(x)
        if x.shape[-1:] != params.log_scale.shape:
            raise ValueError(
                f"actnorm has parameters of {params.log_scale.shape[0]} channels, x has shape {x.shape}: initialise it "
                "with a batch as it arrives at this layer"
            )
        log_scale, shift = (jnp.asarray(part, x.dtype) for part in params)
        places = x[0].size // x.shape[-1]
        return x, log_scale, shift, jnp.broadcast_to(places * log_scale.sum(), x.shape[:1])

    def forward(x: Float[Array, "b *event"]) -> tuple[Array, Array]:
        x, log_scale, shift, log_det = prepared(x)
        return (x + shift) * jnp.exp(log_scale), log_det

    def inverse(z: Float[Array, "b *event"]) -> tuple[Array, Array]:
        z, log_scale, shift, log_det = prepared(z)
        return z * jnp.exp(-log_scale) - shift, -log_det

    return Bijection(forward, inverse)
