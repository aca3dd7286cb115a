"""Monotone maps of a number by a few parameters, which couplings and autoregressive flows apply to each coordinate."""

import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxgen.core import check_at_least, check_positive
from jaxgen.flows.splines import rational_quadratic, rational_quadratic_inverse, spline_knots

ScalarFunction = Callable[[Array, Array], tuple[Array, Array]]
"""(params (..., size), x (...)) -> (z (...), log|dz/dx| (...))."""


class ScalarMap(NamedTuple):
    """A family of monotone functions of a number, with `size` parameters each.

    Args:
        size: number of parameters of one function, as a conditioner returns them.
        forward: (params (..., size), x (...)) -> (z (...), log|dz/dx| (...)).
        inverse: (params (..., size), z (...)) -> (x (...), log|dx/dz| (...)).
    """

    size: int
    forward: ScalarFunction
    inverse: ScalarFunction


def affine_map(largest: float = 2.0) -> ScalarMap:
    """The maps z = s · (x + b) of parameters (a, b), with s = largest · sigmoid(a + log(1/(largest − 1))).

    The scale s lies in (0, largest) and is 1 at a = 0, so zero parameters give the identity. A bounded scale keeps
    training stable where e^a would explode. Glow's scale sigmoid(a + 2) is that of largest = 1 + e^{−2}, up to a
    constant factor.

    Args:
        largest: the largest scale, above 1.

    Returns:
        The maps, of two parameters.

    Raises:
        ValueError: unless largest is above 1 and finite.

    Reference:
        Dinh et al. 2017, "Density estimation using Real NVP", eq. 7; Kingma & Dhariwal 2018, "Glow", table 1.
    """
    if not 1 < largest < math.inf:
        raise ValueError(f"largest must be above 1 and finite, got {largest}: the scale is 1 at zero parameters")
    offset = -math.log(largest - 1)

    def log_scale(raw: Array) -> Array:
        return math.log(largest) + jax.nn.log_sigmoid(raw + offset)

    def forward(params: Float[Array, "*p 2"], x: Float[Array, "*p"]) -> tuple[Array, Array]:
        log_s = log_scale(params[..., 0])
        return jnp.exp(log_s) * (x + params[..., 1]), log_s

    def inverse(params: Float[Array, "*p 2"], z: Float[Array, "*p"]) -> tuple[Array, Array]:
        log_s = log_scale(params[..., 0])
        return jnp.exp(-log_s) * z - params[..., 1], -log_s

    return ScalarMap(2, forward, inverse)


def spline_map(bins: int = 8, bound: float = 5.0, *, smallest: float = 1e-3) -> ScalarMap:
    """Monotone rational-quadratic splines on [−bound, bound], and the identity outside.

    Zero parameters give the identity. The slope at both ends is 1, so that value and log-determinant are continuous
    there.

    Args:
        bins: number of bins K ≥ 1 of a spline, which has 3K − 1 parameters: K widths, K heights and K − 1 slopes.
        bound: half the side of the square in which the spline lies, positive. Standardise the data first.
        smallest: the smallest share of the side that a width or height may have, and the smallest slope; below 1/K.

    Returns:
        The maps.

    Raises:
        ValueError: if bins < 1, or bound or smallest are out of range.

    Reference:
        Durkan et al. 2019, "Neural spline flows", §3.1.
    """
    check_at_least(1, bins=bins)
    check_positive(bound=bound, smallest=smallest)
    if smallest * bins >= 1:
        raise ValueError(f"smallest must be below 1/bins = {1 / bins:.3g}, got {smallest}: the bins share the side")

    def forward(params: Float[Array, "*p size"], x: Float[Array, "*p"]) -> tuple[Array, Array]:
        return rational_quadratic(spline_knots(params, bound, smallest), x)

    def inverse(params: Float[Array, "*p size"], z: Float[Array, "*p"]) -> tuple[Array, Array]:
        return rational_quadratic_inverse(spline_knots(params, bound, smallest), z)

    return ScalarMap(3 * bins - 1, forward, inverse)
