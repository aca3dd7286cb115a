"""The uniform chain: a token is drawn anew from all categories; and the binomial chain, its case of two."""

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Int, Key

from jaxgen.core import fold_in, safe_divide, threefry_key
from jaxgen.discrete_diffusion.draws import bernoulli
from jaxgen.discrete_diffusion.process import CategoricalProcess, check_categories, over_tokens
from jaxgen.discrete_diffusion.schedules import Schedule


class Uniform(CategoricalProcess):
    """See `uniform`."""

    def _log_mixed(self, kept: Array, x: Int[Array, "b *event"], alpha: ArrayLike, complement: ArrayLike) -> Array:
        """log(α [kept] + (1 − α)/S)."""
        floor = over_tokens(complement, x) / self.states
        return jnp.log(jnp.where(kept, over_tokens(alpha, x) + floor, floor))

    def _is(self, x: Int[Array, "b *event"]) -> Array:
        return jnp.arange(self.states) == x[..., None]

    def log_marginal(self, x0: Int[Array, "b *event"], t: ArrayLike) -> Float[Array, "b *event s"]:
        """log(α [x_t = x_0] + (1 − α)/K)."""
        return self._log_mixed(self._is(x0), x0, self.schedule.alpha(t), self.schedule.complement(t))

    def log_evidence(self, x_t: Int[Array, "b *event"], t: ArrayLike) -> Float[Array, "b *event k"]:
        """As `log_marginal`, for the chain is symmetric."""
        return self.log_marginal(x_t, t)

    def log_backward(self, x_t: Int[Array, "b *event"], s: ArrayLike, t: ArrayLike) -> Float[Array, "b *event s"]:
        """As `log_marginal`, with α_t/α_s in place of α."""
        alpha, before = self.schedule.alpha(t), self.schedule.alpha(s)
        drawn = (self.schedule.complement(t) - self.schedule.complement(s)) / before
        return self._log_mixed(self._is(x_t), x_t, alpha / before, drawn)

    def log_mixture(self, log_p: Float[Array, "b *event k"], t: ArrayLike) -> Float[Array, "b *event s"]:
        """log(α p + (1 − α)/K)."""
        x = log_p[..., 0]
        alpha, complement = (over_tokens(value, x) for value in (self.schedule.alpha(t), self.schedule.complement(t)))
        return jnp.logaddexp(jnp.log(alpha) + log_p, jnp.log(complement / self.states))

    def log_rates(self, x_t: Int[Array, "b *event"], t: ArrayLike) -> Float[Array, "b *event s"]:
        """log of −α′/(αK); no rate where α = 0, where nothing of the data is left."""
        rate = safe_divide(self.schedule.slope(t), self.schedule.alpha(t)) / self.states
        return jnp.where(self._is(x_t), -jnp.inf, jnp.log(over_tokens(rate, x_t)))

    def sample_stationary(self, keys: Key[Array, " b"], shape: tuple[int, ...]) -> Int[Array, "b *event"]:
        """Draw from all categories alike."""
        draw = jax.vmap(lambda key: jax.random.randint(key, shape, 0, self.states, jnp.int32))
        return draw(threefry_key(keys))

    def perturb(self, keys: Key[Array, " b"], x0: Int[Array, "b *event"], t: ArrayLike) -> Int[Array, "b *event"]:
        """Draw anew with probability 1 − α."""
        drawn = bernoulli(fold_in(keys, 0), self.schedule.complement(t), x0.shape[1:])
        return jnp.where(drawn, self.sample_stationary(fold_in(keys, 1), x0.shape[1:]), x0).astype(jnp.int32)


def uniform(categories: int, schedule: Schedule) -> Uniform:
    """The uniform chain: x_t is x_0 with probability alpha(t), and otherwise drawn from all K categories alike.

        q(x_t | x_s) = α_t/α_s [x_t = x_s] + (1 − α_t/α_s)/K

    Args:
        categories: K ≥ 2.
        schedule: alpha(t), in continuous or discrete time.

    Returns:
        The process.

    Raises:
        ValueError: if categories < 2.

    Reference:
        Hoogeboom et al. 2021, "Argmax flows and multinomial diffusion", §4; Austin et al. 2021, appendix A.2.1.
    """
    check_categories(categories)
    return Uniform(schedule=schedule, stationary=np.full(categories, 1 / categories, np.float32))


def binomial(schedule: Schedule) -> Uniform:
    """The chain of binary data: q(x_t = 1 | x_{t−1}) = x_{t−1}(1 − β_t) + β_t/2.

    It is `uniform` with two categories.

    Args:
        schedule: as in `uniform`; `schedule_from_betas(betas)` for the β_t of the paper.

    Returns:
        The process.

    Reference:
        Sohl-Dickstein et al. 2015, "Deep unsupervised learning using nonequilibrium thermodynamics", table 1.
    """
    return uniform(2, schedule)
