"""Schedules alpha(t) of chains over categories, and tables of β_1 … β_T."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float64

from jaxgen.core import PytreeDataclass, as_float, check_at_least, check_positive, is_traced


class Schedule(PytreeDataclass):
    """Base class of schedules: alpha(t) falls from 1 at t = 0 (clean data) towards 0 at t = 1 (the prior).

    For uniform and absorbing chains alpha(t) is the probability that a token was not drawn anew. For ordinal chains it
    is the factor by which the slowest mode has decayed. A subclass defines `alpha`, and `complement` where 1 − alpha
    loses digits near t = 0. Functions of time take t in [0, 1] of any shape and return that shape.
    """

    def alpha(self, t: ArrayLike) -> Array:
        """The survival alpha(t).

        Args:
            t: time in [0, 1], of any shape.

        Returns:
            alpha in [0, 1], of t's shape.
        """
        raise NotImplementedError(f"{type(self).__name__} must define alpha(t)")

    def complement(self, t: ArrayLike) -> Array:
        """1 − alpha(t).

        Args:
            t: time in [0, 1], of any shape.

        Returns:
            1 − alpha in [0, 1], of t's shape.
        """
        return 1 - self.alpha(t)

    @property
    def steps(self) -> int | None:
        """Number of steps T of a schedule in discrete time; None if time is continuous."""
        return None

    def slope(self, t: ArrayLike) -> Array:
        """−dα/dt.

        Args:
            t: time in [0, 1], of any shape.

        Returns:
            The slope ≥ 0, of t's shape.

        Raises:
            ValueError: if time is discrete.
        """
        if self.steps is not None:
            raise ValueError(
                f"a schedule of {self.steps} steps has no derivative in time: take the bound of the chain, or a "
                "schedule in continuous time such as linear_schedule()"
            )
        t = as_float(t)
        return jax.jvp(lambda t: jnp.broadcast_to(self.complement(t), t.shape), (t,), (jnp.ones_like(t),))[1]

    def time_at(self, complement: ArrayLike) -> Array:
        """The t at which 1 − alpha(t) has a value, by bisection.

        Args:
            complement: values in [0, 1], of any shape. Those above 1 − alpha(1) give t = 1.

        Returns:
            The times, of complement's shape.
        """
        target = as_float(complement)

        def halve(_: Array, bracket: tuple[Array, Array]) -> tuple[Array, Array]:
            low, high = bracket
            middle = (low + high) / 2
            below = self.complement(middle) < target
            return jnp.where(below, middle, low), jnp.where(below, high, middle)

        return jax.lax.fori_loop(0, 40, halve, (jnp.zeros_like(target), jnp.ones_like(target)))[1]


class Polynomial(Schedule):
    """See `polynomial_schedule`."""

    power: Any
    end: Any

    def alpha(self, t: ArrayLike) -> Array:
        """1 − (1 − end) t^power."""
        return 1 - self.complement(t)

    def complement(self, t: ArrayLike) -> Array:
        """(1 − end) t^power."""
        return (1 - self.end) * as_float(t) ** self.power

    def slope(self, t: ArrayLike) -> Array:
        """(1 − end) power t^{power − 1}."""
        return (1 - self.end) * self.power * as_float(t) ** (self.power - 1)

    def time_at(self, complement: ArrayLike) -> Array:
        """((complement)/(1 − end))^{1/power}."""
        return jnp.minimum((as_float(complement) / (1 - self.end)) ** (1 / self.power), 1)


class Cosine(Schedule):
    """See `cosine_schedule`."""

    def alpha(self, t: ArrayLike) -> Array:
        """1 − sin(πt/2)."""
        return 1 - self.complement(t)

    def complement(self, t: ArrayLike) -> Array:
        """sin(πt/2)."""
        return jnp.sin(jnp.pi / 2 * as_float(t))

    def time_at(self, complement: ArrayLike) -> Array:
        """2/π arcsin(complement)."""
        return 2 / jnp.pi * jnp.arcsin(jnp.clip(as_float(complement), 0, 1))


class Table(Schedule):
    """See `schedule_from_betas`."""

    log_alphas: Any  # (T+1,), log ᾱ at t = i/T; entry 0 is 0, clean data

    @property
    def steps(self) -> int:
        """Number of steps T."""
        return self.log_alphas.shape[-1] - 1

    def _entry(self, t: ArrayLike) -> Array:
        index = jnp.round(as_float(t) * self.steps).astype(jnp.int32)
        return as_float(self.log_alphas)[jnp.clip(index, 0, self.steps)]

    def alpha(self, t: ArrayLike) -> Array:
        """ᾱ of the step nearest to t."""
        return jnp.exp(self._entry(t))

    def complement(self, t: ArrayLike) -> Array:
        """1 − ᾱ of the step nearest to t."""
        return -jnp.expm1(self._entry(t))

    def time_at(self, complement: ArrayLike) -> Array:
        """The first step i/T at which 1 − ᾱ reaches the value."""
        table = -jnp.expm1(as_float(self.log_alphas))
        index = jnp.searchsorted(table, as_float(complement))
        return jnp.minimum(index, self.steps) / as_float(self.steps)


def linear_schedule(end: ArrayLike = 0.0) -> Polynomial:
    """alpha(t) = 1 − (1 − end) t, with end = alpha(1); in continuous time.

    On an absorbing chain the weight of the cross-entropy is 1/t. It is called log-linear where noise is −log alpha.

    Args:
        end: alpha(1) in [0, 1).

    Returns:
        The schedule.

    Raises:
        ValueError: if a concrete end is outside [0, 1).

    Reference:
        Sahoo et al. 2024, "Simple and effective masked diffusion language models".
    """
    return polynomial_schedule(1.0, end)


def polynomial_schedule(power: ArrayLike, end: ArrayLike = 0.0) -> Polynomial:
    """alpha(t) = 1 − (1 − end) t^power, in continuous time.

    Args:
        power: exponent > 0.
        end: alpha(1) in [0, 1).

    Returns:
        The schedule.

    Raises:
        ValueError: if a concrete power is not positive and finite, or a concrete end is outside [0, 1).

    Reference:
        Shi et al. 2024, "Simplified and generalized masked diffusion for discrete data".
    """
    check_positive(power=power)
    if not is_traced(end) and not 0 <= end < 1:
        raise ValueError(f"end is alpha(1) and must lie in [0, 1), got {end}")
    return Polynomial(power=power, end=end)


def cosine_schedule() -> Cosine:
    """alpha(t) = 1 − cos(π(1 − t)/2), in continuous time.

    It spends more of its time near the prior than `linear_schedule` does: samplers unmask few tokens at first, when the
    network knows least.

    Returns:
        The schedule.

    Reference:
        Shi et al. 2024; Chang et al. 2022, "MaskGIT", §3.2.
    """
    return Cosine()


def schedule_from_betas(betas: ArrayLike) -> Table:
    """The schedule of a chain of T steps: ᾱ_i = ∏_{j≤i} (1 − β_j) at t = i/T.

    Step i draws a token anew with probability β_i. Times between steps are rounded to the nearest one.

    Args:
        betas: table (T,) of values in (0, 1); the last may be 1. `reciprocal_betas`, `cosine_betas` and
            `diffusion.linear_betas(T, 0.02, 1.0)` make the published ones.

    Returns:
        The schedule, accumulated in float64.

    Raises:
        ValueError: if betas are outside that range, or not of shape (T,) with T ≥ 1.

    Reference:
        Austin et al. 2021, "Structured denoising diffusion models in discrete state-spaces", appendix A.
    """
    betas = np.asarray(betas, np.float64)
    if betas.ndim != 1 or betas.size == 0:
        raise ValueError(f"need betas of shape (T,) with T >= 1, got {betas.shape}")
    if not (np.all((betas > 0) & (betas <= 1)) and np.all(betas[:-1] < 1)):
        raise ValueError(f"betas must lie in (0, 1), only the last may be 1; got {betas}")
    with np.errstate(divide="ignore"):
        return Table(log_alphas=np.concatenate([[0.0], np.cumsum(np.log1p(-betas))]))


def reciprocal_betas(steps: int) -> Float64[np.ndarray, " steps"]:
    """β_t = 1/(T − t + 1), for which ᾱ_t = 1 − t/T.

    Args:
        steps: number of steps T ≥ 1.

    Returns:
        The table (T,), in float64; the last β is 1.

    Raises:
        ValueError: if steps < 1.

    Reference:
        Sohl-Dickstein et al. 2015, §2.4.1; Austin et al. 2021, §3.1.
    """
    check_at_least(1, steps=steps)
    return 1 / np.arange(steps, 0, -1, dtype=np.float64)


def cosine_betas(steps: int, s: float = 0.008, max_beta: float = 0.999) -> Float64[np.ndarray, " steps"]:
    """β for which ᾱ follows cos(π/2 (t+s)/(1+s)).

    The cosine is not squared, unlike that of `diffusion.cosine_betas`.

    Args:
        steps: number of steps T ≥ 1.
        s: offset s > 0.
        max_beta: upper limit of each β, in (0, 1].

    Returns:
        The table (T,), in float64.

    Raises:
        ValueError: unless steps ≥ 1, s > 0 and 0 < max_beta ≤ 1.

    Reference:
        Austin et al. 2021, §4.1 and its code; Hoogeboom et al. 2021.
    """
    check_at_least(1, steps=steps)
    check_positive(s=s)
    if not 0 < max_beta <= 1:
        raise ValueError(f"need 0 < max_beta <= 1, got max_beta={max_beta}")
    alpha_bar = np.cos((np.linspace(0, 1, steps + 1) + s) / (1 + s) * np.pi / 2)
    return np.minimum(1 - alpha_bar[1:] / alpha_bar[:-1], max_beta)
