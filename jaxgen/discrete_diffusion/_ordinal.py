"""The ordinal chain in continuous time: tokens jump to neighbouring categories."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Int

from jaxgen.core import as_float, check_positive, safe_divide
from jaxgen.discrete_diffusion.matrices import MatrixProcess
from jaxgen.discrete_diffusion.process import check_categories, over_tokens
from jaxgen.discrete_diffusion.schedules import Schedule

_LONGEST = 30.0  # time at which the slowest mode is below the precision of float32
_TERMS = 6


class Ordinal(MatrixProcess):
    """See `ordinal`."""

    jumps: Any  # (K, K), symmetric rates of a unit of time; 0 on the diagonal

    def transition(self, s: ArrayLike, t: ArrayLike) -> Float[Array, "*b k k"]:
        """exp(−log(α_t/α_s) R), by a short series of positive terms, and squaring.

        All terms are positive, so that small probabilities are as precise as large ones.
        """
        drawn = (self.schedule.complement(t) - self.schedule.complement(s)) / self.schedule.alpha(s)
        duration = jnp.minimum(-jnp.log1p(-jnp.minimum(drawn, 1.0)), _LONGEST)
        return self._exponential(duration) if duration.ndim == 0 else jax.vmap(self._exponential)(duration)

    def _exponential(self, duration: Float[Array, ""]) -> Float[Array, "k k"]:
        jumps, identity = as_float(self.jumps), jnp.eye(self.states)
        leaving = jumps.sum(-1)
        fastest = leaving.max()
        # exp(dR) = e^{−dΛ} Σ (dΛ)^k P^k/k!, with the stochastic matrix P = I + R/Λ
        stochastic = (jumps + jnp.diag(fastest - leaving)) / fastest
        length = duration * fastest
        halvings = jnp.ceil(jnp.log2(jnp.maximum(4 * length, 1))).astype(jnp.int32)
        h = length / 2.0**halvings
        matrix = identity
        for k in range(_TERMS, 0, -1):
            matrix = identity + h / k * stochastic @ matrix
        return jax.lax.fori_loop(0, halvings, lambda _, matrix: _normalised(matrix @ matrix), _normalised(matrix))

    def log_rates(self, x_t: Int[Array, "b *event"], t: ArrayLike) -> Float[Array, "b *event s"]:
        """log of −α′/α R; no rate where α = 0, where nothing of the data is left."""
        speed = safe_divide(self.schedule.slope(t), self.schedule.alpha(t))
        return jnp.log(over_tokens(speed, x_t) * as_float(self.jumps)[x_t])


def _normalised(matrix: Float[Array, "k k"]) -> Float[Array, "k k"]:
    return matrix / matrix.sum(-1, keepdims=True)


def ordinal(categories: int, schedule: Schedule, width: float | int = 1.0) -> Ordinal:
    """The ordinal chain: a token jumps to category j at a rate ∝ exp(−(i − j)²/2 width²), which keeps order.

    Rates are symmetric, so the stationary law is uniform. They are scaled so that the slowest mode decays as alpha(t)
    does; for equal rates the chain would be `uniform`. `gaussian_chain` is the published chain in discrete time.

    Args:
        categories: K ≥ 2, in their order.
        schedule: alpha(t), in continuous or discrete time.
        width: standard deviation of the jumps > 0, in categories.

    Returns:
        The process.

    Raises:
        ValueError: if categories < 2, or width is not positive and finite.

    Reference:
        Campbell et al. 2022, "A continuous time framework for discrete denoising models", for Gaussian rates.
    """
    check_categories(categories)
    check_positive(width=width)
    index = np.arange(categories)
    # relative to the rate of the nearest neighbour, which therefore never underflows
    jumps = np.exp(-((index[:, None] - index) ** 2 - 1) / (2 * np.float64(width) ** 2))
    np.fill_diagonal(jumps, 0)
    gap = np.sort(np.linalg.eigvalsh(np.diag(jumps.sum(1)) - jumps))[1]
    return Ordinal(
        schedule=schedule,
        stationary=np.full(categories, 1 / categories, np.float32),
        jumps=(jumps / gap).astype(np.float32),
    )
