"""Likelihoods of real values and of integer levels under a Gaussian."""

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxgen.distributions.gaussian import Gaussian
from jaxgen.distributions.likelihoods.levels import Likelihood, check_levels, check_shape, event_sum, level_index


def discretised_gaussian(levels: int = 256, low: float = -1.0, high: float = 1.0) -> Likelihood:
    """The likelihood (x0, Gaussian) -> log-mass of the Gaussian in the bin around the level of x0, in nats.

    The levels are evenly spaced from low to high, each in the middle of its bin; the first and the last bin extend to
    infinity. x0 is rounded to the nearest level. Value and gradient are accurate thousands of stds from the mean.

    Args:
        levels: the number of levels, ≥ 2.
        low: the lowest level.
        high: the highest level.

    Returns:
        A function of x0 (B, *event) and a `Gaussian` whose mean has that shape and whose std is positive. It raises
        ValueError if the mean has another shape.

    Raises:
        ValueError: unless levels ≥ 2 and low < high.

    Reference:
        Ho et al. 2020, eq. 13.
    """
    check_levels(levels, low, high)

    def log_probability(x0: Float[Array, "b *event"], gaussian: Gaussian) -> Float[Array, " b"]:
        index, mean, std = level_index(x0, gaussian, levels, low, high)
        step = (high - low) / (levels - 1)
        # neighbouring bins compute their common edge alike, so that the masses sum to 1
        left, right = ((low + (index + side) * step - mean) / std for side in (-0.5, 0.5))
        first, last = index == 0, index == levels - 1
        # the mass is computed in the right tail; a bin left of the mean is mirrored
        mirrored = first | (~last & (left + right < 0))
        near = jnp.where(mirrored, -right, left)
        share = jnp.log(-jnp.expm1(jnp.where(first | last, -1, _log_tail_change(near, step / std))))
        return event_sum(_log_tail(near) + jnp.where(first | last, 0, share))

    return log_probability


def gaussian_softmax(levels: int = 256, low: float = -1.0, high: float = 1.0) -> Likelihood:
    """The likelihood (x0, Gaussian) -> log of its density at the level of x0 over the sum at all levels, in nats.

    The levels are those of `discretised_gaussian`. The sum costs levels × event operations, and as much memory where
    the compiler does not fuse it; none of it is kept for the gradient.

    Args:
        levels: the number of levels, ≥ 2.
        low: the lowest level.
        high: the highest level.

    Returns:
        A function as `discretised_gaussian` returns.

    Raises:
        ValueError: unless levels ≥ 2 and low < high.

    Reference:
        Kingma et al. 2021, §3.3.
    """
    check_levels(levels, low, high)

    @jax.checkpoint
    def log_softmax(index: Array, mean: Array, std: Array) -> Array:
        step = (high - low) / (levels - 1)
        nearest = jnp.clip(jnp.round((mean - low) / step), 0, levels - 1)
        level = low + nearest * step

        def logit(index: Array) -> Array:
            """Log-density minus that at the level nearest to the mean, as a product: accurate for a wide Gaussian."""
            distance = (index - nearest) * step
            return distance * (2 * (mean - level) - distance) / (2 * std**2)

        indices = jnp.arange(levels, dtype=mean.dtype).reshape(-1, *(1,) * index.ndim)
        return logit(index) - jax.nn.logsumexp(logit(indices), axis=0)

    def log_probability(x0: Float[Array, "b *event"], gaussian: Gaussian) -> Float[Array, " b"]:
        return event_sum(log_softmax(*level_index(x0, gaussian, levels, low, high)))

    return log_probability


def gaussian() -> Likelihood:
    """The likelihood (x0, Gaussian) -> log-density at x0 in nats, for continuous data.

    Returns:
        A function of x0 (B, *event) and a `Gaussian` whose mean has that shape and whose std is positive. It raises
        ValueError if the mean has another shape.
    """

    def log_density(x0: Float[Array, "b *event"], params: Gaussian) -> Float[Array, " b"]:
        q = Gaussian(*params)
        check_shape(x0, q.mean)
        return q.log_density(x0)

    return log_density


def _log_tail(x: Array) -> Array:
    """log P(Z > x); beyond x = 10 log φ(x) − log `_fraction`, as the gradient of `log_ndtr` is inaccurate there."""
    beyond = -0.5 * jnp.maximum(x, 10) ** 2 - 0.5 * math.log(2 * math.pi) - jnp.log(_fraction(x))
    return jnp.where(x < 10, jax.scipy.special.log_ndtr(-jnp.minimum(x, 10)), beyond)


def _log_tail_change(x: Array, width: Array) -> Array:
    """log P(Z > x + width) − log P(Z > x), without cancellation in the far tail."""
    far = jnp.maximum(x, 10)
    beyond = -width * (far + 0.5 * width) + jnp.log(_fraction(far) / _fraction(far + width))
    near = jnp.minimum(x, 10)
    return jnp.where(x < 10, _log_tail(near + width) - _log_tail(near), beyond)


def _fraction(x: Array) -> Array:
    """Laplace's continued fraction x + 1/(x + 2/(x + …)), with x clipped to at least 10."""
    x = fraction = jnp.maximum(x, 10)
    for k in range(12, 0, -1):
        fraction = x + k / fraction
    return fraction
