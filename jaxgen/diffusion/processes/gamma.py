"""Variance-preserving processes given by γ(t) = −log SNR(t), one of which is learned (Kingma et al. 2021)."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Key

from jaxgen.core import PytreeDataclass
from jaxgen.diffusion.processes.process import GaussianProcess, as_time


class GammaProcess(GaussianProcess):
    """alpha² = sigmoid(−γ) and sigma² = sigmoid(γ), everything from `gamma` (Kingma et al. 2021, eq. 3–5).

    A schedule of your own subclasses this and gives γ(t), which must rise strictly:

        class Bent(GammaProcess):
            def gamma(self, t): return 5 - 18 * (1 - t) ** 2

    As with `ve`, t = 0 is not quite clean where γ(0) is finite: sampling ends at z_0 = alpha(0) x + sigma(0) eps and
    likelihoods are those of z_0, so choose γ(0) below what the data resolve.
    """

    def gamma(self, t: ArrayLike) -> Array:
        """γ(t) = −log SNR(t), in nats."""
        raise NotImplementedError(f"{type(self).__name__} must define gamma(t)")

    def alpha(self, t: ArrayLike) -> Array:
        """√sigmoid(−γ)."""
        return jnp.exp(self.log_alpha(t))

    def sigma(self, t: ArrayLike) -> Array:
        """√sigmoid(γ)."""
        return jnp.sqrt(self.variance(t))

    def log_alpha(self, t: ArrayLike) -> Array:
        """½ log sigmoid(−γ)."""
        return 0.5 * jax.nn.log_sigmoid(-self.gamma(as_time(t)))

    def variance(self, t: ArrayLike) -> Array:
        """sigma² = sigmoid(γ)."""
        return jax.nn.sigmoid(self.gamma(as_time(t)))

    def log_snr(self, t: ArrayLike) -> Array:
        """λ = −γ, exactly."""
        return -self.gamma(as_time(t))


class LinearLogSNR(GammaProcess):
    """See `linear_log_snr`."""

    gamma_min: Any
    gamma_max: Any

    def gamma(self, t: ArrayLike) -> Array:
        """γ_min + (γ_max − γ_min) t."""
        return self.gamma_min + (self.gamma_max - self.gamma_min) * as_time(t)

    def time_at_log_snr(self, log_snr: ArrayLike) -> Array:
        """The t at which λ(t) = log_snr, closed form."""
        return jnp.clip((-as_time(log_snr) - self.gamma_min) / (self.gamma_max - self.gamma_min), 0, 1)


class MonotoneNetwork(PytreeDataclass):
    """γ̃(t) = l1(t) + l3(sigmoid(l2(l1(t)))), rising whatever its parameters (Kingma et al. 2021, appendix H).

    Softplus makes the weights l1 (), l2 (K,) and l3 (K,) positive; biases (K,) are those of l2, since one of l1 would
    say the same and one of l3 cancels in `LearnedSchedule`. l3 takes the mean over its K inputs.
    """

    l1: Any
    l2: Any
    biases: Any
    l3: Any

    def __call__(self, t: Float[Array, "..."]) -> Float[Array, "..."]:
        """γ̃ at t of any shape."""
        l1, l2, l3 = jax.nn.softplus(self.l1), jax.nn.softplus(self.l2), jax.nn.softplus(self.l3)
        h = l1 * t
        # sums, not matrix products: accelerators round the factors of those to few digits
        return h + jnp.mean(l3 * jax.nn.sigmoid(l2 * h[..., None] + self.biases), axis=-1)


class LearnedSchedule(GammaProcess):
    """See `learned_schedule`: γ = γ_min + (γ_max − γ_min) (γ̃(t) − γ̃(0))/(γ̃(1) − γ̃(0)).

    shape: γ̃, a function of t that rises and is a pytree of arrays, as a subclass of `PytreeDataclass` with a `__call__` is.
    width: γ_max − γ_min is softplus of it.
    """

    gamma_min: Any
    width: Any
    shape: Any

    @property
    def gamma_max(self) -> Array:
        """γ(1) = gamma_min + softplus(width), above γ(0) = gamma_min whatever the parameters."""
        return self.gamma_min + jax.nn.softplus(self.width)

    def gamma(self, t: ArrayLike) -> Array:
        """γ(t), in the dtype of t, float32 at least."""
        t = as_time(t)
        process = jax.tree.map(lambda leaf: jnp.asarray(leaf).astype(t.dtype), self)
        first, last = (process.shape(jnp.asarray(end, t.dtype)) for end in (0, 1))
        share = (process.shape(t) - first) / (last - first)
        return process.gamma_min + jax.nn.softplus(process.width) * share


def linear_log_snr(gamma_min: ArrayLike = -13.3, gamma_max: ArrayLike = 5.0) -> LinearLogSNR:
    """γ linear in t between two ends, the fixed schedule of Kingma et al. 2021 (appendix H).

    gamma_min, gamma_max: −log SNR, in nats, at t = 0 and t = 1. Raises ValueError unless finite and ascending.
    """
    _check_ends(gamma_min, gamma_max)
    return LinearLogSNR(gamma_min=gamma_min, gamma_max=gamma_max)


def learned_schedule(
    key: Key[Array, ""], gamma_min: ArrayLike = -13.3, gamma_max: ArrayLike = 5.0, features: int = 1024
) -> LearnedSchedule:
    """A schedule to be trained: its ends, and the shape between them, by a monotone network of `features` hidden units.

    The process is its own parameters: differentiate and optimise it as any pytree (Kingma et al. 2021, appendix H;
    `vdm_bound` has the gradients they train it by). It starts within 1% of `linear_log_snr` at 1024 units and within 10% at
    any number: l1 has slope 1 and the units together rise by a tenth of that, each at a time of its own in [0, 1] and
    1 to 100 times as steeply, so that training finds units for slow bends and sharp ones.
    Raises ValueError unless the ends are finite and ascending and features ≥ 1.
    """
    _check_ends(gamma_min, gamma_max)
    if features < 1:
        raise ValueError(f"the schedule's network needs at least one hidden unit, got features={features}")
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
    """Refuse concrete ends that are not finite and ascending; traced ones pass."""
    if any(isinstance(end, jax.core.Tracer) for end in (gamma_min, gamma_max)):
        return
    if not (np.all(np.isfinite([gamma_min, gamma_max])) and np.all(np.less(gamma_min, gamma_max))):
        raise ValueError(
            f"need finite gamma_min < gamma_max, got {gamma_min} and {gamma_max}: gamma is −log SNR, rising in t"
        )
