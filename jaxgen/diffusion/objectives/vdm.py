"""The bound of variational diffusion models, in continuous time and in T steps, and how a schedule is trained by it."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Key

from jaxgen.core import per_example
from jaxgen.diffusion.denoisers._denoiser import Network
from jaxgen.diffusion.denoisers.prediction import PredictionType, target, to_x0_eps
from jaxgen.diffusion.processes.gamma import GammaProcess, LearnedSchedule
from jaxgen.diffusion.processes.kernels import log_snr_step, marginal, perturb
from jaxgen.diffusion.processes.process import GaussianProcess, as_time, value_and_derivative
from jaxgen.diffusion.times import TimeSampler, stratified
from jaxgen.distributions import Gaussian, gaussian_kl
from jaxgen.distributions.likelihoods import Likelihood, discretised_gaussian

Precondition = Callable[[GaussianProcess, Network], Network]


class VDMBound(NamedTuple):
    """The terms of −log p(x) ≤ total in nats, each (B,) and summed over the event (Kingma et al. 2021, eq. 11)."""

    prior: Float[Array, " b"]
    diffusion: Float[Array, " b"]
    reconstruction: Float[Array, " b"]

    @property
    def total(self) -> Float[Array, "..."]:
        """prior + diffusion + reconstruction."""
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
    """An unbiased estimate of the variational bound on −log p(x0), by one network call (Kingma et al. 2021, §3.5–5).

    prior: KL(q(z_1|x) ‖ N(0, prior_std² I)). reconstruction: −log p(x|z_0) by the likelihood from N(z_0/alpha_0,
    (sigma_0/alpha_0)² I), by default `likelihoods.discretised_gaussian()`, for data on 256 levels of [−1, 1]; the paper's is
    `likelihoods.gaussian_softmax()`, and `likelihoods.gaussian()` is for continuous data. diffusion, with γ = −λ = −log SNR:
        steps None: ½ γ'(t) ‖eps − eps_θ‖² = −½ SNR'(t) ‖x − x̂_θ‖² at a random t (§5);
        steps T:    ½ T expm1(γ_t − γ_s) ‖eps − eps_θ‖² = ½ T (SNR_s − SNR_t) ‖x − x̂_θ‖² at s = (i−1)/T, t = i/T for
                    i random in 1 … T (eq. 13–14).
    t_min: the time that stands for z_0 in a process that is clean at t = 0 (vp, edm, …), e.g. 1e-5; times and steps
    then divide [t_min, 1]. times: must be uniform on [t_min, 1], or on {1/T, …, 1} with steps; by default `stratified`,
    whose batches cover time evenly. precondition: (process, network) -> the network to use, e.g. `gamma_conditioned`
    or `edm_preconditioning`. A denoiser's eps is a network too: lambda x, t, cond: denoise(x, t, cond=cond).eps.

    To evaluate, let each example draw n times from a key of its own, which gives terms of shape (B, n):

        jax.vmap(lambda key, x: vdm_bound(key, process, network, jnp.stack([x] * n)))(keys, x0)

    variance_gradient (`Learned` process, continuous time): the gradient in the shape of γ becomes that of diffusion²,
    whose mean is the estimate's variance and a constant, since the expected diffusion term of a network that sees γ
    (`gamma_conditioned`) does not depend on that shape (§5.3, appendix I); network and ends get the gradient of the
    bound as ever. There is no second pass through the network, which must see the process by `precondition` alone. The
    two gradients differ in unit: clip or scale them apart.

    Raises ValueError for t_min outside [0, 1), an infinite log-SNR at t_min, steps < 1, an output of another shape, a
    discrete process without steps, and variance_gradient with steps (there the bound depends on the shape) or with
    another process.
    """
    _check(process, steps, t_min, variance_gradient)
    dtype = jnp.promote_types(x0.dtype, jnp.float32)
    time_key, noise_key, first_key = jax.random.split(key, 3)
    eps, first_eps = (jax.random.normal(k, x0.shape, dtype) for k in (noise_key, first_key))
    if steps is None:
        t = (times or stratified(minimum=t_min))(time_key, x0.shape[0]).astype(dtype)
        s = None
    else:
        i = jnp.round((times or stratified(steps))(time_key, x0.shape[0]).astype(dtype) * steps)
        # rounding must not pass 1
        s, t = (jnp.minimum(t_min + (1 - t_min) * (index / steps), 1) for index in (i - 1, i))

    def diffusion(process: GaussianProcess) -> Array:
        used = network if precondition is None else precondition(process, network)
        wanted = target(process, predicts, x0, eps, t).astype(dtype)
        output = used(perturb(process, x0, t, eps).astype(dtype), t, cond)
        if output.shape != wanted.shape:
            raise ValueError(f"the network must return x's shape {wanted.shape}, got {output.shape}")
        # linear: of an error in the output it makes the errors in x0 and eps
        error = to_x0_eps(process, predicts, output - wanted, jnp.zeros_like(wanted), t)
        # errors in x0 have a weight that is finite at alpha = 0, where those in eps say nothing of x0
        of_eps = predicts in ("eps", "score")
        weight = (_eps_weight if of_eps else _x0_weight)(process, s, t)
        squared = ((error.eps if of_eps else error.x0) ** 2).reshape(x0.shape[0], -1).sum(-1)
        return (1 - t_min if s is None else steps) / 2 * weight * squared

    spread = jnp.exp(-0.5 * process.log_snr(jnp.asarray(t_min, dtype)))
    given = Gaussian(x0.astype(dtype) + spread * first_eps, spread)
    last = marginal(process, x0.astype(dtype), jnp.ones((), dtype))
    return VDMBound(
        prior=gaussian_kl(last, Gaussian(jnp.zeros_like(last.mean), jnp.asarray(process.prior_std, dtype))),
        diffusion=_by_variance(diffusion, process, t) if variance_gradient else diffusion(process),
        reconstruction=-(likelihood or discretised_gaussian())(x0, given),
    )


def gamma_conditioned(
    process: GaussianProcess, network: Network, gamma_min: float = -13.3, gamma_max: float = 5.0
) -> Network:
    """A network whose time is (γ(t) − gamma_min)/(gamma_max − gamma_min), γ = −log SNR held to ±40.

    Then what it says depends on the noise alone, so a schedule may change its shape under a trained network (Kingma et
    al. 2021, §5.1). The bounds are constants: where learned ends pass them, the time leaves [0, 1].
    Raises ValueError unless gamma_min < gamma_max.
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


class _Bendable(GammaProcess):
    """A process with γ(t) + offset + slope (t − at): at its own times, (B,), γ and γ' can be moved for each example."""

    process: Any
    offset: Any
    slope: Any
    at: Any

    def gamma(self, t: ArrayLike) -> Array:
        t = as_time(t)
        gamma = self.process.gamma(t)
        if t.shape[:1] != self.at.shape:  # a time of the schedule, such as an end, and of no example
            return gamma
        offset, slope, at = (per_example(value, t) for value in (self.offset, self.slope, self.at))
        return gamma + offset + slope * (t - at)


def _by_variance(
    diffusion: Callable[[GaussianProcess], Array], process: LearnedSchedule, t: Float[Array, " b"]
) -> Float[Array, " b"]:
    """diffusion(process), with gradient 2 L ∂L in the shape of γ and ∂L in all else, from one backward pass.

    L_b depends on the shape through (γ, γ') at its own t_b alone, so one pass gives ∂L_b/∂(γ, γ') for each example;
    they go back to the shape 2 L_b times.
    """
    ends = process.replace(shape=jax.lax.stop_gradient(process.shape))
    shape = jax.lax.stop_gradient(process).replace(shape=process.shape)
    line = value_and_derivative(shape, shape.gamma, t)
    zeros = jax.tree.map(lambda x: x - jax.lax.stop_gradient(x), line)
    # parameters that the network closes over must be arguments of what has a gradient of its own
    losses, closed_over = jax.closure_convert(lambda *moved: diffusion(_Bendable(ends, *moved, t)), *zeros)

    @jax.custom_vjp
    def with_gradient(moved, closed_over):
        return losses(*moved, *closed_over)

    def forward(moved, closed_over):
        value, pull = jax.vjp(losses, *moved, *closed_over)
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
    if not isinstance(log_snr, jax.core.Tracer) and not np.all(np.isfinite(log_snr)):
        raise ValueError(
            f"the log-SNR of {type(process).__name__} at t_min={t_min} is {log_snr}: a bound needs a noisy z_0, "
            "e.g. t_min=1e-5, or the first step of a table"
        )
