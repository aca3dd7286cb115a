"""Maps of each coordinate by itself: fixed scales, the logit, and any monotone function."""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from jaxgen.core import is_traced
from jaxgen.flows.bijections import Bijection, as_batch, sum_event


def elementwise(function: Callable[[Array], Array], inverse: Callable[[Array], Array]) -> Bijection:
    """A strictly monotone function of each coordinate; autodiff gives the log-determinant.

    Args:
        function: acts on each entry of an array by itself, as `jnp.sinh` does.
        inverse: its inverse, as `jnp.arcsinh`. It needs a derivative too.

    Returns:
        The bijection.
    """

    def of(function: Callable[[Array], Array]) -> Callable[[Array], tuple[Array, Array]]:
        def mapped(x: Float[Array, "b *event"]) -> tuple[Array, Array]:
            x = as_batch(x)
            value, slope = jax.jvp(function, (x,), (jnp.ones_like(x),))
            return value, sum_event(jnp.log(jnp.abs(slope)))

        return mapped

    return Bijection(of(function), of(inverse))


def scale_and_shift(scale: ArrayLike = 1.0, shift: ArrayLike = 0.0) -> Bijection:
    """The map z = scale · x + shift, for instance to standardise data.

    Args:
        scale: factors that are not 0; broadcast to an example, (*event).
        shift: offsets; broadcast to an example.

    Returns:
        The bijection.

    Raises:
        ValueError: if a concrete scale is 0 or not finite; when called, if scale or shift do not broadcast.
    """
    if not is_traced(scale) and not np.all(np.isfinite(scale) & (np.asarray(scale) != 0)):
        raise ValueError(f"scale must be finite and not 0, got {scale}: a factor of 0 has no inverse")

    def parameters(x: Array) -> tuple[Array, Array, Array]:
        event = x.shape[1:]
        factor, offset = (jnp.broadcast_to(jnp.asarray(value, x.dtype), event) for value in (scale, shift))
        return factor, offset, jnp.broadcast_to(jnp.log(jnp.abs(factor)).sum(), x.shape[:1])

    def forward(x: Float[Array, "b *event"]) -> tuple[Array, Array]:
        x = as_batch(x)
        factor, offset, log_det = parameters(x)
        return x * factor + offset, log_det

    def inverse(z: Float[Array, "b *event"]) -> tuple[Array, Array]:
        z = as_batch(z)
        factor, offset, log_det = parameters(z)
        return (z - offset) / factor, -log_det

    return Bijection(forward, inverse)


def logit(margin: float = 0.0) -> Bijection:
    """The map z = logit(m + (1 − 2m) x) of data in (0, 1) to all real numbers.

    A margin m > 0 keeps 0 and 1 finite, so that the density of dequantised images is finite at black and white. Its
    inverse then reaches beyond [0, 1] by m/(1 − 2m).

    Args:
        margin: m in [0, ½). Images take 0.05, MNIST often 1e-6.

    Returns:
        The bijection.

    Raises:
        ValueError: if the margin is outside [0, ½).

    Reference:
        Dinh et al. 2017, "Density estimation using Real NVP", §4.1.
    """
    if not 0 <= margin < 0.5:
        raise ValueError(f"the margin must lie in [0, 0.5), got {margin}")
    inside = 1 - 2 * margin

    def log_slope(z: Array) -> Array:
        """log dx/dz = log σ(z) + log σ(−z) − log(1 − 2m)."""
        return sum_event(jax.nn.log_sigmoid(z) + jax.nn.log_sigmoid(-z) - math.log(inside))

    def forward(x: Float[Array, "b *event"]) -> tuple[Array, Array]:
        x = as_batch(x)
        y, rest = margin + inside * x, margin + inside * (1 - x)  # 1 − y without cancellation near 1
        z = jnp.log(y) - jnp.log(rest)
        return z, -sum_event(jnp.log(y) + jnp.log(rest) - math.log(inside))

    def inverse(z: Float[Array, "b *event"]) -> tuple[Array, Array]:
        z = as_batch(z)
        return (jax.nn.sigmoid(z) - margin) / inside, log_slope(z)

    return Bijection(forward, inverse)
