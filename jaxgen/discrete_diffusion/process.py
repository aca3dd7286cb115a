"""Chains over categories: what every process has, and the general reverse step, divergences and conversions."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Int, Key, Shaped

from jaxgen.core import PytreeDataclass, as_float, fold_in, is_traced, per_example
from jaxgen.discrete_diffusion.draws import bernoulli, categorical
from jaxgen.discrete_diffusion.schedules import Schedule

_LOWEST = 1e-30  # of a q(x_t | x_0) that a conversion divides by


class CategoricalProcess(PytreeDataclass):
    """Base class of processes that noise each token of x0 by a Markov chain of its own, t from 0 (data) to 1 (prior).

    Data have categories 0 … K − 1, and the chain has S ≥ K states. Tokens are integers (B, *event). Times are () or
    (B,). A subclass defines the four logarithms of probabilities below, and for continuous time also `log_rates`.

    `log_p` stands for the logarithm of a law of x0 for each token, (B, *event, K).
    """

    schedule: Schedule
    stationary: Any  # (S,), the law of a token at t = 1

    @property
    def states(self) -> int:
        """Number S of states of the chain."""
        return self.stationary.shape[-1]

    @property
    def categories(self) -> int:
        """Number K of categories of the data."""
        return self.states

    @property
    def steps(self) -> int | None:
        """Number of steps T in discrete time; None if time is continuous."""
        return self.schedule.steps

    def log_marginal(self, x0: Int[Array, "b *event"], t: ArrayLike) -> Float[Array, "b *event s"]:
        """log q(x_t = · | x_0).

        Args:
            x0: clean tokens.
            t: times () or (B,).

        Returns:
            Log-probabilities of the S states.
        """
        raise NotImplementedError(f"{type(self).__name__} must define log_marginal(x0, t)")

    def log_evidence(self, x_t: Int[Array, "b *event"], t: ArrayLike) -> Float[Array, "b *event k"]:
        """log q(x_t | x_0 = ·).

        Args:
            x_t: noisy tokens.
            t: times () or (B,).

        Returns:
            A value for each of the K categories of x_0.
        """
        raise NotImplementedError(f"{type(self).__name__} must define log_evidence(x_t, t)")

    def log_backward(self, x_t: Int[Array, "b *event"], s: ArrayLike, t: ArrayLike) -> Float[Array, "b *event s"]:
        """log q(x_t | x_s = ·).

        Args:
            x_t: noisy tokens.
            s: earlier times () or (B,).
            t: times () or (B,).

        Returns:
            A value for each of the S states of x_s.
        """
        raise NotImplementedError(f"{type(self).__name__} must define log_backward(x_t, s, t)")

    def log_mixture(self, log_p: Float[Array, "b *event k"], t: ArrayLike) -> Float[Array, "b *event s"]:
        """log Σ_{x_0} p(x_0) q(x_t = · | x_0).

        Args:
            log_p: log-probabilities of x_0.
            t: times () or (B,).

        Returns:
            Log-probabilities of the S states.
        """
        raise NotImplementedError(f"{type(self).__name__} must define log_mixture(log_p, t)")

    def log_rates(self, x_t: Int[Array, "b *event"], t: ArrayLike) -> Float[Array, "b *event s"]:
        """Logarithms of the forward rates from each state into x_t, in continuous time.

        Args:
            x_t: noisy tokens.
            t: times () or (B,).

        Returns:
            A value for each of the S states; −∞ for x_t itself.
        """
        raise ValueError(f"{type(self).__name__} has no rates: it is a chain in discrete time, take its bound")

    def sample_stationary(self, keys: Key[Array, " b"], shape: tuple[int, ...]) -> Int[Array, "b *event"]:
        """Draw tokens from the stationary law, row b from keys[b] alone.

        Args:
            keys: keys (B,).
            shape: event shape.

        Returns:
            The tokens (B, *shape).
        """
        log_p = jnp.log(as_float(self.stationary))
        return categorical(keys, jnp.broadcast_to(log_p, (len(keys), *shape, self.states)))

    def sample_prior(self, keys: Key[Array, " b"], shape: tuple[int, ...], t: ArrayLike) -> Int[Array, "b *event"]:
        """Draw the tokens from which sampling starts: those of the stationary law, whatever t.

        Args:
            keys: keys (B,).
            shape: event shape.
            t: time (), as the driver passes it.

        Returns:
            The tokens (B, *shape), int32.
        """
        return self.sample_stationary(keys, shape)

    def perturb(self, keys: Key[Array, " b"], x0: Int[Array, "b *event"], t: ArrayLike) -> Int[Array, "b *event"]:
        """Draw x_t given x_0, row b from keys[b] alone.

        Args:
            keys: keys (B,).
            x0: clean tokens.
            t: times () or (B,).

        Returns:
            Noisy tokens.
        """
        return categorical(keys, self.log_marginal(x0, t))

    def log_reverse(
        self, log_others: Float[Array, "b *event k"], x_t: Int[Array, "b *event"], s: ArrayLike, t: ArrayLike
    ) -> Float[Array, "b *event s"]:
        """log p(x_s = · | x_t) ∝ q(x_t | x_s) Σ_{x_0} p(x_0 | other tokens) q(x_s | x_0).

        It is the mixture of the posteriors q(x_s | x_t, x_0) by p(x_0 | x_t).

        Args:
            log_others: logarithm of the leave-one-out law p(x_0ˡ | x_t^{−l}).
            x_t: noisy tokens.
            s: earlier times () or (B,).
            t: times () or (B,).

        Returns:
            Log-probabilities of the S states of x_s.

        Reference:
            Austin et al. 2021, eq. 4.
        """
        return jax.nn.log_softmax(self.log_backward(x_t, s, t) + self.log_mixture(log_others, s))

    def log_posterior(
        self, x0: Int[Array, "b *event"], x_t: Int[Array, "b *event"], s: ArrayLike, t: ArrayLike
    ) -> Float[Array, "b *event s"]:
        """log q(x_s = · | x_t, x_0).

        Args:
            x0: clean tokens.
            x_t: noisy tokens.
            s: earlier times () or (B,).
            t: times () or (B,).

        Returns:
            Log-probabilities of the S states of x_s.

        Reference:
            Austin et al. 2021, eq. 3.
        """
        return jax.nn.log_softmax(self.log_backward(x_t, s, t) + self.log_marginal(x0, s))

    def reverse_step(
        self,
        keys: Key[Array, " b"],
        log_others: Float[Array, "b *event k"],
        x_t: Int[Array, "b *event"],
        s: ArrayLike,
        t: ArrayLike,
    ) -> Int[Array, "b *event"]:
        """Draw x_s: first whether the token changes, then to what.

        One draw over all states would change tokens too seldom where many rare states share the probability of a
        change, for Gumbel noise of few bits does not reach them.

        Args:
            keys: keys (B,).
            log_others: as in `log_reverse`.
            x_t: noisy tokens.
            s: earlier times () or (B,).
            t: times () or (B,).

        Returns:
            Tokens at s.
        """
        log_p = self.log_reverse(log_others, x_t, s, t)
        elsewhere = jnp.where(jnp.arange(self.states) == x_t[..., None], -jnp.inf, log_p)
        change = jnp.exp(jax.nn.logsumexp(elsewhere, axis=-1))
        changes = bernoulli(fold_in(keys, 0), jnp.minimum(change, 1), x_t.shape[1:])
        return jnp.where(changes, categorical(fold_in(keys, 1), elsewhere), x_t)

    def step_divergence(
        self,
        log_others: Float[Array, "b *event k"],
        x_t: Int[Array, "b *event"],
        x0: Int[Array, "b *event"],
        s: ArrayLike,
        t: ArrayLike,
    ) -> Float[Array, "b *event"]:
        """KL(q(x_s | x_t, x_0) ‖ p(x_s | x_t)) of each token, in nats; at s = 0 it is −log p(x_0 | x_t).

        Args:
            log_others: as in `log_reverse`.
            x_t: noisy tokens.
            x0: clean tokens.
            s: earlier times () or (B,).
            t: times () or (B,).

        Returns:
            The divergences.
        """
        return divergence(self.log_posterior(x0, x_t, s, t), self.log_reverse(log_others, x_t, s, t))

    def rate_divergence(
        self,
        log_others: Float[Array, "b *event k"],
        x_t: Int[Array, "b *event"],
        x0: Int[Array, "b *event"],
        t: ArrayLike,
    ) -> Float[Array, "b *event"]:
        """Σ_y r̂_θ − r̂ + r̂ log(r̂/r̂_θ) of each token, in nats per unit of time: the bound's density in time.

        r̂ is the rate of the reverse chain from x_t to y given x_0, and r̂_θ that of the model.

        Args:
            log_others: as in `log_reverse`.
            x_t: noisy tokens.
            x0: clean tokens.
            t: times () or (B,).

        Returns:
            The densities.

        Raises:
            ValueError: if time is discrete.

        Reference:
            Campbell et al. 2022, "A continuous time framework for discrete denoising models", proposition 2; Lou et
            al. 2024, "Discrete diffusion modeling by estimating the ratios of the data distribution", theorem 3.6.
        """
        forward = self.log_rates(x_t, t)
        log_rate = forward + _ratios(self.log_marginal(x0, t), x_t)
        model = forward + _ratios(self.log_mixture(log_others, t), x_t)
        return jnp.where(jnp.isfinite(forward), _rate_kl(log_rate, model), 0).sum(-1)

    def prior_divergence(self, x0: Int[Array, "b *event"], t: ArrayLike) -> Float[Array, "b *event"]:
        """KL(q(x_t | x_0) ‖ stationary law) of each token, in nats.

        Args:
            x0: clean tokens.
            t: times () or (B,).

        Returns:
            The divergences.
        """
        return divergence(self.log_marginal(x0, t), jnp.log(as_float(self.stationary)))

    def to_posterior(
        self, log_others: Float[Array, "b *event k"], x_t: Int[Array, "b *event"], t: ArrayLike
    ) -> Float[Array, "b *event k"]:
        """log p(x_0 | x_t) ∝ p(x_0 | other tokens) q(x_t | x_0).

        Args:
            log_others: as in `log_reverse`.
            x_t: noisy tokens.
            t: times () or (B,).

        Returns:
            Log-probabilities of the K categories.
        """
        return jax.nn.log_softmax(log_others + self.log_evidence(x_t, t))

    def to_leave_one_out(
        self, log_x0: Float[Array, "b *event k"], x_t: Int[Array, "b *event"], t: ArrayLike
    ) -> Float[Array, "b *event k"]:
        """log p(x_0 | other tokens) ∝ p(x_0 | x_t)/q(x_t | x_0).

        Categories from which x_t is all but impossible are left out.

        Args:
            log_x0: log p(x_0 | x_t).
            x_t: noisy tokens.
            t: times () or (B,).

        Returns:
            Log-probabilities of the K categories.
        """
        evidence = self.log_evidence(x_t, t)
        possible = evidence > np.log(_LOWEST)
        return jax.nn.log_softmax(jnp.where(possible, log_x0 - jnp.where(possible, evidence, 0), -jnp.inf))


def divergence(log_q: Float[Array, "*event s"], log_p: Float[Array, "*shape s"]) -> Float[Array, "*event"]:
    """KL(q ‖ p) over the last axis; a state that q excludes adds 0, with a zero gradient."""
    held = log_q > -jnp.inf
    difference = jnp.where(held, log_q, 0) - jnp.where(held, log_p, 0)
    return (jnp.where(held, jnp.exp(log_q), 0) * difference).sum(-1)


def over_tokens(coefficient: ArrayLike, x: Shaped[Array, "b *event"]) -> Array:
    """Append axes to a coefficient () or (B,), so that it broadcasts against (B, *event, S)."""
    coefficient = per_example(coefficient, x)
    return coefficient[..., None] if coefficient.ndim else coefficient


def check_tokens(process: CategoricalProcess, x0: ArrayLike) -> None:
    """Raise ValueError for data that are not integers from 0 to K − 1; the values of traced data are not checked."""
    dtype, k = jnp.result_type(x0), process.categories
    if not jnp.issubdtype(dtype, jnp.integer):
        raise ValueError(f"tokens must be integers from 0 to {k - 1}, got {dtype}")
    if is_traced(x0):
        return
    values = np.asarray(x0)
    if values.size and not (values.min() >= 0 and values.max() < k):
        raise ValueError(f"tokens must lie in 0 … {k - 1}, got values from {values.min()} to {values.max()}")


def check_categories(categories: int) -> None:
    """Raise ValueError for fewer than two categories."""
    if categories < 2:
        raise ValueError(f"a chain needs at least 2 categories, got {categories}")


def _ratios(log_p: Float[Array, "b *event s"], x: Int[Array, "b *event"]) -> Float[Array, "b *event s"]:
    return log_p - jnp.take_along_axis(log_p, x[..., None], axis=-1)


def _rate_kl(log_rate: Array, log_model: Array) -> Array:
    """e^b − e^a + e^a (a − b) for the logarithms a of the rate and b of the model's."""
    held = log_rate > -jnp.inf
    a = jnp.where(held, log_rate, 0)
    d = log_model - a
    near = d < 20  # the exact difference of nearly equal rates
    small = jnp.where(near, d, 0)
    close = jnp.exp(a) * (jnp.expm1(small) - small)
    far = jnp.exp(log_model) - jnp.exp(a) * (1 + d)
    return jnp.where(held, jnp.where(near, close, far), jnp.exp(log_model))
