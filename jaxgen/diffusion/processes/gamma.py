"""Variance-preserving processes defined by γ(t) = −log SNR(t), fixed or learned (Kingma et al. 2021)."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Key

from jaxgen.core import PytreeDataclass, as_float, check_at_least, is_traced
from jaxgen.diffusion.processes.schedules import VariancePreserving


class GammaProcess(VariancePreserving):
    """Base class of the processes with alpha² = sigmoid(−γ) and sigma² = sigmoid(γ).

    A subclass defines γ(t), which must increase strictly:

        class Quadratic(GammaProcess):
            def gamma(self, t): return 5 - 18 * (1 - t) ** 2

    If γ(0) is finite, t = 0 is not quite clean: sampling ends at z_0 = alpha(0) x + sigma(0) eps, and likelihoods are
    those of z_0. Choose γ(0) so low that the noise of z_0 is below the resolution of the data.

    Reference:
        Kingma et al. 2021, eq. 3–5.
    """

    def gamma(self, t: ArrayLike) -> Array:
        """The function γ(t) = −log SNR(t), which increases strictly.

        Args:
            t: time in [0, 1], of any shape.

        Returns:
            γ(t) in nats, of t's shape.
        """
        raise NotImplementedError(f"{type(self).__name__} must define gamma(t)")

    def log_alpha(self, t: ArrayLike) -> Array:
        """½ log sigmoid(−γ)."""
        return 0.5 * jax.nn.log_sigmoid(-self.gamma(as_float(t)))

    def variance(self, t: ArrayLike) -> Array:
        """sigma² = sigmoid(γ)."""
        return jax.nn.sigmoid(self.gamma(as_float(t)))

    def log_snr(self, t: ArrayLike) -> Array:
        """λ = −γ, exactly."""
        return -self.gamma(as_float(t))


class LinearLogSNR(GammaProcess):
    """See `linear_log_snr`."""

    gamma_min: Any
    gamma_max: Any

    def gamma(self, t: ArrayLike) -> Array:
        """γ_min + (γ_max − γ_min) t."""
        return self.gamma_min + (self.gamma_max - self.gamma_min) * as_float(t)

    def time_at_log_snr(self, log_snr: ArrayLike) -> Array:
        """The t at which λ(t) = log_snr, closed form."""
        return jnp.clip((-as_float(log_snr) - self.gamma_min) / (self.gamma_max - self.gamma_min), 0, 1)


class MonotoneNetwork(PytreeDataclass):
    """The monotone network γ̃(t) = l1(t) + l3(sigmoid(l2(l1(t)))) (Kingma et al. 2021, appendix H).

    The weights l1 (), l2 (K,) and l3 (K,) pass through softplus, so γ̃ increases for any parameters. l3 averages over
    its K inputs. Only l2 has biases (K,): a bias of l1 would be redundant, and one of l3 cancels in `LearnedSchedule`.
    """

    l1: Any
    l2: Any
    biases: Any
    l3: Any

    def __call__(self, t: Float[Array, "..."]) -> Float[Array, "..."]:
        """γ̃ at t of any shape."""
        l1, l2, l3 = jax.nn.softplus(self.l1), jax.nn.softplus(self.l2), jax.nn.softplus(self.l3)
        h = l1 * t
        # a mean rather than a matrix product, whose factors accelerators round to few digits
        return h + jnp.mean(l3 * jax.nn.sigmoid(l2 * h[..., None] + self.biases), axis=-1)


class LearnedSchedule(GammaProcess):
    """γ(t) = γ_min + (γ_max − γ_min) (γ̃(t) − γ̃(0))/(γ̃(1) − γ̃(0)); see `learned_schedule`.

    Attributes:
        gamma_min: γ(0).
        width: γ_max − γ_min before softplus.
        shape: γ̃, an increasing function of t that is a pytree of arrays, such as `MonotoneNetwork`.
    """

    gamma_min: Any
    width: Any
    shape: Any

    @property
    def gamma_max(self) -> Array:
        """γ(1) = gamma_min + softplus(width), which is above gamma_min for any parameters."""
        return self.gamma_min + jax.nn.softplus(self.width)

    def gamma(self, t: ArrayLike) -> Array:
        """The learned γ(t).

        Args:
            t: time in [0, 1], of any shape.

        Returns:
            γ(t) in nats, of t's shape, in the dtype of t or float32.
        """
        t = as_float(t)
        process = jax.tree.map(lambda leaf: jnp.asarray(leaf).astype(t.dtype), self)
        first, last = (process.shape(jnp.asarray(end, t.dtype)) for end in (0, 1))
        fraction = (process.shape(t) - first) / (last - first)
        return process.gamma_min + jax.nn.softplus(process.width) * fraction


def linear_log_snr(gamma_min: ArrayLike = -13.3, gamma_max: ArrayLike = 5.0) -> LinearLogSNR:
    """Process whose γ = −log SNR is linear in t.

    Args:
        gamma_min: γ(0), in nats.
        gamma_max: γ(1), in nats; above gamma_min.

    Returns:
        The process.

    Raises:
        ValueError: if concrete ends are not finite, or gamma_min ≥ gamma_max.

    Reference:
        Kingma et al. 2021, appendix H.
    """
    _check_ends(gamma_min, gamma_max)
    return LinearLogSNR(gamma_min=gamma_min, gamma_max=gamma_max)


def learned_schedule(
    key: Key[Array, ""], gamma_min: ArrayLike = -13.3, gamma_max: ArrayLike = 5.0, features: int = 1024
) -> LearnedSchedule:
    """Process whose γ is learned: its two ends and, between them, the shape, which is a monotone network.

    The process is its own pytree of parameters, to differentiate and optimise as any other; `vdm_bound` has the
    gradients by which the reference trains it. It starts near `linear_log_snr`: l1 has slope 1, and the hidden units
    together add at most a tenth of that. Each unit has a random centre in [0, 1] and a random steepness of 1 to 100.

    Args:
        key: key of the random parameters.
        gamma_min: initial γ(0) = −log SNR(0), in nats.
        gamma_max: initial γ(1), in nats; above gamma_min.
        features: number of hidden units ≥ 1.

    Returns:
        The process.

    Raises:
        ValueError: if concrete ends are not finite, gamma_min ≥ gamma_max, or features < 1.

    Reference:
        Kingma et al. 2021, appendix H.
    """
    _check_ends(gamma_min, gamma_max)
    check_at_least(1, features=features)
    slope_key, time_key = jax.random.split(key)
    slopes = 100 ** jax.random.uniform(slope_key, (features,))
    shape = MonotoneNetwork(
        l1=_softplus_inverse(1.0),
        l2=_softplus_inverse(slopes),
        biases=-slopes * jax.random.uniform(time_key, (features,)),
        l3=_softplus_inverse(jnp.full(features, 0.1)),
    )
    gamma_min = jnp.asarray(gamma_min, slopes.dtype)
    return LearnedSchedule(gamma_min=gamma_min, width=_softplus_inverse(gamma_max - gamma_min), shape=shape)


def _softplus_inverse(y: ArrayLike) -> Array:
    y = jnp.asarray(y, float)
    return y + jnp.log(-jnp.expm1(-y))


def _check_ends(gamma_min: ArrayLike, gamma_max: ArrayLike) -> None:
    traced = is_traced(gamma_min, gamma_max)
    if not traced and not (np.all(np.isfinite([gamma_min, gamma_max])) and np.all(np.less(gamma_min, gamma_max))):
        raise ValueError(f"need finite gamma_min < gamma_max, got {gamma_min} and {gamma_max}: gamma is −log SNR")
