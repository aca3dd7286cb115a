"""The absorbing chain: tokens turn into a mask of its own."""

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Bool, Float, Int, Key

from jaxgen.core import as_float, fold_in, is_traced, per_example, safe_divide
from jaxgen.discrete_diffusion.draws import bernoulli, categorical
from jaxgen.discrete_diffusion.process import CategoricalProcess, check_categories, over_tokens
from jaxgen.discrete_diffusion.schedules import Schedule


class Absorbing(CategoricalProcess):
    """See `absorbing`."""

    @property
    def categories(self) -> int:
        """Number K of categories of the data, without the mask."""
        return self.states - 1

    @property
    def mask(self) -> int:
        """The token of the mask, K."""
        return self.states - 1

    def masked(self, x: Int[Array, "b *event"]) -> Bool[Array, "b *event"]:
        """Whether each token is the mask.

        Args:
            x: tokens.

        Returns:
            True at masks.
        """
        return x == self.mask

    def _is(self, x: Int[Array, "b *event"], states: int) -> Array:
        return jnp.arange(states) == x[..., None]

    def log_marginal(self, x0: Int[Array, "b *event"], t: ArrayLike) -> Float[Array, "b *event s"]:
        """log α for x_0, and log(1 − α) for the mask."""
        alpha, complement = (over_tokens(value, x0) for value in (self.schedule.alpha(t), self.schedule.complement(t)))
        kept = jnp.where(self._is(x0, self.states), alpha, 0)
        return jnp.log(jnp.where(jnp.arange(self.states) == self.mask, complement, kept))

    def log_evidence(self, x_t: Int[Array, "b *event"], t: ArrayLike) -> Float[Array, "b *event k"]:
        """log(1 − α) at masks for every category, and log α for x_t alone elsewhere."""
        alpha, complement = (over_tokens(value, x_t) for value in (self.schedule.alpha(t), self.schedule.complement(t)))
        kept = jnp.where(self._is(x_t, self.categories), alpha, 0)
        return jnp.log(jnp.where(self.masked(x_t)[..., None], complement, kept))

    def log_backward(self, x_t: Int[Array, "b *event"], s: ArrayLike, t: ArrayLike) -> Float[Array, "b *event s"]:
        """log q(x_t | x_s): a mask comes from a mask, or from any token with probability 1 − α_t/α_s."""
        before = self.schedule.alpha(s)
        drawn = (self.schedule.complement(t) - self.schedule.complement(s)) / before
        kept = jnp.where(self._is(x_t, self.states), over_tokens(self.schedule.alpha(t) / before, x_t), 0)
        to_mask = jnp.where(jnp.arange(self.states) == self.mask, 1, over_tokens(drawn, x_t))
        return jnp.log(jnp.where(self.masked(x_t)[..., None], to_mask, kept))

    def log_mixture(self, log_p: Float[Array, "b *event k"], t: ArrayLike) -> Float[Array, "b *event s"]:
        """log α + log p for the categories, and log(1 − α) for the mask."""
        x = log_p[..., 0]
        tokens = jnp.log(over_tokens(self.schedule.alpha(t), x)) + log_p
        masks = jnp.broadcast_to(jnp.log(over_tokens(self.schedule.complement(t), x)), (*x.shape, 1))
        return jnp.concatenate([tokens, masks], axis=-1)

    def sample_stationary(self, keys: Key[Array, " b"], shape: tuple[int, ...]) -> Int[Array, "b *event"]:
        """Masks alone."""
        return jnp.full((len(keys), *shape), self.mask, jnp.int32)

    def perturb(self, keys: Key[Array, " b"], x0: Int[Array, "b *event"], t: ArrayLike) -> Int[Array, "b *event"]:
        """Mask with probability 1 − α."""
        masks = bernoulli(keys, self.schedule.complement(t), x0.shape[1:])
        return jnp.where(masks, self.mask, x0).astype(jnp.int32)

    def unmask_probability(self, s: ArrayLike, t: ArrayLike) -> Array:
        """(α_s − α_t)/(1 − α_t), the probability that a mask at t is none at s; exactly 1 at s = 0.

        Args:
            s: earlier times, of any shape.
            t: times, of s's shape.

        Returns:
            The probabilities.
        """
        return 1 - safe_divide(as_float(self.schedule.complement(s)), self.schedule.complement(t))

    def reverse_step(
        self,
        keys: Key[Array, " b"],
        log_others: Float[Array, "b *event k"],
        x_t: Int[Array, "b *event"],
        s: ArrayLike,
        t: ArrayLike,
    ) -> Int[Array, "b *event"]:
        """Draw first which masks to unmask, then their tokens; a token that is no mask stays."""
        unmask = self.masked(x_t) & bernoulli(fold_in(keys, 0), self.unmask_probability(s, t), x_t.shape[1:])
        return jnp.where(unmask, categorical(fold_in(keys, 1), log_others), x_t)

    def step_divergence(
        self,
        log_others: Float[Array, "b *event k"],
        x_t: Int[Array, "b *event"],
        x0: Int[Array, "b *event"],
        s: ArrayLike,
        t: ArrayLike,
    ) -> Float[Array, "b *event"]:
        """(α_s − α_t)/(1 − α_t) times the cross-entropy, at masks."""
        return per_example(self.unmask_probability(s, t), x_t) * self._cross_entropy(log_others, x_t, x0)

    def rate_divergence(
        self,
        log_others: Float[Array, "b *event k"],
        x_t: Int[Array, "b *event"],
        x0: Int[Array, "b *event"],
        t: ArrayLike,
    ) -> Float[Array, "b *event"]:
        """−α′/(1 − α) times the cross-entropy, at masks.

        Reference:
            Shi et al. 2024, §3; Sahoo et al. 2024, §3.
        """
        weight = safe_divide(self.schedule.slope(t), self.schedule.complement(t))
        return per_example(weight, x_t) * self._cross_entropy(log_others, x_t, x0)

    def prior_divergence(self, x0: Int[Array, "b *event"], t: ArrayLike) -> Float[Array, "b *event"]:
        """0, for all tokens are masks at t = 1."""
        return jnp.zeros(x0.shape)

    def to_posterior(
        self, log_others: Float[Array, "b *event k"], x_t: Int[Array, "b *event"], t: ArrayLike
    ) -> Float[Array, "b *event k"]:
        """The same law at masks, and x_t itself elsewhere."""
        known = jnp.where(self._is(x_t, self.categories), 0.0, -jnp.inf)
        return jnp.where(self.masked(x_t)[..., None], log_others, known)

    def to_leave_one_out(
        self, log_x0: Float[Array, "b *event k"], x_t: Int[Array, "b *event"], t: ArrayLike
    ) -> Float[Array, "b *event k"]:
        """The same law: a mask says nothing of its own token, and other tokens stay whatever is predicted."""
        return log_x0

    def _cross_entropy(
        self, log_p: Float[Array, "b *event k"], x_t: Int[Array, "b *event"], x0: Int[Array, "b *event"]
    ) -> Float[Array, "b *event"]:
        chosen = jnp.take_along_axis(log_p, x0[..., None].astype(jnp.int32), axis=-1)[..., 0]
        return jnp.where(self.masked(x_t), -chosen, 0)


def absorbing(categories: int, schedule: Schedule) -> Absorbing:
    """The absorbing chain, or masked diffusion: x_t is x_0 with probability alpha(t), and otherwise the mask.

    The mask is the token K of its own, after the K categories of the data. A network sees K + 1 tokens and predicts K.

    Args:
        categories: K ≥ 2, without the mask.
        schedule: alpha(t), in continuous or discrete time, with alpha(1) = 0.

    Returns:
        The process.

    Raises:
        ValueError: if categories < 2, or alpha(1) > 0, where data would be left that the prior of masks excludes.

    Reference:
        Austin et al. 2021, appendix A.2.2; Shi et al. 2024; Sahoo et al. 2024.
    """
    check_categories(categories)
    with jax.ensure_compile_time_eval():
        last = schedule.alpha(1.0)
    if not is_traced(last) and last > 1e-6:
        raise ValueError(
            f"an absorbing chain needs alpha(1) = 0, got {float(last):.3g}: take linear_schedule(), cosine_schedule(), "
            "or betas whose last is 1, such as reciprocal_betas(T)"
        )
    return Absorbing(schedule=schedule, stationary=np.eye(categories + 1, dtype=np.float32)[-1])


def check_absorbing(process: CategoricalProcess, name: str) -> None:
    """Raise ValueError for a process without masks."""
    if not isinstance(process, Absorbing):
        raise ValueError(f"{name} needs an absorbing process, got {type(process).__name__}: take ancestral()")
