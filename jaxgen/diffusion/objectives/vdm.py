"""The bound of variational diffusion models (Kingma et al. 2021), which also trains the schedule."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Key

from jaxgen.core import as_float, check_floating, is_traced, per_example, threefry_key
from jaxgen.diffusion.denoisers._denoiser import Network
from jaxgen.diffusion.denoisers.prediction import PredictionType, check_prediction_type, target, to_x0_eps
from jaxgen.diffusion.processes.gamma import GammaProcess, LearnedSchedule
from jaxgen.diffusion.processes.kernels import log_snr_step, marginal, perturb
from jaxgen.diffusion.processes.process import GaussianProcess, value_and_derivative
from jaxgen.diffusion.times import TimeSampler, stratified
from jaxgen.distributions import Gaussian, gaussian_kl
from jaxgen.distributions.likelihoods import Likelihood, discretised_gaussian

Precondition = Callable[[GaussianProcess, Network], Network]


class VDMBound(NamedTuple):
    """Terms of the bound on −log p(x), in nats per example, summed over the event (Kingma et al. 2021, eq. 11)."""

    prior: Float[Array, " b"]
    diffusion: Float[Array, " b"]
    reconstruction: Float[Array, " b"]

    @property
    def total(self) -> Float[Array, "..."]:
        """The bound prior + diffusion + reconstruction in nats, of their shape."""
        return self.prior + self.diffusion + self.reconstruction


def vdm_bound(
    key: Key[Array, ""],
    process: GaussianProcess,
    network: Network,
    x0: Float[Array, "b *event"],
    *,
    cond: Any = None,
    predicts: PredictionType = "eps",
    likelihood: Likelihood | None = None,
    precondition: Precondition | None = None,
    times: TimeSampler | None = None,
    steps: int | None = None,
    t_min: float = 0.0,
    variance_gradient: bool = False,
) -> VDMBound:
    """Unbiased estimate of the variational bound on −log p(x0), by one network call.

    prior is KL(q(z_1|x) ‖ N(0, prior_std² I)). reconstruction is −log p(x|z_0), by the likelihood at N(z_0/alpha_0,
    (sigma_0/alpha_0)² I). diffusion, with γ = −log SNR, is

        in continuous time: ½ γ'(t) ‖eps − eps_θ‖² = −½ SNR'(t) ‖x − x̂_θ‖² at a random t;
        in T steps:         ½ T expm1(γ_t − γ_s) ‖eps − eps_θ‖² = ½ T (SNR_s − SNR_t) ‖x − x̂_θ‖² at s = (i−1)/T,
                            t = i/T and a random i.

    To evaluate, draw n times for each example from a key of its own, which gives terms of shape (B, n):

        jax.vmap(lambda key, x: vdm_bound(key, process, network, jnp.stack([x] * n)))(keys, x0)

    Args:
        key: key of the times and the noise.
        process: the process.
        network: function (x, t, cond) -> output of x's shape; `lambda x, t, cond: denoise(x, t, cond=cond).eps` makes
            one of a denoiser.
        x0: clean data (B, *event), in the range of the likelihood.
        cond: conditioning, passed to the network.
        predicts: what the network's output is.
        likelihood: log p(x|z_0). The default is `likelihoods.discretised_gaussian()`, for 256 levels of [−1, 1]; the
            paper's is `likelihoods.gaussian_softmax()`; use `likelihoods.gaussian()` for continuous data.
        precondition: function (process, network) -> network, such as `gamma_conditioned` or `edm_preconditioning`.
        times: sampler of times that are uniform on [t_min, 1], or on {1/T, …, 1} with steps; by default `stratified`.
        steps: T; None for continuous time.
        t_min: time of z_0, for a process that is clean at t = 0 (vp, edm, …), e.g. 1e-5; times divide [t_min, 1].
        variance_gradient: train the shape of a `LearnedSchedule` to minimise the variance of the estimate, in
            continuous time. The shape then gets the gradient of diffusion²; all other parameters keep the gradient of
            the bound. The network must depend on the process through `precondition` alone, and should see γ
            (`gamma_conditioned`), since the expected bound then does not depend on the shape. It needs no second pass
            through the network. The two gradients differ in unit: clip or scale them separately.

    Returns:
        The three terms, each (B,), in x0's dtype or float32.

    Raises:
        ValueError: if x0 is not floating point, `predicts` is unknown or is "velocity" for a discrete process, t_min is
            outside [0, 1) or has an infinite log-SNR, steps < 1, the output has another shape, a discrete process is
            given without steps, or variance_gradient is combined with steps or with another process.

    Reference:
        Kingma et al. 2021, §3.5–5; §5.3 and appendix I on the variance.
    """
    check_floating(x0)
    _check(process, steps, t_min, variance_gradient)
    dtype = jnp.promote_types(x0.dtype, jnp.float32)
    time_key, noise_key, first_key = jax.random.split(threefry_key(key), 3)
    eps, first_eps = (jax.random.normal(k, x0.shape, dtype) for k in (noise_key, first_key))
    if steps is None:
        t = (times or stratified(minimum=t_min))(time_key, x0.shape[0]).astype(dtype)
        s = None
    else:
        i = jnp.round((times or stratified(steps))(time_key, x0.shape[0]).astype(dtype) * steps)
        # rounding must not exceed 1
        s, t = (jnp.minimum(t_min + (1 - t_min) * (index / steps), 1) for index in (i - 1, i))

    def diffusion(process: GaussianProcess) -> Array:
        conditioned = network if precondition is None else precondition(process, network)
        check_prediction_type(predicts, conditioned)
        expected = target(process, predicts, x0, eps, t).astype(dtype)
        output = conditioned(perturb(process, x0, t, eps).astype(dtype), t, cond)
        if output.shape != expected.shape:
            raise ValueError(f"the network must return x's shape {expected.shape}, got {output.shape}")
        # to_x0_eps is linear, so it maps the error of the output to those of x0 and eps
        error = to_x0_eps(process, predicts, output - expected, jnp.zeros_like(expected), t)
        # the weight of errors in x0 is finite at alpha = 0, where eps says nothing about x0
        by_eps = predicts in ("eps", "score")
        weight = (_eps_weight if by_eps else _x0_weight)(process, s, t)
        squared = ((error.eps if by_eps else error.x0) ** 2).reshape(x0.shape[0], -1).sum(-1)
        return (1 - t_min if s is None else steps) / 2 * weight * squared

    std = jnp.exp(-0.5 * process.log_snr(jnp.asarray(t_min, dtype)))
    decoded = Gaussian(x0.astype(dtype) + std * first_eps, std)
    last = marginal(process, x0.astype(dtype), jnp.ones((), dtype))
    return VDMBound(
        prior=gaussian_kl(last, Gaussian(jnp.zeros_like(last.mean), jnp.asarray(process.prior_std, dtype))),
        diffusion=_with_variance_gradient(diffusion, process, t) if variance_gradient else diffusion(process),
        reconstruction=-(likelihood or discretised_gaussian())(x0, decoded),
    )


def gamma_conditioned(
    process: GaussianProcess, network: Network, gamma_min: float = -13.3, gamma_max: float = 5.0
) -> Network:
    """Network whose time input is (γ(t) − gamma_min)/(gamma_max − gamma_min), with γ = −log SNR clipped to ±40.

    The network then depends on the noise level alone, so the schedule can change its shape during training.

    Args:
        process: the process.
        network: function (x, t, cond).
        gamma_min: constant γ of time input 0.
        gamma_max: constant γ of time input 1; learned ends may pass these constants, and the input then leaves [0, 1].

    Returns:
        A network (x, t, cond), with the output of `network`.

    Raises:
        ValueError: if gamma_min ≥ gamma_max.

    Reference:
        Kingma et al. 2021, §5.1.
    """
    if not gamma_min < gamma_max:
        raise ValueError(f"need gamma_min < gamma_max, got {gamma_min} and {gamma_max}")

    def conditioned(x: Float[Array, "b *event"], t: Float[Array, " b"], cond: Any) -> Array:
        gamma = jnp.clip(-process.log_snr(t), -40, 40)
        return network(x, (gamma - gamma_min) / (gamma_max - gamma_min), cond)

    return conditioned


def _eps_weight(process: GaussianProcess, s: Array | None, t: Array) -> Array:
    """−λ' in continuous time, SNR_s/SNR_t − 1 in steps."""
    return (
        -value_and_derivative(process, process.log_snr, t)[1] if s is None else jnp.expm1(-log_snr_step(process, s, t))
    )


def _x0_weight(process: GaussianProcess, s: Array | None, t: Array) -> Array:
    """−SNR' in continuous time, SNR_s − SNR_t in steps."""
    if s is None:
        return -value_and_derivative(process, lambda t: process.alpha(t) ** 2 / process.variance(t), t)[1]
    return -jnp.exp(process.log_snr(s)) * jnp.expm1(log_snr_step(process, s, t))


class _PerturbedGamma(GammaProcess):
    """γ(t) + offset + slope (t − at): perturbs γ and γ' separately at the time of each example; all are (B,)."""

    process: Any
    offset: Any
    slope: Any
    at: Any

    def gamma(self, t: ArrayLike) -> Array:
        t = as_float(t)
        gamma = self.process.gamma(t)
        if t.shape[:1] != self.at.shape:  # not the times of the examples, but e.g. an end of the schedule
            return gamma
        offset, slope, at = (per_example(value, t) for value in (self.offset, self.slope, self.at))
        return gamma + offset + slope * (t - at)


def _with_variance_gradient(
    diffusion: Callable[[GaussianProcess], Array], process: LearnedSchedule, t: Float[Array, " b"]
) -> Float[Array, " b"]:
    """L = diffusion(process), with gradient 2 L ∂L for the shape of γ and ∂L for all else, in one backward pass.

    L_b depends on the shape only through (γ, γ') at t_b, so one pass gives ∂L_b/∂(γ, γ') for each example. These are
    multiplied by 2 L_b and passed on to the shape.
    """
    ends = process.replace(shape=jax.lax.stop_gradient(process.shape))
    shape = jax.lax.stop_gradient(process).replace(shape=process.shape)
    gamma_and_slope = value_and_derivative(shape, shape.gamma, t)
    zeros = jax.tree.map(lambda x: x - jax.lax.stop_gradient(x), gamma_and_slope)
    # parameters that the network closes over must be arguments of a function with a custom gradient
    losses, closed_over = jax.closure_convert(lambda *shift: diffusion(_PerturbedGamma(ends, *shift, t)), *zeros)

    @jax.custom_vjp
    def with_gradient(shift, closed_over):
        return losses(*shift, *closed_over)

    def forward(shift, closed_over):
        value, pull = jax.vjp(losses, *shift, *closed_over)
        return value, (value, pull)

    def backward(residuals, cotangent):
        value, pull = residuals
        offset, slope, *rest = pull(cotangent)
        return (2 * value * offset, 2 * value * slope), rest

    with_gradient.defvjp(forward, backward)
    return with_gradient(zeros, closed_over)


def _check(process: GaussianProcess, steps: int | None, t_min: float, variance_gradient: bool) -> None:
    if not 0 <= t_min < 1 or (steps is not None and steps < 1):
        raise ValueError(f"need 0 <= t_min < 1 and steps >= 1, got t_min={t_min}, steps={steps}")
    if variance_gradient and (steps is not None or not isinstance(process, LearnedSchedule)):
        raise ValueError(
            f"variance_gradient trains the shape of a LearnedSchedule process in continuous time, got "
            f"{type(process).__name__} and steps={steps}: in steps let the shape follow the bound itself"
        )
    with jax.ensure_compile_time_eval():
        log_snr = process.log_snr(t_min)
    if not is_traced(log_snr) and not np.all(np.isfinite(log_snr)):
        raise ValueError(
            f"the log-SNR of {type(process).__name__} at t_min={t_min} is {log_snr}: a bound needs a noisy z_0, "
            "e.g. t_min=1e-5, or the first step 1/T of a discrete process"
        )
