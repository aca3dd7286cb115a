"""Integer levels under a logistic distribution."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxgen.distributions.gaussian import Gaussian, at_least_float32
from jaxgen.distributions.likelihoods.levels import Likelihood, check_levels, check_shape, event_sum, level_index


def discretised_logistic(levels: int = 256, low: float = -1.0, high: float = 1.0) -> Likelihood:
    """(x, (mean, scale)) -> log of a logistic's mass in the bin about the level of x, in nats, (B,).

    Kingma et al. 2016, §5; Salimans et al. 2017 (PixelCNN++), eq. 2. Levels and open ends as in `discretised`; the pair
    may be a `Gaussian`, whose std is then the scale s > 0 (a logistic's deviation is sπ/√3). The mass is σ(b) σ(−a)
    (1 − e^{a−b}) of the edges a < b in units of s: right in both tails, without a floor or a case for them.
    Raises ValueError unless levels ≥ 2 and low < high and, when called, for a mean of another shape than x's.
    """
    check_levels(levels, low, high)

    def log_probability(x: Float[Array, "b *event"], params: tuple[Array, Array]) -> Float[Array, " b"]:
        mean, scale = at_least_float32(Gaussian(*params))
        check_shape(x, mean)
        index = level_index(x.astype(mean.dtype), levels, low, high)
        step = (high - low) / (levels - 1)
        # the edge of two bins is the same number in both, so that the bins lose nothing
        left, right = ((low + (index + side) * step - mean) / scale for side in (-0.5, 0.5))
        first, last = index == 0, index == levels - 1
        width = jnp.where(first | last, 1, step / scale)
        between = jnp.where(first | last, 0, jnp.log(-jnp.expm1(-width)))
        below = jnp.where(last, 0, jax.nn.log_sigmoid(right))
        above = jnp.where(first, 0, jax.nn.log_sigmoid(-left))
        return event_sum(below + above + between)

    return log_probability
