"""What a network predicts (eps, x0, v, score or velocity), and the map from each to (x0, eps).

Every prediction type is a linear combination of x0 and eps. With x_t = alpha x0 + sigma eps that gives two equations in
two unknowns. Where they do not determine an unknown it is set to its mean, 0: x0 from eps where alpha = 0, and eps from
x0 where sigma = 0. This assumes centred data.
"""

from typing import Any, Literal, NamedTuple

import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from jaxgen.core import check_choice, per_example, safe_divide
from jaxgen.diffusion.processes.process import GaussianProcess, alpha_sigma_derivatives, validate_time

PredictionType = Literal["eps", "x0", "v", "score", "velocity"]


class Prediction(NamedTuple):
    """What a denoiser predicts from x_t: x0, eps and, where it is learned, the variance."""

    x0: Float[Array, "b *event"]
    eps: Float[Array, "b *event"]
    variance_interpolation: Float[Array, "b *event"] | None = None  # log-scale fraction from β̃ (0) to β (1)


def check_prediction_type(predicts: str, network: Any = None) -> None:
    """Raise ValueError for an unknown prediction type, or another than the network's attribute `predicts`, if any."""
    check_choice(PredictionType, prediction=predicts)
    if (known := getattr(network, "predicts", predicts)) != predicts:
        raise ValueError(f"this network predicts {known}, not {predicts}: pass predicts={known!r}")


def target(
    process: GaussianProcess,
    predicts: PredictionType,
    x0: Float[Array, "b *event"],
    eps: Float[Array, "b *event"],
    t: ArrayLike,
) -> Float[Array, "b *event"]:
    """The regression target of a network at x_t = alpha x0 + sigma eps.

    * v = alpha eps − sigma x0.
    * score = −eps/sigma, infinite at sigma = 0.
    * velocity = dx_t/dt = alpha' x0 + sigma' eps, infinite at t = 0 where sigma grows as √t.

    Args:
        process: the Gaussian process.
        predicts: the prediction type.
        x0: data (B, *event).
        eps: noise (B, *event).
        t: time in [0, 1], () or (B,).

    Returns:
        The target (B, *event).

    Raises:
        ValueError: if `predicts` is unknown, a concrete t is outside [0, 1], or predicts is "velocity" for a discrete
            process.

    Reference:
        v: Salimans & Ho 2022, §4. score: Vincent 2011. velocity: Lipman et al. 2022.
    """
    check_prediction_type(predicts)
    t = validate_time(t)
    match predicts:
        case "eps":
            return eps
        case "x0":
            return x0
        case "score":
            return -eps / per_example(process.sigma(t), eps)
        case "v":
            return per_example(process.alpha(t), x0) * eps - per_example(process.sigma(t), x0) * x0
        case "velocity":
            alpha_rate, sigma_rate = alpha_sigma_derivatives(process, t)
            return per_example(alpha_rate, x0) * x0 + per_example(sigma_rate, x0) * eps


def to_x0_eps(
    process: GaussianProcess,
    predicts: PredictionType,
    output: Float[Array, "b *event"],
    x: Float[Array, "b *event"],
    t: ArrayLike,
) -> Prediction:
    """Convert a network's output at x_t = x to (x0, eps).

    Where the velocity is infinite (t = 0 of some processes) the result is x0 = x/alpha, eps = 0.

    Args:
        process: the Gaussian process.
        predicts: the prediction type of `output`.
        output: the network's output (B, *event).
        x: noisy state (B, *event).
        t: time in [0, 1], () or (B,).

    Returns:
        The prediction.

    Raises:
        ValueError: as `target` does.
    """
    check_prediction_type(predicts)
    t = validate_time(t)
    alpha, sigma = per_example(process.alpha(t), x), per_example(process.sigma(t), x)
    match predicts:
        case "eps" | "score":
            eps = output if predicts == "eps" else -sigma * output
            return Prediction(safe_divide(x - sigma * eps, alpha), eps)
        case "x0":
            return Prediction(output, safe_divide(x - alpha * output, sigma))
        case "v":
            norm = alpha**2 + sigma**2
            return Prediction((alpha * x - sigma * output) / norm, (sigma * x + alpha * output) / norm)
        case "velocity":
            alpha_rate, sigma_rate = alpha_sigma_derivatives(process, t)
            finite = per_example(jnp.isfinite(sigma_rate), x)
            alpha_rate, sigma_rate = per_example(alpha_rate, x), jnp.where(finite, per_example(sigma_rate, x), 0)
            determinant = alpha * sigma_rate - sigma * alpha_rate
            x0, eps = sigma_rate * x - sigma * output, alpha * output - alpha_rate * x
            return Prediction(
                jnp.where(finite, safe_divide(x0, determinant), safe_divide(x, alpha)),
                jnp.where(finite, safe_divide(eps, determinant), 0),
            )


def eps_loss_scale(process: GaussianProcess, predicts: PredictionType, t: ArrayLike) -> Float[Array, "..."]:
    """The ratio of the squared error in eps to the squared error in the network's output.

    It converts a loss weight from one prediction type to another: 1 for eps, sigma² for score, the SNR clipped to e^±40
    for x0, (alpha/(alpha² + sigma²))² for v, (alpha/(alpha sigma' − sigma alpha'))² for velocity.

    Args:
        process: the Gaussian process.
        predicts: the prediction type.
        t: time in [0, 1], any shape.

    Returns:
        The ratio, of t's shape.

    Raises:
        ValueError: as `target` does.

    Reference:
        Kingma & Gao 2023, §A.
    """
    check_prediction_type(predicts)
    t = validate_time(t)
    alpha, sigma = process.alpha(t), process.sigma(t)
    match predicts:
        case "eps":
            return jnp.ones_like(t)
        case "score":
            return sigma**2
        case "x0":
            return jnp.exp(jnp.clip(process.log_snr(t), -40, 40))
        case "v":
            return (alpha / (alpha**2 + sigma**2)) ** 2
        case "velocity":
            alpha_rate, sigma_rate = alpha_sigma_derivatives(process, t)
            return (alpha / (alpha * sigma_rate - sigma * alpha_rate)) ** 2


def score(process: GaussianProcess, prediction: Prediction, t: ArrayLike) -> Float[Array, "b *event"]:
    """The score ∇ log q_t(x_t) = −eps/sigma of a prediction; infinite where sigma = 0.

    It is computed from eps because x0 is undetermined where alpha = 0.

    Args:
        process: the Gaussian process.
        prediction: what a denoiser predicts at x_t.
        t: time in [0, 1], () or (B,).

    Returns:
        The score (B, *event).

    Raises:
        ValueError: if a concrete t is outside [0, 1].

    Reference:
        Song et al. 2021, §3.
    """
    return -prediction.eps / per_example(process.sigma(validate_time(t)), prediction.eps)
