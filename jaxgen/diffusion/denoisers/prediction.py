"""What a network predicts (eps, x0, v, score or velocity), and the one map from each to (x0, eps).

Every kind is a linear combination of x0 and eps; with x_t = alpha x0 + sigma eps that is two equations in two unknowns.
What they do not determine is set to its mean: x0 from eps where alpha = 0, and eps from x0 where sigma = 0, are 0 (the
data are taken to be centred).
"""

from typing import Literal, NamedTuple, get_args

import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from jaxgen.core import per_example, safe_divide
from jaxgen.diffusion.processes.process import GaussianProcess, alpha_sigma_derivatives, checked_time

PredictionType = Literal["eps", "x0", "v", "score", "velocity"]


class Prediction(NamedTuple):
    """What a denoiser says of x_t: both halves of it, and the learned variance where there is one."""

    x0: Float[Array, "b *event"]
    eps: Float[Array, "b *event"]
    variance_interpolation: Float[Array, "b *event"] | None = None  # 0 is the posterior's variance, 1 is β (in logs)


def check_prediction_type(kind: str) -> None:
    """Raise ValueError for a kind of prediction that does not exist."""
    if kind not in get_args(PredictionType):
        raise ValueError(f"unknown prediction {kind!r}: choose one of {', '.join(get_args(PredictionType))}")


def target(
    process: GaussianProcess,
    kind: PredictionType,
    x0: Float[Array, "b *event"],
    eps: Float[Array, "b *event"],
    t: ArrayLike,
) -> Float[Array, "b *event"]:
    """The regression target of a network of this kind at x_t = alpha x0 + sigma eps.

    v = alpha eps − sigma x0 (Salimans & Ho 2022), score = −eps/sigma (Vincent 2011; infinite at sigma = 0),
    velocity = dx_t/dt = alpha' x0 + sigma' eps (Lipman et al. 2022; infinite at t = 0 where sigma ~ √t).
    Raises ValueError for an unknown kind, a concrete t outside [0, 1], or velocity on a discrete process.
    """
    check_prediction_type(kind)
    t = checked_time(t)
    match kind:
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
    kind: PredictionType,
    output: Float[Array, "b *event"],
    x: Float[Array, "b *event"],
    t: ArrayLike,
) -> Prediction:
    """The (x0, eps) that a network's output of this kind means at x_t = x.

    At t = 0 a velocity that is infinite there reads x0 = x/alpha, eps = 0. Raises as `target` does.
    """
    check_prediction_type(kind)
    t = checked_time(t)
    alpha, sigma = per_example(process.alpha(t), x), per_example(process.sigma(t), x)
    match kind:
        case "eps" | "score":
            eps = output if kind == "eps" else -sigma * output
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


def eps_loss_scale(process: GaussianProcess, kind: PredictionType, t: ArrayLike) -> Float[Array, "..."]:
    """How many times the squared error in eps exceeds the squared error of the output it is read from, shaped as t.

    1 for eps, sigma² for score, SNR (held to e^±40) for x0, (alpha / (alpha² + sigma²))² for v: what carries a loss
    weight from one kind to another (Kingma & Gao 2023, §A). Raises as `target` does.
    """
    check_prediction_type(kind)
    t = checked_time(t)
    alpha, sigma = process.alpha(t), process.sigma(t)
    match kind:
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
    """∇ log q_t(x_t) = −eps/sigma (Song et al. 2021, §3), infinite where sigma = 0.

    Never through x0, which is undetermined where alpha = 0.
    """
    return -prediction.eps / per_example(process.sigma(checked_time(t)), prediction.eps)
