"""Values and integer levels under a Gaussian."""

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxgen.distributions.gaussian import Gaussian, at_least_float32
from jaxgen.distributions.likelihoods.levels import Likelihood, check_levels, check_shape, event_sum, level_index


def discretised_gaussian(levels: int = 256, low: float = -1.0, high: float = 1.0) -> Likelihood:
    """(x0, N) -> log of N's mass in the bin about the level of x0 (B, *event), in nats, (B,) (Ho et al. 2020, eq. 13).

    The levels lie evenly from low to high, each in the middle of its bin; the first and the last bin reach to infinity.
    x0 is read as the level nearest to it. Value and gradient are right at thousands of std from the mean, with no
    floor; the std must be positive.
    Raises ValueError unless levels ≥ 2 and low < high and, when called, for a mean of another shape than x0's.
    """
    check_levels(levels, low, high)

    def log_probability(x0: Float[Array, "b *event"], gaussian: Gaussian) -> Float[Array, " b"]:
        index, mean, std = _read(x0, gaussian, levels, low, high)
        step = (high - low) / (levels - 1)
        # the edge of two bins is the same number in both, so that the bins lose nothing
        left, right = ((low + (index + side) * step - mean) / std for side in (-0.5, 0.5))
        first, last = index == 0, index == levels - 1
        # the mass is taken from the tail that the bin lies in, on the right by symmetry
        mirrored = first | (~last & (left + right < 0))
        near = jnp.where(mirrored, -right, left)
        share = jnp.log(-jnp.expm1(jnp.where(first | last, -1, _log_tail_change(near, step / std))))
        return event_sum(_log_tail(near) + jnp.where(first | last, 0, share))

    return log_probability


def gaussian_softmax(levels: int = 256, low: float = -1.0, high: float = 1.0) -> Likelihood:
    """(x0, N) -> log of N's density at the level of x0 over its sum at all levels, (B,) (Kingma et al. 2021, §3.3).

    Levels as in `discretised_gaussian`; x0 is read as the level nearest to it. The sum costs levels × event operations, and as
    much memory where the compiler does not fuse it (it keeps none of it for the gradient); the std must be positive.
    Raises ValueError unless levels ≥ 2 and low < high and, when called, for a mean of another shape than x0's.
    """
    check_levels(levels, low, high)

    @jax.checkpoint
    def log_softmax(index: Array, mean: Array, std: Array) -> Array:
        step = (high - low) / (levels - 1)
        nearest = jnp.clip(jnp.round((mean - low) / step), 0, levels - 1)
        level = low + nearest * step

        def logit(index: Array) -> Array:
            """log-density less that at the level nearest to the mean, as a product: a wide N loses no digits."""
            distance = (index - nearest) * step
            return distance * (2 * (mean - level) - distance) / (2 * std**2)

        indices = jnp.arange(levels, dtype=mean.dtype).reshape(-1, *(1,) * index.ndim)
        return logit(index) - jax.nn.logsumexp(logit(indices), axis=0)

    def log_probability(x0: Float[Array, "b *event"], gaussian: Gaussian) -> Float[Array, " b"]:
        return event_sum(log_softmax(*_read(x0, gaussian, levels, low, high)))

    return log_probability


def gaussian() -> Likelihood:
    """(x0, N) -> log-density of N at x0 (B, *event), in nats, (B,): for continuous data; the std must be positive.

    Raises ValueError, when called, for a mean of another shape than x0's.
    """

    def log_density(x0: Float[Array, "b *event"], params: Gaussian) -> Float[Array, " b"]:
        q = Gaussian(*params)
        check_shape(x0, q.mean)
        return q.log_density(x0)

    return log_density


def _read(x0: Array, gaussian: Gaussian, levels: int, low: float, high: float) -> tuple[Array, Array, Array]:
    """The index of x0's level, a whole number as a float, and the Gaussian."""
    mean, std = at_least_float32(gaussian)
    check_shape(x0, mean)
    return level_index(x0.astype(mean.dtype), levels, low, high), mean, std


def _log_tail(x: Array) -> Array:
    """log P(Z > x), with a gradient that keeps its digits in the tail, where that of `log_ndtr` has an error of x² ulp.

    Beyond 10 it is φ(x) over `_fraction`.
    """
    beyond = -0.5 * jnp.maximum(x, 10) ** 2 - 0.5 * math.log(2 * math.pi) - jnp.log(_fraction(x))
    return jnp.where(x < 10, jax.scipy.special.log_ndtr(-jnp.minimum(x, 10)), beyond)


def _log_tail_change(x: Array, width: Array) -> Array:
    """log P(Z > x + width) − log P(Z > x): in the far tail their difference as numbers would have no digits left."""
    far = jnp.maximum(x, 10)
    beyond = -width * (far + 0.5 * width) + jnp.log(_fraction(far) / _fraction(far + width))
    near = jnp.minimum(x, 10)
    return jnp.where(x < 10, _log_tail(near + width) - _log_tail(near), beyond)


def _fraction(x: Array) -> Array:
    """x + 1/(x + 2/(x + …)), x held above 10 (Laplace)."""
    x = fraction = jnp.maximum(x, 10)
    for k in range(12, 0, -1):
        fraction = x + k / fraction
    return fraction
