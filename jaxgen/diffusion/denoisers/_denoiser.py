"""From a network to a denoiser: the one thing that samplers, solvers and scores take."""

from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from jaxgen.core import per_example
from jaxgen.diffusion.denoisers.prediction import Prediction, PredictionType, check_prediction_type, to_x0_eps
from jaxgen.diffusion.processes.process import GaussianProcess, checked_time

Network = Callable[[Array, Array, Any], Array]
Clip = float | Callable[[Array], Array] | None


@runtime_checkable
class Denoiser(Protocol):
    """`denoise(x, t) -> Prediction`; `cond` replaces the conditioning it was made with, as guidance needs to."""

    def __call__(self, x: Array, t: ArrayLike, cond: Any = ...) -> Prediction:
        """What x (B, *event) at time t, () or (B,), holds of data and of noise."""
        ...


def denoiser(
    process: GaussianProcess,
    network: Network,
    *,
    predicts: PredictionType = "eps",
    cond: Any = None,
    clip: Clip = None,
    recompute_eps: bool = True,
    learned_variance: bool = False,
) -> Denoiser:
    """A network (x, t, cond) -> output as a denoiser (x, t) -> Prediction.

    network: sees x (B, *event), t (B,) and cond; its output has x's shape, or twice its last axis with
    `learned_variance`, the second half then being Nichol & Dhariwal's v (2021, eq. 15) on [−1, 1].
    clip: bounds x0, a number for [−clip, clip] or a function such as `dynamic_threshold()`; `recompute_eps` then makes
    eps agree with the bounded x0, as DDPM does and as some libraries do not.

    Raises ValueError for an unknown kind, a clip that is not positive, and, when called, for an output of another shape
    or a concrete t outside [0, 1].
    """
    check_prediction_type(predicts)
    bound_cond, clip = cond, as_function(clip)

    def denoise(x: Float[Array, "b *event"], t: ArrayLike, cond: Any = bound_cond) -> Prediction:
        t = jnp.broadcast_to(checked_time(t), x.shape[:1])
        output = network(x, t, cond)
        expected = (*x.shape[:-1], 2 * x.shape[-1]) if learned_variance else x.shape
        if output.shape != expected:
            raise ValueError(
                f"the network must return shape {expected} for x of shape {x.shape} with {learned_variance=}, "
                f"got {output.shape}"
            )
        fraction = None
        if learned_variance:
            output, logits = jnp.split(output, 2, axis=-1)
            fraction = (logits + 1) / 2
        x0, eps, _ = to_x0_eps(process, predicts, output, x, t)
        if clip is not None:
            x0 = clip(x0)
            if recompute_eps:
                eps = to_x0_eps(process, "x0", x0, x, t).eps
        return Prediction(x0, eps, fraction)

    return denoise


def bind(denoise: Denoiser, cond: Any) -> Denoiser:
    """The denoiser with its conditioning replaced by `cond`, unless that is None."""
    return denoise if cond is None else lambda x, t: denoise(x, t, cond=cond)


def as_function(clip: Clip) -> Callable[[Array], Array] | None:
    """A clip as `denoiser` takes it, as a function; raises ValueError for a number that is not positive."""
    return clip if clip is None or callable(clip) else static_clip(clip)


def static_clip(bound: float = 1.0) -> Callable[[Array], Array]:
    """x0 held to [−bound, bound]; raises ValueError unless bound > 0."""
    if not bound > 0:
        raise ValueError(f"clip must be positive, got {bound}: it bounds |x0|")
    return lambda x0: jnp.clip(x0, -bound, bound)


def dynamic_threshold(quantile: float = 0.995, bound: float = 1.0) -> Callable[[Array], Array]:
    """x0 held to its own quantile of |x0|, then scaled into [−bound, bound], per example (Saharia et al. 2022, §2.3).

    Raises ValueError unless 0 < quantile ≤ 1 and bound > 0.
    """
    if not 0 < quantile <= 1 or not bound > 0:
        raise ValueError(f"need 0 < quantile <= 1 and bound > 0, got quantile={quantile}, bound={bound}")

    def threshold(x0: Float[Array, "b *event"]) -> Float[Array, "b *event"]:
        magnitude = jnp.abs(x0).reshape(x0.shape[0], -1)
        limit = per_example(jnp.maximum(jnp.quantile(magnitude, quantile, axis=-1), bound), x0)
        return jnp.clip(x0, -limit, limit) * (bound / limit)

    return threshold


def edm_preconditioning(process: GaussianProcess, network: Network, sigma_data: float = 0.5) -> Network:
    """A raw network F as one that predicts x0: c_skip x + c_out F(c_in x, c_noise, cond) (Karras et al. 2022, eq. 7).

    Written for any process through σ̃ = sigma/alpha and x/alpha, in forms finite where alpha = 0 or sigma = 0; F's time
    is c_noise = ln(σ̃)/4, held to ±10. sigma_data: standard deviation of the data. Raises ValueError unless positive.
    """
    if not sigma_data > 0:
        raise ValueError(f"sigma_data must be positive, got {sigma_data}: give the data's standard deviation")

    def predict_x0(x: Float[Array, "b *event"], t: Float[Array, " b"], cond: Any) -> Float[Array, "b *event"]:
        alpha, sigma = per_example(process.alpha(t), x), per_example(process.sigma(t), x)
        norm = jnp.sqrt(sigma**2 + (alpha * sigma_data) ** 2)
        c_noise = jnp.clip(-process.log_snr(t) / 8, -10, 10)
        output = network(x / norm, c_noise, cond)
        return alpha * (sigma_data / norm) ** 2 * x + sigma * sigma_data / norm * output

    return predict_x0
