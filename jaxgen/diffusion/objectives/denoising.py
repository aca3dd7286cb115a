"""Denoising and variational losses, one value per example."""

import math
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from jaxgen.core import check_floating, check_not_negative
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
    noise: Float[Array, "b *event"] | None = None,
) -> Float[Array, " b"]:
    """Weighted squared error of a network at random times, averaged over the event.

    Args:
        key: key of the times and the noise.
        process: the process.
        network: function (x, t, cond) -> output of x's shape.
        x0: clean data (B, *event), scaled as the network sees them.
        cond: conditioning, passed to the network.
        predicts: what the network's output is.
        weighting: weight on the squared error in eps, as a function of log-SNR clipped to ±40; it is converted to a
            weight on the network's own output. None is the plain error of that output.
        times: sampler (key, B) -> t of shape (B,); by default `times.uniform` for the process.
        noise: standard normal noise (B, *event), drawn by default. Noise that is coupled with x0, as by
            `flows.transport_noise`, makes flow matching with optimal-transport couplings.

    Returns:
        Losses (B,), in x0's dtype or float32.

    Raises:
        ValueError: if x0 is not floating point, noise has another shape, `predicts` is unknown or is "velocity" for a
            discrete process, or the output has another shape.

    Reference:
        Ho et al. 2020, eq. 14.
    """
    check_prediction_type(predicts, network)
    t, eps, x_t = _noised(key, process, x0, times, noise)
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
    """T times the bound's term of a random step: an unbiased estimate of L_vlb − L_T, in nats per dimension.

    L_T is left out because it has no gradient.

    Args:
        key: as in `denoising_loss`.
        process: a discrete process of T ≥ 2 steps.
        network: as in `denoising_loss`; with variance "learned" its output is twice as long in the last axis, see
            `denoiser`.
        x0: clean data (B, *event), in the range of the likelihood.
        cond: as in `denoising_loss`.
        predicts: as in `denoising_loss`.
        variance: variance of the reverse kernel, see `reverse_kernel`.
        likelihood: as in `variational_bound`.
        times: sampler (key, B) -> t in {1/T, …, 1}, by default uniform. Other draws need weights, see `importance`.

    Returns:
        Losses (B,), in x0's dtype or float32.

    Raises:
        ValueError: if variance is unknown, or the process is not discrete with T ≥ 2; and as `denoising_loss` does.

    Reference:
        Ho et al. 2020, eq. 5; Nichol & Dhariwal 2021, eq. 4–7.
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
    """L_hybrid = L_simple + λ L_vlb, where the gradient of L_vlb trains the variance alone.

    L_simple is `denoising_loss` without weighting. L_vlb is `vlb_loss` with variance "learned" and a stop-gradient on
    the prediction. One network call serves both.

    Args:
        key: as in `denoising_loss`.
        process: as in `vlb_loss`.
        network: function whose output is twice as long as x in the last axis: the prediction, then v of the variance,
            see `denoiser`.
        x0: as in `vlb_loss`.
        cond: as in `denoising_loss`.
        predicts: as in `denoising_loss`.
        vlb_weight: λ ≥ 0. The reference's code measures L_vlb in bits, so λ = 0.001/ln 2 reproduces it.
        likelihood: as in `variational_bound`.
        times: as in `vlb_loss`.

    Returns:
        Losses (B,), in x0's dtype or float32.

    Raises:
        ValueError: if vlb_weight is negative or infinite; and as `vlb_loss` does.

    Reference:
        Nichol & Dhariwal 2021, eq. 16.
    """
    check_not_negative(vlb_weight=vlb_weight)
    _check_steps(process)
    check_prediction_type(predicts, network)
    t, eps, x_t = _noised(key, process, x0, times)
    output, dims = network(x_t, t, cond), x0.shape[-1]
    frozen = output.at[..., :dims].set(jax.lax.stop_gradient(output[..., :dims]))
    prediction = denoiser(process, lambda *_: frozen, predicts=predicts, learned_variance=True)(x_t, t)
    vlb = _per_dim_bound(process, prediction, x_t, x0, t, "learned", likelihood)
    return _squared_error(process, predicts, output[..., :dims], x0, eps, t) + vlb_weight * vlb


def _noised(
    key: Key[Array, ""],
    process: GaussianProcess,
    x0: Float[Array, "b *event"],
    times: TimeSampler | None,
    noise: Float[Array, "b *event"] | None = None,
) -> tuple[Float[Array, " b"], Float[Array, "b *event"], Float[Array, "b *event"]]:
    """Times, noise and x_t, in x0's dtype or float32."""
    check_floating(x0)
    time_key, noise_key = jax.random.split(key)
    t = (times or uniform(process.steps))(time_key, x0.shape[0])
    dtype = jnp.promote_types(x0.dtype, jnp.float32)
    if noise is not None and noise.shape != x0.shape:
        raise ValueError(f"noise must have x0's shape {x0.shape}, got {noise.shape}")
    eps = jax.random.normal(noise_key, x0.shape, dtype) if noise is None else noise.astype(dtype)
    return t, eps, perturb(process, x0, t, eps).astype(eps.dtype)


def _squared_error(
    process: GaussianProcess, predicts: PredictionType, output: Array, x0: Array, eps: Array, t: Array
) -> Float[Array, " b"]:
    expected = target(process, predicts, x0, eps, t).astype(eps.dtype)
    if output.shape != expected.shape:
        raise ValueError(f"the network must return x's shape {expected.shape}, got {output.shape}")
    return ((output - expected) ** 2).reshape(x0.shape[0], -1).mean(-1)


def _check_steps(process: GaussianProcess) -> None:
    if process.steps is None or process.steps < 2:
        raise ValueError("the discrete bound needs a process of T >= 2 steps: use variational_bound with a grid")


def _per_dim_bound(
    process: GaussianProcess,
    prediction: Prediction,
    x_t: Array,
    x0: Array,
    t: Array,
    variance: Variance,
    likelihood: Likelihood | None,
) -> Float[Array, " b"]:
    """T times the term at t, divided by the number of dimensions of an event."""
    steps, index = process.steps, jnp.round(t * process.steps)
    x0 = x0.astype(x_t.dtype)
    term = bound_term(
        process, prediction, x_t, x0, (index - 1) / steps, index / steps, variance=variance, likelihood=likelihood
    )
    return term * (steps / math.prod(x0.shape[1:]))
