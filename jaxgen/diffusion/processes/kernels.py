"""Gaussian kernels q(x_t|x0), q(x_t|x_s) and q(x_s|x_t,x0) of a process, and its SDE."""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from jaxgen.core import is_traced, per_example, safe_divide
from jaxgen.diffusion.processes.process import GaussianProcess, validate_time, value_and_derivative
from jaxgen.distributions import Gaussian


def marginal(process: GaussianProcess, x0: Float[Array, "b *event"], t: ArrayLike) -> Gaussian:
    """q(x_t | x0) = N(alpha x0, sigma² I).

    Args:
        process: the process.
        x0: clean data (B, *event).
        t: times in [0, 1], () or (B,).

    Returns:
        The Gaussian of x_t, with a mean (B, *event).

    Raises:
        ValueError: if a concrete t is outside [0, 1].

    Reference:
        Ho et al. 2020, eq. 4.
    """
    t = validate_time(t)
    return Gaussian(per_example(process.alpha(t), x0) * x0, per_example(process.sigma(t), x0))


def perturb(
    process: GaussianProcess, x0: Float[Array, "b *event"], t: ArrayLike, eps: Float[Array, "b *event"]
) -> Float[Array, "b *event"]:
    """Add noise to data: x_t = alpha x0 + sigma eps, a draw from `marginal` if eps is standard normal.

    Args:
        process: the process.
        x0: clean data (B, *event).
        t: times in [0, 1], () or (B,).
        eps: noise (B, *event).

    Returns:
        The noisy data x_t (B, *event).

    Raises:
        ValueError: as `marginal` does.
    """
    mean, std = marginal(process, x0, t)
    return mean + std * eps


class Transition(NamedTuple):
    """q(x_t | x_s) = N(alpha x_s, variance I); both of the shape of the times."""

    alpha: Array
    variance: Array


def transition(process: GaussianProcess, s: ArrayLike, t: ArrayLike) -> Transition:
    """Coefficients alpha_{t|s} = alpha_t/alpha_s and sigma²_{t|s} = sigma_t² − alpha²_{t|s} sigma_s² of q(x_t | x_s).

    The variance is computed as sigma_t² (1 − e^{λ_t−λ_s}), which is accurate for neighbouring times. For s = t the
    result is (1, 0), at the ends too.

    Args:
        process: the process.
        s: the cleaner times, s ≤ t.
        t: the noisier times; the shapes of s and t broadcast.

    Returns:
        The coefficients, of the broadcast shape.

    Raises:
        ValueError: if concrete times are outside [0, 1] or have s > t.

    Reference:
        Kingma et al. 2021, §A.1.
    """
    s, t = _validate_times(s, t)
    log_alpha_t, log_alpha_s = process.log_alpha(t), process.log_alpha(s)
    # the difference is inf − inf only where s = t is an end
    ratio = jnp.where(log_alpha_t == log_alpha_s, 0, log_alpha_t - log_alpha_s)
    return Transition(jnp.exp(ratio), process.variance(t) * -jnp.expm1(log_snr_step(process, s, t)))


def log_snr_step(process: GaussianProcess, s: ArrayLike, t: ArrayLike) -> Float[Array, "..."]:
    """The difference λ_t − λ_s: 0 if s = t, and −inf if s is clean or t is pure noise.

    Args:
        process: the process.
        s: the cleaner times, s ≤ t.
        t: the noisier times; the shapes of s and t broadcast.

    Returns:
        The difference in nats, ≤ 0, of the broadcast shape.
    """
    log_snr_t, log_snr_s = process.log_snr(t), process.log_snr(s)
    return jnp.where(log_snr_t == log_snr_s, 0, log_snr_t - log_snr_s)


class Posterior(NamedTuple):
    """q(x_s | x_t, x0) = N(coef_xt x_t + coef_x0 x0, variance I); all of the shape of the times."""

    coef_xt: Array
    coef_x0: Array
    variance: Array


def posterior_coefficients(process: GaussianProcess, s: ArrayLike, t: ArrayLike) -> Posterior:
    """Coefficients of the posterior q(x_s | x_t, x0).

    coef_xt = alpha_{t|s} sigma_s²/sigma_t², coef_x0 = alpha_s sigma²_{t|s}/sigma_t², and variance =
    sigma²_{t|s} sigma_s²/sigma_t² (β̃ of a DDPM). At s = t they are (1, 0, 0). At s = 0 they are (0, 1, 0) if the
    process starts clean.

    Args:
        process: the process.
        s: the cleaner times, s ≤ t.
        t: the noisier times; the shapes of s and t broadcast.

    Returns:
        The coefficients, of the broadcast shape.

    Raises:
        ValueError: if concrete times are outside [0, 1] or have s > t.

    Reference:
        Ho et al. 2020, eq. 7; Kingma et al. 2021, eq. 25.
    """
    s, t = _validate_times(s, t)
    noised = -jnp.expm1(log_snr_step(process, s, t))
    variance_s, variance_t = process.variance(s), process.variance(t)
    ratio = jnp.where(variance_s == variance_t, 1, safe_divide(variance_s, variance_t))
    return Posterior(transition(process, s, t).alpha * ratio, process.alpha(s) * noised, variance_s * noised)


def posterior(
    process: GaussianProcess, x_t: Float[Array, "b *event"], x0: Float[Array, "b *event"], s: ArrayLike, t: ArrayLike
) -> Gaussian:
    """The posterior q(x_s | x_t, x0), by `posterior_coefficients`.

    Args:
        process: the process.
        x_t: noisy data (B, *event).
        x0: clean data (B, *event).
        s: the cleaner times, s ≤ t, () or (B,).
        t: the noisier times, () or (B,).

    Returns:
        The Gaussian of x_s, with a mean (B, *event).

    Raises:
        ValueError: as `posterior_coefficients` does.
    """
    coef_xt, coef_x0, variance = (per_example(c, x0) for c in posterior_coefficients(process, s, t))
    return Gaussian(coef_xt * x_t + coef_x0 * x0, jnp.sqrt(variance))


class SDE(NamedTuple):
    """Coefficients of dx = drift · x dt + √diffusion_squared dw; both of the shape of the time."""

    drift: Array
    diffusion_squared: Array


def sde_coefficients(process: GaussianProcess, t: ArrayLike) -> SDE:
    """Coefficients f = d log alpha/dt and g² = d sigma²/dt − 2 f sigma² of the SDE with the process's marginals.

    Where alpha reaches 0 (at t = 1 of `cosine` and `rectified_flow`) f is −inf and g² is inf.

    Args:
        process: a process in continuous time.
        t: times in [0, 1], of any shape.

    Returns:
        f and g², of t's shape.

    Raises:
        ValueError: if the process is discrete, or a concrete t is outside [0, 1].

    Reference:
        Song et al. 2021, eq. 5 and appendix B.
    """
    _, drift = value_and_derivative(process, process.log_alpha, t)
    variance, variance_rate = value_and_derivative(process, process.variance, t)
    return SDE(drift, variance_rate - 2 * drift * variance)


def _validate_times(s: ArrayLike, t: ArrayLike) -> tuple[Float[Array, "..."], Float[Array, "..."]]:
    concrete = not is_traced(s, t)
    if concrete and np.any(np.asarray(s) > np.asarray(t)):
        raise ValueError(f"s must not exceed t: the step is from the noisier t to s, got s={s}, t={t}")
    return validate_time(s), validate_time(t)
