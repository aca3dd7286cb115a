"""Linear maps of the channels: permutations, and matrices by their LU factors."""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxgen.core import check_at_least
from jaxgen.flows.bijections import Bijection, as_batch, no_change


def permutation(order: Sequence[int] | np.ndarray) -> Bijection:
    """The map z[..., i] = x[..., order[i]] of the last axis.

    Args:
        order: each of 0 … c−1 once. `range(c)[::-1]` reverses; `np.random.default_rng(seed).permutation(c)` mixes.

    Returns:
        The bijection, of log-determinant 0.

    Raises:
        ValueError: if the order is no permutation; when called, if the last axis has another length.
    """
    order = np.asarray(order)
    if order.ndim != 1 or not np.array_equal(np.sort(order), np.arange(len(order))):
        raise ValueError(f"order must hold each of 0 … c−1 once, got {order.tolist()}")

    def take(order: np.ndarray, x: Array) -> tuple[Array, Array]:
        x = as_batch(x)
        if x.shape[-1] != len(order):
            raise ValueError(f"the permutation is of {len(order)} channels, x has shape {x.shape}")
        return x[..., order], no_change(x)

    back = np.argsort(order)
    return Bijection(lambda x: take(order, x), lambda z: take(back, z))


class LULinearParams(NamedTuple):
    """Parameters of `lu_linear` for c channels.

    Attributes:
        lower: (c, c); L is its part below the diagonal, with ones on the diagonal.
        upper: (c, c); U is its part above the diagonal, with e^log_diagonal on the diagonal.
        log_diagonal: (c,).
    """

    lower: Array
    upper: Array
    log_diagonal: Array


def init_lu_linear(channels: int) -> LULinearParams:
    """The parameters at which `lu_linear` is the identity.

    Args:
        channels: number of channels c ≥ 1.

    Returns:
        The parameters, all 0.

    Raises:
        ValueError: if channels < 1.
    """
    check_at_least(1, channels=channels)
    square = channels, channels
    return LULinearParams(jnp.zeros(square), jnp.zeros(square), jnp.zeros(channels))


def lu_linear(params: LULinearParams) -> Bijection:
    """The map z = L U x of the last axis: for images an invertible 1×1 convolution.

    The log-determinant is the sum of log_diagonal, times the number of pixels, and the inverse solves two triangular
    systems. With `permutation` before it, it is a matrix L U P. Glow's weights are P L U, with a fixed P too.

    Args:
        params: as `init_lu_linear` returns them.

    Returns:
        The bijection.

    Raises:
        ValueError: when called, if x has another number of channels.

    Reference:
        Kingma & Dhariwal 2018, "Glow", eq. 10 and 11.
    """

    def prepared(x: Array) -> tuple[Array, Array, Array, Array]:
        x = as_batch(x)
        channels = params.log_diagonal.shape[0]
        if x.shape[-1] != channels:
            raise ValueError(f"the linear map is of {channels} channels, x has shape {x.shape}")
        lower, upper, log_diagonal = (jnp.asarray(part, x.dtype) for part in params)
        lower = jnp.tril(lower, -1) + jnp.eye(channels, dtype=x.dtype)
        upper = jnp.triu(upper, 1) + jnp.diag(jnp.exp(log_diagonal))
        places = x[0].size // channels
        return x, lower, upper, jnp.broadcast_to(places * log_diagonal.sum(), x.shape[:1])

    def forward(x: Float[Array, "b *event"]) -> tuple[Array, Array]:
        x, lower, upper, log_det = prepared(x)
        return jnp.matmul(x, jnp.matmul(lower, upper, precision="highest").T, precision="highest"), log_det

    def inverse(z: Float[Array, "b *event"]) -> tuple[Array, Array]:
        z, lower, upper, log_det = prepared(z)
        columns = z.reshape(-1, z.shape[-1]).T
        columns = jax.scipy.linalg.solve_triangular(lower, columns, lower=True, unit_diagonal=True)
        columns = jax.scipy.linalg.solve_triangular(upper, columns, lower=False)
        return columns.T.reshape(z.shape), -log_det

    return Bijection(forward, inverse)
