"""The probability-flow ODE and the reverse SDE of a denoiser, as vector fields in t."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from jaxgen.core import is_traced, per_example
from jaxgen.diffusion.denoisers._denoiser import Denoiser, evaluate
from jaxgen.diffusion.denoisers.prediction import Prediction, target
from jaxgen.diffusion.processes.kernels import sde_coefficients
from jaxgen.diffusion.processes.process import GaussianProcess, alpha_sigma_derivatives


def velocity(process: GaussianProcess, prediction: Prediction, t: ArrayLike) -> Float[Array, "b *event"]:
    """The velocity dx/dt = alpha' x̂0 + sigma' ε̂ of the probability-flow ODE, from a prediction.

    It equals f x − ½ g² score. It is finite where f and g² are infinite (alpha = 0), and infinite only where sigma' is
    (t = 0 of vp and cosine).

    Args:
        process: the Gaussian process.
        prediction: what the denoiser predicts at t.
        t: time in [0, 1], () or (B,).

    Returns:
        dx/dt (B, *event).

    Raises:
        ValueError: if the process is discrete, or a concrete t is outside [0, 1].

    Reference:
        Song et al. 2021, eq. 13.
    """
    return target(process, "velocity", prediction.x0, prediction.eps, t)


def probability_flow(
    process: GaussianProcess, denoise: Denoiser, x: Float[Array, "b *event"], t: ArrayLike
) -> Float[Array, "b *event"]:
    """The right-hand side dx/dt of the probability-flow ODE, whose solutions have the process's marginals at every t.

    One network call.

    Args:
        process: the Gaussian process.
        denoise: the denoiser.
        x: state (B, *event).
        t: time in [0, 1], () or (B,).

    Returns:
        dx/dt (B, *event).

    Raises:
        ValueError: if the process is discrete, or a concrete t is outside [0, 1].
        TypeError: if `denoise` is a bare network.

    Reference:
        Song et al. 2021, eq. 13.
    """
    return velocity(process, evaluate(denoise, x, t), t)


class ReverseSDE(NamedTuple):
    """Coefficients of dx = drift dt + diffusion dw̄, with time running from 1 to 0."""

    drift: Float[Array, "b *event"]
    diffusion: Float[Array, "..."]


def reverse_sde(
    process: GaussianProcess, denoise: Denoiser, x: Float[Array, "b *event"], t: ArrayLike, eta: ArrayLike = 1.0
) -> ReverseSDE:
    """The reverse SDE dx = [f x − ½(1 + η²) g² score] dt + η g dw̄, which has the process's marginals for every η ≥ 0.

    η = 1 is Anderson's reverse SDE and η = 0 the probability-flow ODE. The coefficients are infinite where alpha = 0
    (t = 1 of cosine and rectified flow), so begin below 1 there. One network call.

    Args:
        process: the Gaussian process.
        denoise: the denoiser.
        x: state (B, *event).
        t: time in [0, 1], () or (B,).
        eta: η ≥ 0.

    Returns:
        The drift (B, *event) and the diffusion, of t's shape.

    Raises:
        ValueError: if the process is discrete, or a concrete t is outside [0, 1].
        TypeError: if `denoise` is a bare network.

    Reference:
        Song et al. 2021, eq. 6 (Anderson 1982); Huang et al. 2021, eq. 15; Karras et al. 2022, eq. 6.
    """
    prediction = evaluate(denoise, x, t)
    variance = eta**2 * sde_coefficients(process, t).diffusion_squared
    drift = velocity(process, prediction, t) + per_example(variance / (2 * process.sigma(t)), x) * prediction.eps
    return ReverseSDE(drift, jnp.sqrt(variance))


def check_finite_velocity(process: GaussianProcess, t_min: ArrayLike, t_max: ArrayLike) -> None:
    """Check that an ODE can be solved between two times: they are in order and the velocity is finite at both.

    Traced times, and processes with traced parameters, are not checked.

    Args:
        process: a continuous process.
        t_min: the earlier time, ().
        t_max: the later time, ().

    Raises:
        ValueError: if 0 ≤ t_min < t_max ≤ 1 does not hold, the velocity is infinite at an end, or the process is
            discrete.
    """
    if is_traced(t_min, t_max):
        return
    if not 0 <= t_min < t_max <= 1:
        raise ValueError(f"need 0 <= t_min < t_max <= 1 (0 clean data, 1 the prior), got {t_min} and {t_max}")
    margins = (1e-5, 1e-4, 1e-3, 1e-2, 0.1)
    for name, end, candidates in (("t_min", t_min, margins), ("t_max", t_max, [1 - margin for margin in margins])):
        if _velocity_is_finite(process, end):
            continue
        nearest = next((t for t in candidates if t_min < t < t_max and _velocity_is_finite(process, t)), None)
        advice = "check alpha and sigma" if nearest is None else f"it is finite at {name}={nearest:g}, use that"
        raise ValueError(f"the velocity of {type(process).__name__} is infinite at t={end}: {advice}")


def _velocity_is_finite(process: GaussianProcess, t: ArrayLike) -> bool:
    with jax.ensure_compile_time_eval():
        slopes = alpha_sigma_derivatives(process, t)
    return is_traced(slopes) or bool(np.all(np.isfinite(slopes)))
