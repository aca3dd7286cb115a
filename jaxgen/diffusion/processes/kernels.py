"""The Gaussian kernels of a process: q(x_t|x0), q(x_t|x_s), q(x_s|x_t,x0), and its SDE."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from jaxgen.core import per_example, safe_divide
from jaxgen.diffusion.processes.process import GaussianProcess, checked_time, value_and_derivative
from jaxgen.distributions import Gaussian


def ordered_times(s: ArrayLike, t: ArrayLike) -> tuple[Float[Array, "..."], Float[Array, "..."]]:
    """Both times as arrays; raises ValueError where concrete ones leave [0, 1] or s is noisier than t."""
    concrete = not any(isinstance(time, jax.core.Tracer) for time in (s, t))
    if concrete and np.any(np.asarray(s) > np.asarray(t)):
        raise ValueError(f"s must not exceed t: the step is from the noisier t to s, got s={s}, t={t}")
    return checked_time(s), checked_time(t)


def marginal(process: GaussianProcess, x0: Float[Array, "b *event"], t: ArrayLike) -> Gaussian:
    """q(x_t | x0) = N(alpha x0, sigma² I), with t of shape () or (B,) (Ho et al. 2020, eq. 4).

    Raises ValueError for a concrete t outside [0, 1].
    """
    t = checked_time(t)
    return Gaussian(per_example(process.alpha(t), x0) * x0, per_example(process.sigma(t), x0))


def perturb(
    process: GaussianProcess, x0: Float[Array, "b *event"], t: ArrayLike, eps: Float[Array, "b *event"]
) -> Float[Array, "b *event"]:
    """x_t = alpha x0 + sigma eps: the whole chain in one step (Ho et al. 2020, eq. 4).

    Raises ValueError for a concrete t outside [0, 1].
    """
    mean, std = marginal(process, x0, t)
    return mean + std * eps


class Transition(NamedTuple):
    """q(x_t | x_s) = N(alpha x_s, variance I), shaped as the times."""

    alpha: Array
    variance: Array


def transition(process: GaussianProcess, s: ArrayLike, t: ArrayLike) -> Transition:
    """alpha_{t|s} = alpha_t/alpha_s and sigma²_{t|s} = sigma_t² − alpha²_{t|s} sigma_s², for s ≤ t.

    Kingma et al. 2021, §A.1. The variance is computed as sigma_t² (1 − e^{λ_t−λ_s}), which keeps its digits for
    neighbouring times; s = t gives (1, 0) also at the ends.
    Raises ValueError for concrete times outside [0, 1] or s > t.
    """
    s, t = ordered_times(s, t)
    log_alpha_t, log_alpha_s = process.log_alpha(t), process.log_alpha(s)
    # inf − inf only where s = t sits at an end
    ratio = jnp.where(log_alpha_t == log_alpha_s, 0, log_alpha_t - log_alpha_s)
    return Transition(jnp.exp(ratio), process.variance(t) * -jnp.expm1(log_snr_step(process, s, t)))


def log_snr_step(process: GaussianProcess, s: ArrayLike, t: ArrayLike) -> Float[Array, "..."]:
    """λ_t − λ_s ≤ 0 for s ≤ t: −inf when s is clean or t is pure noise, 0 when the two coincide."""
    log_snr_t, log_snr_s = process.log_snr(t), process.log_snr(s)
    return jnp.where(log_snr_t == log_snr_s, 0, log_snr_t - log_snr_s)


class Posterior(NamedTuple):
    """q(x_s | x_t, x0) = N(coef_xt x_t + coef_x0 x0, variance I), shaped as the times."""

    coef_xt: Array
    coef_x0: Array
    variance: Array


def posterior_coefficients(process: GaussianProcess, s: ArrayLike, t: ArrayLike) -> Posterior:
    """Coefficients of q(x_s | x_t, x0) for s < t (Ho et al. 2020, eq. 7; Kingma et al. 2021, eq. 25).

    coef_xt = alpha_{t|s} sigma_s²/sigma_t², coef_x0 = alpha_s sigma²_{t|s}/sigma_t², and the variance (β̃ in a DDPM)
    = sigma²_{t|s} sigma_s²/sigma_t². At s = 0 of a process that starts clean they are (0, 1, 0): x_s is x0.
    At s = t they are (1, 0, 0).
    """
    s, t = ordered_times(s, t)
    noised = -jnp.expm1(log_snr_step(process, s, t))
    variance_s, variance_t = process.variance(s), process.variance(t)
    ratio = jnp.where(variance_s == variance_t, 1, safe_divide(variance_s, variance_t))
    return Posterior(transition(process, s, t).alpha * ratio, process.alpha(s) * noised, variance_s * noised)


def posterior(
    process: GaussianProcess, x_t: Float[Array, "b *event"], x0: Float[Array, "b *event"], s: ArrayLike, t: ArrayLike
) -> Gaussian:
    """q(x_s | x_t, x0) for s ≤ t, the reverse kernel when x0 is known (Ho et al. 2020, eq. 6–7).

    Raises ValueError for concrete times outside [0, 1] or s > t.
    """
    coef_xt, coef_x0, variance = (per_example(c, x0) for c in posterior_coefficients(process, s, t))
    return Gaussian(coef_xt * x_t + coef_x0 * x0, jnp.sqrt(variance))


class SDE(NamedTuple):
    """Coefficients of dx = drift x dt + √diffusion_squared dw, shaped as the time."""

    drift: Array
    diffusion_squared: Array


def sde_coefficients(process: GaussianProcess, t: ArrayLike) -> SDE:
    """f = d log alpha/dt and g² = d sigma²/dt − 2 f sigma²: the linear SDE with the process's marginals.

    Song et al. 2021, eq. 5 and appendix B. Where alpha reaches 0 (cosine, rectified flow at t = 1) f → −∞ and
    g² → ∞. Raises ValueError for a discrete process.
    """
    _, drift = value_and_derivative(process, process.log_alpha, t)
    variance, growth = value_and_derivative(process, process.variance, t)
    return SDE(drift, growth - 2 * drift * variance)
