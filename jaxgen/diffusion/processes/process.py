"""Gaussian processes x_t = alpha(t) x0 + sigma(t) eps: two functions of time, and what follows from them."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from jaxgen.core import PytreeDataclass, noise


def as_time(t: ArrayLike) -> Float[Array, "..."]:
    """t as an array of float32 or wider: a bfloat16 caller never pulls the schedule's arithmetic down."""
    t = jnp.asarray(t)
    return t.astype(jnp.promote_types(t.dtype, jnp.float32))


def checked_time(t: ArrayLike) -> Float[Array, "..."]:
    """`as_time`, raising ValueError where a concrete t leaves [0, 1]; traced times cannot be looked at."""
    if not isinstance(t, jax.core.Tracer) and not np.all((np.asarray(t) >= 0) & (np.asarray(t) <= 1)):
        raise ValueError(f"times lie in [0, 1] (0 clean data, 1 the prior), got {t}: divide step indices by T")
    return as_time(t)


class GaussianProcess(PytreeDataclass):
    """The family q(x_t | x0) = N(alpha(t) x0, sigma(t)² I), t in [0, 1], 0 clean data and 1 the prior.

    A process of your own subclasses this and gives `alpha` and `sigma`; its annotated attributes become the leaves of a
    frozen pytree, so a sweep over them does not recompile and `vmap` over schedules works:

        class Trigonometric(GaussianProcess):
            def alpha(self, t): return jnp.cos(jnp.pi / 2 * t)
            def sigma(self, t): return jnp.sin(jnp.pi / 2 * t)

    alpha must not grow, alpha(0) = 1, and the log-SNR must fall strictly. Override `prior_std` when x_1 is not close
    to N(0, I), and the other methods where a closed form is more accurate than the one derived here.
    """

    def alpha(self, t: ArrayLike) -> Array:
        """Signal scale alpha(t), in [0, 1]."""
        raise NotImplementedError(f"{type(self).__name__} must define alpha(t)")

    def sigma(self, t: ArrayLike) -> Array:
        """Noise standard deviation sigma(t) ≥ 0."""
        raise NotImplementedError(f"{type(self).__name__} must define sigma(t)")

    @property
    def prior_std(self) -> ArrayLike:
        """Standard deviation of the prior N(0, prior_std² I) that sampling starts from."""
        return 1.0

    @property
    def steps(self) -> int | None:
        """Number of steps T of a discrete process, None where time is continuous."""
        return None

    def sample_prior(self, keys: Array, shape: tuple[int, ...], t: ArrayLike) -> Float[Array, "b *event"]:
        """The noise (B, *shape) that sampling starts from at t, of std `initial_std`; row b from keys[b] alone."""
        t = as_time(t)
        return (initial_std(self, t) * noise(keys, shape, t.dtype)).astype(t.dtype)

    def log_alpha(self, t: ArrayLike) -> Array:
        """log alpha(t); −inf where alpha = 0."""
        return jnp.log(self.alpha(t))

    def variance(self, t: ArrayLike) -> Array:
        """sigma(t)²."""
        return self.sigma(t) ** 2

    def log_snr(self, t: ArrayLike) -> Array:
        """λ(t) = log(alpha²/sigma²), in nats: +inf where sigma = 0, −inf where alpha = 0."""
        return 2 * self.log_alpha(t) - jnp.log(self.variance(t))

    def time_at_log_snr(self, log_snr: ArrayLike) -> Array:
        """The t in [0, 1] at which λ(t) = log_snr, by bisection; values beyond the process's range give its end."""
        target = as_time(log_snr)

        def halve(_: Array, bracket: tuple[Array, Array]) -> tuple[Array, Array]:
            low, high = bracket
            middle = (low + high) / 2
            too_clean = self.log_snr(middle) > target
            return jnp.where(too_clean, middle, low), jnp.where(too_clean, high, middle)

        ends = jnp.zeros_like(target), jnp.ones_like(target)
        low, high = jax.lax.fori_loop(0, 60, halve, ends)
        return jnp.where(target >= self.log_snr(low), low, high)


def initial_std(process: GaussianProcess, t: ArrayLike) -> Array:
    """Standard deviation of the noise that sampling starts from at t: prior_std at 1, in proportion to sigma below."""
    t = as_time(t)
    return process.prior_std * process.sigma(t) / process.sigma(jnp.ones_like(t))


def value_and_derivative(
    process: GaussianProcess, function: Callable[[Array], Array], t: ArrayLike
) -> tuple[Array, Array]:
    """The value and time derivative of one of the process's functions, `function(t)`, by forward differentiation.

    Raises ValueError for a discrete process, which is a table without derivative, and a concrete t outside [0, 1].
    """
    if process.steps is not None:
        raise ValueError(
            f"a discrete process of {process.steps} steps has no time derivative: use a continuous process "
            "(vp, cosine, …) for SDE coefficients, velocity prediction and likelihood weighting"
        )
    t = checked_time(t)
    return jax.jvp(lambda t: jnp.broadcast_to(function(t), t.shape), (t,), (jnp.ones_like(t),))


def alpha_sigma_derivatives(process: GaussianProcess, t: ArrayLike) -> tuple[Array, Array]:
    """alpha' and sigma' at t, as `value_and_derivative` gives them and with its errors."""
    return value_and_derivative(process, process.alpha, t)[1], value_and_derivative(process, process.sigma, t)[1]
