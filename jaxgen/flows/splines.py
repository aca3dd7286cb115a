"""Monotone rational-quadratic splines with the identity as tails."""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


class SplineKnots(NamedTuple):
    """The K + 1 knots (x, y) of splines and their slopes, (..., K + 1) each; x and y ascend, slopes are positive.

    Outside the first and last knot a spline is the identity. `spline_knots` puts the end knots on that line, with
    slope 1.
    """

    x: Array
    y: Array
    slope: Array


def spline_knots(params: Float[Array, "*p size"], bound: float, smallest: float = 1e-3) -> SplineKnots:
    """The knots of splines on [−bound, bound]² by unconstrained parameters.

    Args:
        params: (..., 3K − 1): K widths and K heights, each through a softmax, and K − 1 interior slopes through a
            softplus whose offset makes 0 the slope 1.
        bound: half the side of the square.
        smallest: the smallest width and height as a share of the side, and the smallest slope.

    Returns:
        The knots.

    Reference:
        Durkan et al. 2019, "Neural spline flows", §3.1.
    """
    bins = (params.shape[-1] + 1) // 3
    edges = [(0, 0)] * (params.ndim - 1)

    def positions(raw: Array) -> Array:
        shares = smallest + (1 - smallest * bins) * jax.nn.softmax(raw, axis=-1)
        inner = 2 * jnp.cumsum(shares, axis=-1)[..., :-1] - 1
        inner = jnp.pad(inner, [*edges, (1, 0)], constant_values=-1)
        return bound * jnp.pad(inner, [*edges, (0, 1)], constant_values=1)  # exact ends

    offset = math.log(math.expm1(1 - smallest))
    slope = smallest + jax.nn.softplus(params[..., 2 * bins :] + offset)
    slope = jnp.pad(slope, [*edges, (1, 1)], constant_values=1)
    return SplineKnots(positions(params[..., :bins]), positions(params[..., bins : 2 * bins]), slope)


def rational_quadratic(knots: SplineKnots, x: Float[Array, "*p"]) -> tuple[Float[Array, "*p"], Float[Array, "*p"]]:
    """The splines at x, and the logarithms of their slopes.

    Args:
        knots: the knots (..., K + 1).
        x: one number for each spline, (...).

    Returns:
        The values and the log-slopes, (...).

    Reference:
        Durkan et al. 2019, "Neural spline flows", eq. 4 and 5.
    """
    inside = (x >= knots.x[..., 0]) & (x < knots.x[..., -1])
    at = jnp.where(inside, x, (knots.x[..., 0] + knots.x[..., -1]) / 2)  # tails must not spoil gradients
    bin_ = _bin(knots, knots.x, at)
    share = (at - bin_.x) / bin_.width
    value = bin_.y + bin_.height * (bin_.chord * share**2 + bin_.left * share * (1 - share)) / bin_.denominator(share)
    return jnp.where(inside, value, x), jnp.where(inside, bin_.log_slope(share), 0)


def rational_quadratic_inverse(
    knots: SplineKnots, y: Float[Array, "*p"]
) -> tuple[Float[Array, "*p"], Float[Array, "*p"]]:
    """The inverses of the splines at y, and the logarithms of the inverses' slopes.

    Of the two forms of the root of a quadratic equation, 2c/(−b − √(b² − 4ac)) and (−b + √(b² − 4ac))/(2a), each spline
    takes the one without cancellation.

    Args:
        knots: the knots (..., K + 1).
        y: one number for each spline, (...).

    Returns:
        The values and the log-slopes of the inverses, (...).

    Reference:
        Durkan et al. 2019, "Neural spline flows", eq. 6 to 8 and appendix A.
    """
    inside = (y >= knots.y[..., 0]) & (y < knots.y[..., -1])
    at = jnp.where(inside, y, (knots.y[..., 0] + knots.y[..., -1]) / 2)
    bin_ = _bin(knots, knots.y, at)
    rise, bend = at - bin_.y, bin_.left + bin_.right - 2 * bin_.chord
    a = bin_.height * (bin_.chord - bin_.left) + rise * bend
    b = bin_.height * bin_.left - rise * bend
    c = -bin_.chord * rise
    square = b**2 - 4 * a * c
    root = jnp.sqrt(jnp.where(square > 0, square, 1)) * (square > 0)  # below 0 by rounding alone
    # b < 0 implies a > 0, since a + b is the height times the chord's slope
    share = jnp.where(b < 0, (root - b) / (2 * jnp.where(b < 0, a, 1)), 2 * c / jnp.where(b < 0, -1, -b - root))
    share = jnp.clip(share, 0, 1)
    return jnp.where(inside, bin_.x + share * bin_.width, y), jnp.where(inside, -bin_.log_slope(share), 0)


class _Bin(NamedTuple):
    """The bin of each spline in which its argument lies: lower left corner, sides, slopes at both ends and between."""

    x: Array
    y: Array
    width: Array
    height: Array
    left: Array
    right: Array

    @property
    def chord(self) -> Array:
        return self.height / self.width

    def denominator(self, share: Array) -> Array:
        return self.chord + (self.left + self.right - 2 * self.chord) * share * (1 - share)

    def log_slope(self, share: Array) -> Array:
        rest = 1 - share
        above = self.right * share**2 + 2 * self.chord * share * rest + self.left * rest**2
        return 2 * jnp.log(self.chord) + jnp.log(above) - 2 * jnp.log(self.denominator(share))


def _bin(knots: SplineKnots, edges: Array, at: Array) -> _Bin:
    """Select each spline's bin, by a sum with one term that is not 0: its gradient needs no scatter."""
    at = at[..., None]
    here = (at >= edges[..., :-1]) & (at < edges[..., 1:])

    def pick(values: Array) -> Array:
        return jnp.sum(jnp.where(here, values, 0), axis=-1)

    x, y = pick(knots.x[..., :-1]), pick(knots.y[..., :-1])
    width, height = pick(jnp.diff(knots.x)), pick(jnp.diff(knots.y))
    return _Bin(x, y, width, height, pick(knots.slope[..., :-1]), pick(knots.slope[..., 1:]))
