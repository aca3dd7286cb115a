"""Denoising and variational losses, one value per example: the mean is the trainer's."""

import math
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from jaxgen.diffusion.denoisers._denoiser import Network, denoiser
from jaxgen.diffusion.denoisers.prediction import (
    Prediction,
    PredictionType,
    check_prediction_type,
    eps_loss_scale,
    target,
)
from jaxgen.diffusion.denoisers.reverse import Variance, check_variance
from jaxgen.diffusion.objectives.bound import bound_term
from jaxgen.diffusion.objectives.weighting import Weighting
from jaxgen.diffusion.processes.kernels import perturb
from jaxgen.diffusion.processes.process import GaussianProcess
from jaxgen.diffusion.times import TimeSampler, uniform
from jaxgen.distributions.likelihoods import Likelihood


def denoising_loss(
    key: Key[Array, ""],
    process: GaussianProcess,
    network: Network,
    x0: Float[Array, "b *event"],
    *,
    cond: Any = None,
    predicts: PredictionType = "eps",
    weighting: Weighting | None = None,
    times: TimeSampler | None = None,
) -> Float[Array, " b"]:
    """Weighted squared error of a network at random times, averaged over the event (Ho et al. 2020, eq. 14).

    weighting: None for the plain error of the network's own output, else a weight on the error in eps, which is carried
    over to that output; log-SNR is held to ±40 for it. times: (key, B) -> (B,), by default uniform over the process's.
    Raises ValueError for an unknown kind, an output of another shape, or velocity on a discrete process.
    """
    check_prediction_type(predicts)
    t, eps, x_t = _noised(key, process, x0, times)
    error = _squared_error(process, predicts, network(x_t, t, cond), x0, eps, t)
    if weighting is None:
        return error
    return weighting(jnp.clip(process.log_snr(t), -40, 40)) * eps_loss_scale(process, predicts, t) * error


def vlb_loss(
    key: Key[Array, ""],
    process: GaussianProcess,
    network: Network,
    x0: Float[Array, "b *event"],
    *,
    cond: Any = None,
    predicts: PredictionType = "eps",
    variance: Variance = "fixed_small",
    likelihood: Likelihood | None = None,
    times: TimeSampler | None = None,
) -> Float[Array, " b"]:
    """T times the term of a random step: L_vlb less L_T, which has no gradient, unbiased, in nats per dimension.

    Ho et al. 2020, eq. 5; Nichol & Dhariwal 2021, eq. 4–7. With "learned" the network returns twice the last axis, see
    `denoiser`. likelihood: as `variational_bound` takes it. times: (key, B) -> (B,) in {1/T, …, 1}, by default uniform;
    other draws need their weights, see `importance`.
    Raises ValueError for a process that is not discrete with T ≥ 2, an unknown kind or variance, or an output of
    another shape.
    """
    check_variance(variance)
    _check_steps(process)
    denoise = denoiser(process, network, predicts=predicts, cond=cond, learned_variance=variance == "learned")
    t, _, x_t = _noised(key, process, x0, times)
    return _per_dim_bound(process, denoise(x_t, t), x_t, x0, t, variance, likelihood)


def hybrid_loss(
    key: Key[Array, ""],
    process: GaussianProcess,
    network: Network,
    x0: Float[Array, "b *event"],
    *,
    cond: Any = None,
    predicts: PredictionType = "eps",
    vlb_weight: float = 1e-3,
    likelihood: Likelihood | None = None,
    times: TimeSampler | None = None,
) -> Float[Array, " b"]:
    """L_simple + λ L_vlb, whose mean is held fixed: it trains the variance alone (Nichol & Dhariwal 2021, eq. 16).

    network: returns twice the last axis, the prediction and then v of the variance, see `denoiser`; one call serves
    both. L_simple is `denoising_loss` without a weighting, L_vlb is `vlb_loss` with "learned", in nats. vlb_weight: λ.
    Nichol & Dhariwal's code measures L_vlb in bits (its factor T/1000 on one term is λ = .001 on the sum of T), so
    vlb_weight = .001/ln 2 reproduces it. Raises ValueError unless vlb_weight ≥ 0, and as `vlb_loss` does.
    """
    if not vlb_weight >= 0:
        raise ValueError(f"vlb_weight must not be negative, got {vlb_weight}")
    check_prediction_type(predicts)
    _check_steps(process)
    t, eps, x_t = _noised(key, process, x0, times)
    output, dims = network(x_t, t, cond), x0.shape[-1]
    frozen = output.at[..., :dims].set(jax.lax.stop_gradient(output[..., :dims]))
    prediction = denoiser(process, lambda *_: frozen, predicts=predicts, learned_variance=True)(x_t, t)
    vlb = _per_dim_bound(process, prediction, x_t, x0, t, "learned", likelihood)
    return _squared_error(process, predicts, output[..., :dims], x0, eps, t) + vlb_weight * vlb


def _noised(
    key: Key[Array, ""], process: GaussianProcess, x0: Float[Array, "b *event"], times: TimeSampler | None
) -> tuple[Float[Array, " b"], Float[Array, "b *event"], Float[Array, "b *event"]]:
    """Times, noise and x_t, in x0's dtype or float32."""
    time_key, noise_key = jax.random.split(key)
    t = (times or uniform(process.steps))(time_key, x0.shape[0])
    eps = jax.random.normal(noise_key, x0.shape, jnp.promote_types(x0.dtype, jnp.float32))
    return t, eps, perturb(process, x0, t, eps).astype(eps.dtype)


def _squared_error(
    process: GaussianProcess, predicts: PredictionType, output: Array, x0: Array, eps: Array, t: Array
) -> Float[Array, " b"]:
    wanted = target(process, predicts, x0, eps, t).astype(eps.dtype)
    if output.shape != wanted.shape:
        raise ValueError(f"the network must return x's shape {wanted.shape}, got {output.shape}")
    return ((output - wanted) ** 2).reshape(x0.shape[0], -1).mean(-1)


def _check_steps(process: GaussianProcess) -> None:
    if process.steps is None or process.steps < 2:
        raise ValueError(
            "the discrete bound needs a process of T >= 2 steps, such as discrete(betas): "
            "a continuous one has `variational_bound` on a grid"
        )


def _per_dim_bound(
    process: GaussianProcess,
    prediction: Prediction,
    x_t: Array,
    x0: Array,
    t: Array,
    variance: Variance,
    likelihood: Likelihood | None,
) -> Float[Array, " b"]:
    """T times the term at t, over the dimensions of an event."""
    steps, index = process.steps, jnp.round(t * process.steps)
    x0 = x0.astype(x_t.dtype)
    term = bound_term(
        process, prediction, x_t, x0, (index - 1) / steps, index / steps, variance=variance, likelihood=likelihood
    )
    return term * (steps / math.prod(x0.shape[1:]))
