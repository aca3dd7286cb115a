"""The published processes: VP, sub-VP, VE, cosine, EDM, rectified flow, and the discrete DDPM chain."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array

from jaxgen.core import as_float, check_positive, is_traced
from jaxgen.diffusion.processes.process import GaussianProcess


class VariancePreserving(GaussianProcess):
    """Base class of processes with alpha² + sigma² = 1, computed from `log_alpha` accurately at both ends."""

    def alpha(self, t: ArrayLike) -> Array:
        """Signal scale alpha(t), in [0, 1]."""
        return jnp.exp(self.log_alpha(t))

    def variance(self, t: ArrayLike) -> Array:
        """sigma² = 1 − alpha²."""
        return -jnp.expm1(2 * self.log_alpha(t))

    def sigma(self, t: ArrayLike) -> Array:
        """sigma = √(1 − alpha²)."""
        return jnp.sqrt(self.variance(t))


class VP(VariancePreserving):
    """See `vp`."""

    beta_min: Any
    beta_max: Any

    def log_alpha(self, t: ArrayLike) -> Array:
        """−½∫β = −¼t²(β_max − β_min) − ½tβ_min."""
        t = as_float(t)
        return -0.25 * t**2 * (self.beta_max - self.beta_min) - 0.5 * t * self.beta_min

    def time_at_log_snr(self, log_snr: ArrayLike) -> Array:
        """The t at which λ(t) = log_snr, closed form (Lu et al. 2022, DPM-Solver, appendix D.4)."""
        return self._time_at(jax.nn.softplus(-as_float(log_snr)))

    def _time_at(self, integral: Array) -> Array:
        """The t at which ∫₀ᵗ β = integral."""
        integral = jnp.minimum(integral, (self.beta_min + self.beta_max) / 2)
        root = jnp.sqrt(self.beta_min**2 + 2 * (self.beta_max - self.beta_min) * integral)
        return jnp.minimum(2 * integral / (self.beta_min + root), 1)


class SubVP(VP):
    """See `sub_vp`."""

    def variance(self, t: ArrayLike) -> Array:
        """sigma² = (1 − alpha²)²."""
        return self.sigma(t) ** 2

    def sigma(self, t: ArrayLike) -> Array:
        """sigma = 1 − alpha²."""
        return -jnp.expm1(2 * self.log_alpha(t))

    def time_at_log_snr(self, log_snr: ArrayLike) -> Array:
        """The t at which λ(t) = log_snr, closed form: −log alpha = asinh(e^{−λ/2}/2)."""
        return self._time_at(2 * jnp.arcsinh(0.5 * jnp.exp(-0.5 * as_float(log_snr))))


class Cosine(GaussianProcess):
    """See `cosine`."""

    s: Any

    def _angles(self, t: ArrayLike) -> tuple[Array, Array]:
        """The angle from t to π/2 and the angle φ₀ at t = 0; the first is exactly 0 at t = 1, where cos(π/2) is not."""
        quarter = jnp.pi / 2 / (1 + self.s)
        return (1 - as_float(t)) * quarter, as_float(self.s * quarter)

    def alpha(self, t: ArrayLike) -> Array:
        """cos(π/2 (t+s)/(1+s)) / cos(π/2 s/(1+s)); exactly 0 at t = 1."""
        remaining, first = self._angles(t)
        return jnp.sin(remaining) / jnp.cos(first)

    def sigma(self, t: ArrayLike) -> Array:
        """sigma = √(1 − alpha²)."""
        return jnp.sqrt(self.variance(t))

    def variance(self, t: ArrayLike) -> Array:
        """1 − alpha² as sin(φ−φ₀) sin(φ+φ₀) / cos²φ₀, which stays accurate as t → 0."""
        _, first = self._angles(t)
        difference = as_float(t) * jnp.pi / 2 / (1 + self.s)
        return jnp.sin(difference) * jnp.sin(difference + 2 * first) / jnp.cos(first) ** 2

    def time_at_log_snr(self, log_snr: ArrayLike) -> Array:
        """The t at which λ(t) = log_snr, closed form."""
        log_snr = as_float(log_snr)
        _, first = self._angles(0.0)
        cosine = jnp.sqrt(jax.nn.sigmoid(log_snr)) * jnp.cos(first)
        sine = jnp.sqrt(jax.nn.sigmoid(-log_snr) * jnp.cos(first) ** 2 + jnp.sin(first) ** 2)
        return jnp.clip((jnp.arctan2(sine, cosine) - first) * 2 / jnp.pi * (1 + self.s), 0, 1)


class VarianceExploding(GaussianProcess):
    """Base class of processes with alpha = 1, whose prior has the standard deviation sigma(1)."""

    def alpha(self, t: ArrayLike) -> Array:
        """1 at every t."""
        return jnp.ones_like(as_float(t))

    @property
    def prior_std(self) -> ArrayLike:
        """sigma(1)."""
        return self.sigma_max


class VE(VarianceExploding):
    """See `ve`."""

    sigma_min: Any
    sigma_max: Any

    def sigma(self, t: ArrayLike) -> Array:
        """σ_min (σ_max/σ_min)^t."""
        return self.sigma_min * jnp.exp(as_float(t) * jnp.log(jnp.divide(self.sigma_max, self.sigma_min)))

    def time_at_log_snr(self, log_snr: ArrayLike) -> Array:
        """The t at which λ(t) = −2 log σ(t) = log_snr, closed form."""
        distance = -0.5 * as_float(log_snr) - jnp.log(self.sigma_min)
        return jnp.clip(distance / jnp.log(jnp.divide(self.sigma_max, self.sigma_min)), 0, 1)


class EDM(VarianceExploding):
    """See `edm`."""

    sigma_max: Any

    def sigma(self, t: ArrayLike) -> Array:
        """σ_max t."""
        return self.sigma_max * as_float(t)

    def time_at_log_snr(self, log_snr: ArrayLike) -> Array:
        """The t at which λ(t) = −2 log(σ_max t) = log_snr, closed form."""
        return jnp.clip(jnp.exp(-0.5 * as_float(log_snr)) / self.sigma_max, 0, 1)


class RectifiedFlow(GaussianProcess):
    """See `rectified_flow`."""

    def alpha(self, t: ArrayLike) -> Array:
        """1 − t."""
        return 1 - as_float(t)

    def sigma(self, t: ArrayLike) -> Array:
        """t."""
        return as_float(t)

    def time_at_log_snr(self, log_snr: ArrayLike) -> Array:
        """The t at which λ(t) = log_snr, closed form."""
        return jax.nn.sigmoid(-0.5 * as_float(log_snr))


class Discrete(VariancePreserving):
    """See `from_betas`."""

    log_alphas: Any  # (T+1,), ½ log ᾱ at t = i/T; entry 0 is 0, clean data

    @property
    def steps(self) -> int:
        """Number of steps T."""
        return self.log_alphas.shape[-1] - 1

    def log_alpha(self, t: ArrayLike) -> Array:
        """½ log ᾱ of the step nearest to t."""
        index = jnp.round(as_float(t) * self.steps).astype(jnp.int32)
        return jnp.asarray(self.log_alphas)[jnp.clip(index, 0, self.steps)]

    def time_at_log_snr(self, log_snr: ArrayLike) -> Array:
        """The step i/T, i ≥ 1, whose λ is nearest to log_snr; t = 0 for +inf."""
        log_snr = as_float(log_snr)
        table = self.log_snr(jnp.arange(1, self.steps + 1) / self.steps)
        # finite, so that the distance to a last entry of −inf (zero terminal SNR) is not NaN
        table, target = jnp.maximum(table, -1e30), jnp.clip(log_snr, -1e30, 1e30)
        index = jnp.argmin(jnp.abs(table - target[..., None]), axis=-1) + 1
        return jnp.where(jnp.isposinf(log_snr), 0, index) / as_float(self.steps)


def _check_ascending(strict: bool = False, **values: ArrayLike) -> None:
    """Raise ValueError for concrete values that are not finite, positive and in ascending order."""
    if is_traced(values):
        return
    low, high = map(np.asarray, values.values())
    if not np.all(np.isfinite(high) & (low > 0) & ((low < high) if strict else (low <= high))):
        given = ", ".join(f"{name}={value}" for name, value in values.items())
        raise ValueError(f"need finite 0 < {(' < ' if strict else ' <= ').join(values)}, got {given}")


def vp(beta_min: ArrayLike = 0.1, beta_max: ArrayLike = 20.0) -> VP:
    """Variance-preserving SDE, with β(t) linear in t; alpha(1) = e^{−(β_min+β_max)/4}.

    Args:
        beta_min: β(0) > 0, per unit of time.
        beta_max: β(1) ≥ β(0).

    Returns:
        The process.

    Raises:
        ValueError: unless 0 < beta_min ≤ beta_max < ∞. Traced values are not checked.

    Reference:
        Song et al. 2021, eq. 32.
    """
    _check_ascending(beta_min=beta_min, beta_max=beta_max)
    return VP(beta_min=beta_min, beta_max=beta_max)


def sub_vp(beta_min: ArrayLike = 0.1, beta_max: ArrayLike = 20.0) -> SubVP:
    """Sub-VP SDE, with alpha of `vp` and sigma = 1 − alpha².

    Args:
        beta_min: as in `vp`.
        beta_max: as in `vp`.

    Returns:
        The process.

    Raises:
        ValueError: as `vp` does.

    Reference:
        Song et al. 2021, eq. 29.
    """
    _check_ascending(beta_min=beta_min, beta_max=beta_max)
    return SubVP(beta_min=beta_min, beta_max=beta_max)


def ve(sigma_min: ArrayLike = 0.01, sigma_max: ArrayLike = 50.0) -> VE:
    """Variance-exploding SDE, with alpha = 1 and sigma geometric in t.

    As in the paper, sigma(0) is sigma_min and not 0, so x_0 is data with that much noise.

    Args:
        sigma_min: sigma(0) > 0, in units of the data; choose it below their resolution.
        sigma_max: sigma(1) > sigma_min, which is also the standard deviation of the prior.

    Returns:
        The process.

    Raises:
        ValueError: unless 0 < sigma_min < sigma_max < ∞. Traced values are not checked.

    Reference:
        Song et al. 2021, eq. 30.
    """
    _check_ascending(strict=True, sigma_min=sigma_min, sigma_max=sigma_max)
    return VE(sigma_min=sigma_min, sigma_max=sigma_max)


def cosine(s: ArrayLike = 0.008) -> Cosine:
    """Cosine schedule in continuous time, with alpha ∝ cos(π/2 (t+s)/(1+s)).

    alpha(1) is exactly 0. There eps says nothing about x0, so the network should predict v or x0.

    Args:
        s: offset s > 0.

    Returns:
        The process.

    Raises:
        ValueError: if a concrete s is not positive and finite.

    Reference:
        Nichol & Dhariwal 2021, eq. 17.
    """
    check_positive(s=s)
    return Cosine(s=s)


def edm(sigma_max: ArrayLike = 80.0) -> EDM:
    """EDM's process, with alpha = 1 and sigma = sigma_max t.

    Args:
        sigma_max: sigma(1) > 0, for data of standard deviation about 0.5; also the standard deviation of the prior.

    Returns:
        The process.

    Raises:
        ValueError: if a concrete sigma_max is not positive and finite.

    Reference:
        Karras et al. 2022, table 1.
    """
    check_positive(sigma_max=sigma_max)
    return EDM(sigma_max=sigma_max)


def rectified_flow() -> RectifiedFlow:
    """Straight paths x_t = (1 − t) x0 + t eps (Liu et al. 2022; Lipman et al. 2022, with time reversed).

    Returns:
        The process.
    """
    return RectifiedFlow()


def from_betas(betas: ArrayLike) -> Discrete:
    """The DDPM chain of T steps with q(x_i | x_{i−1}) = N(√(1−β_i) x_{i−1}, β_i I).

    Index i = 0 … T−1 of the table is the time t = (i+1)/T, where alpha² = ᾱ_i = ∏_{j≤i} (1 − β_j). At t = 0 the data
    are clean: alpha = 1, sigma = 0. At t = 1 alpha² = ᾱ_{T−1}, which is 0 if the last β is 1. Other times are rounded
    to the nearest step. Concrete betas are accumulated in float64.

    Args:
        betas: table (T,) of values in (0, 1); the last may be 1.

    Returns:
        The process.

    Raises:
        ValueError: if concrete betas are outside that range, or not of shape (T,) with T ≥ 1.

    Reference:
        Ho et al. 2020, eq. 2.
    """
    if is_traced(betas):
        return Discrete(log_alphas=-0.5 * jnp.concatenate([jnp.zeros(1), -jnp.cumsum(jnp.log1p(-betas))]))
    betas = np.asarray(betas, np.float64)
    if betas.ndim != 1 or betas.size == 0:
        raise ValueError(f"betas must have shape (T,), got {betas.shape}")
    if not (np.all(betas > 0) and np.all(betas[:-1] < 1) and betas[-1] <= 1):
        raise ValueError(f"betas must lie in (0, 1), the last may be 1; got {betas.min()} to {betas.max()}")
    with np.errstate(divide="ignore"):
        # the clean entry is −0, so that sigma there is +0
        table = -0.5 * np.concatenate([[0.0], -np.cumsum(np.log1p(-betas))])
    return Discrete(log_alphas=jnp.asarray(table))
