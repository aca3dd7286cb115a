"""Gaussian processes x_t = alpha(t) x0 + sigma(t) eps."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from jaxgen.core import PytreeDataclass, as_float, is_traced, noise


def validate_time(t: ArrayLike) -> Float[Array, "..."]:
    """Check that times lie in [0, 1], and convert them to float32 or wider.

    Args:
        t: times of any shape; traced times are not checked.

    Returns:
        The times, of t's shape.

    Raises:
        ValueError: if a concrete t is outside [0, 1].
    """
    if not is_traced(t) and not np.all((np.asarray(t) >= 0) & (np.asarray(t) <= 1)):
        raise ValueError(f"times lie in [0, 1] (0 clean data, 1 the prior), got {t}: divide step indices by T")
    return as_float(t)


class GaussianProcess(PytreeDataclass):
    """Base class of processes q(x_t | x0) = N(alpha(t) x0, sigma(t)² I), with t from 0 (clean data) to 1 (the prior).

    A subclass defines `alpha` and `sigma`. Its annotated attributes are the leaves of a frozen pytree, so a sweep over
    them compiles once and `vmap` over schedules works:

        class Trigonometric(GaussianProcess):
            def alpha(self, t): return jnp.cos(jnp.pi / 2 * t)
            def sigma(self, t): return jnp.sin(jnp.pi / 2 * t)

    Functions of time take t in [0, 1] of any shape and return that shape. alpha must not increase, alpha(0) must be 1,
    and the log-SNR must decrease strictly. Override `prior_std` if x_1 is not close to N(0, I), and the other methods
    if a closed form is more accurate than the default.
    """

    def alpha(self, t: ArrayLike) -> Array:
        """The signal scale alpha(t).

        Args:
            t: time in [0, 1], of any shape.

        Returns:
            alpha in [0, 1], of t's shape.
        """
        raise NotImplementedError(f"{type(self).__name__} must define alpha(t)")

    def sigma(self, t: ArrayLike) -> Array:
        """The standard deviation sigma(t) of the noise.

        Args:
            t: time in [0, 1], of any shape.

        Returns:
            sigma ≥ 0, of t's shape.
        """
        raise NotImplementedError(f"{type(self).__name__} must define sigma(t)")

    @property
    def prior_std(self) -> ArrayLike:
        """Standard deviation of the prior N(0, prior_std² I), from which sampling starts."""
        return 1.0

    @property
    def steps(self) -> int | None:
        """Number of steps T of a discrete process; None if time is continuous."""
        return None

    def sample_prior(self, keys: Array, shape: tuple[int, ...], t: ArrayLike) -> Float[Array, "b *event"]:
        """Draw the noise from which sampling starts at t, row b from keys[b] alone.

        Args:
            keys: keys (B,).
            shape: event shape.
            t: time in [0, 1], ().

        Returns:
            The noise (B, *shape), of standard deviation `initial_std`.
        """
        t = as_float(t)
        return (initial_std(self, t) * noise(keys, shape, t.dtype)).astype(t.dtype)

    def log_alpha(self, t: ArrayLike) -> Array:
        """The logarithm of alpha(t).

        Args:
            t: time in [0, 1], of any shape.

        Returns:
            log alpha, of t's shape; −inf where alpha = 0.
        """
        return jnp.log(self.alpha(t))

    def variance(self, t: ArrayLike) -> Array:
        """The variance sigma(t)² of the noise.

        Args:
            t: time in [0, 1], of any shape.

        Returns:
            sigma² ≥ 0, of t's shape.
        """
        return self.sigma(t) ** 2

    def log_snr(self, t: ArrayLike) -> Array:
        """The log-SNR λ(t) = log(alpha²/sigma²).

        Args:
            t: time in [0, 1], of any shape.

        Returns:
            λ in nats, of t's shape; +inf where sigma = 0 and −inf where alpha = 0.
        """
        return 2 * self.log_alpha(t) - jnp.log(self.variance(t))

    def time_at_log_snr(self, log_snr: ArrayLike) -> Array:
        """The t at which λ(t) = log_snr, by bisection; values outside the process's range give t = 0 or t = 1.

        Args:
            log_snr: log-SNR in nats, of any shape.

        Returns:
            The times in [0, 1], of log_snr's shape.
        """
        target = as_float(log_snr)

        def halve(_: Array, bracket: tuple[Array, Array]) -> tuple[Array, Array]:
            low, high = bracket
            middle = (low + high) / 2
            too_clean = self.log_snr(middle) > target
            return jnp.where(too_clean, middle, low), jnp.where(too_clean, high, middle)

        ends = jnp.zeros_like(target), jnp.ones_like(target)
        low, high = jax.lax.fori_loop(0, 60, halve, ends)
        return jnp.where(target >= self.log_snr(low), low, high)


def initial_std(process: GaussianProcess, t: ArrayLike) -> Array:
    """Standard deviation of the noise from which sampling starts at t: prior_std · sigma(t)/sigma(1).

    Args:
        process: the process.
        t: times in [0, 1], of any shape.

    Returns:
        The standard deviations, of t's shape.
    """
    t = as_float(t)
    return process.prior_std * process.sigma(t) / process.sigma(jnp.ones_like(t))


def value_and_derivative(
    process: GaussianProcess, function: Callable[[Array], Array], t: ArrayLike
) -> tuple[Array, Array]:
    """Value and time derivative of one of the process's functions, such as `process.log_snr`.

    Args:
        process: a process in continuous time.
        function: function of time, differentiated in forward mode.
        t: times in [0, 1], of any shape.

    Returns:
        function(t) and its derivative, both of t's shape.

    Raises:
        ValueError: if the process is discrete, or a concrete t is outside [0, 1].
    """
    if process.steps is not None:
        raise ValueError(
            f"a discrete process of {process.steps} steps has no time derivative: use a continuous process "
            "(vp, cosine, …) for SDE coefficients, velocity prediction and likelihood weighting"
        )
    t = validate_time(t)
    return jax.jvp(lambda t: jnp.broadcast_to(function(t), t.shape), (t,), (jnp.ones_like(t),))


def alpha_sigma_derivatives(process: GaussianProcess, t: ArrayLike) -> tuple[Array, Array]:
    """Time derivatives alpha'(t) and sigma'(t).

    Args:
        process: a process in continuous time.
        t: times in [0, 1], of any shape.

    Returns:
        alpha' and sigma', of t's shape.

    Raises:
        ValueError: as `value_and_derivative` does.
    """
    return value_and_derivative(process, process.alpha, t)[1], value_and_derivative(process, process.sigma, t)[1]
