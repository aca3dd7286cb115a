"""The likelihood of integer levels under a logistic distribution."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxgen.distributions.likelihoods.levels import Likelihood, check_levels, event_sum, level_index


def discretised_logistic(levels: int = 256, low: float = -1.0, high: float = 1.0) -> Likelihood:
    """The likelihood (x, (mean, scale)) -> log-mass of a logistic in the bin around the level of x, in nats.

    Levels and bins are those of `discretised_gaussian`. The mass of the bin between edges a < b, in units of the scale,
    is computed as σ(b) σ(−a) (1 − e^{a−b}), which is accurate in both tails.

    Args:
        levels: the number of levels, ≥ 2.
        low: the lowest level.
        high: the highest level.

    Returns:
        A function of x (B, *event) and a pair of means and scales s > 0 of that shape (the standard deviation is
        sπ/√3). The pair may be a `Gaussian`, whose std is then read as s. It raises ValueError if the means have
        another shape.

    Raises:
        ValueError: unless levels ≥ 2 and low < high.

    Reference:
        Kingma et al. 2016, §5; Salimans et al. 2017 (PixelCNN++), eq. 2.
    """
    check_levels(levels, low, high)

    def log_probability(x: Float[Array, "b *event"], params: tuple[Array, Array]) -> Float[Array, " b"]:
        index, mean, scale = level_index(x, params, levels, low, high)
        step = (high - low) / (levels - 1)
        # neighbouring bins compute their common edge alike, so that the masses sum to 1
        left, right = ((low + (index + side) * step - mean) / scale for side in (-0.5, 0.5))
        first, last = index == 0, index == levels - 1
        width = jnp.where(first | last, 1, step / scale)
        between = jnp.where(first | last, 0, jnp.log(-jnp.expm1(-width)))
        below = jnp.where(last, 0, jax.nn.log_sigmoid(right))
        above = jnp.where(first, 0, jax.nn.log_sigmoid(-left))
        return event_sum(below + above + between)

    return log_probability
