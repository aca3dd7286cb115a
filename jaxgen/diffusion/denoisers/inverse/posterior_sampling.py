"""Posterior sampling of linear inverse problems y = A x0 + noise, with an unconditional denoiser."""

from collections.abc import Callable
from typing import Any, Literal

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from jaxgen.core import check_at_least, check_choice, check_not_negative, check_positive, per_example, safe_divide
from jaxgen.diffusion.denoisers._denoiser import Denoiser, bind
from jaxgen.diffusion.denoisers.clipping import Clip, clip_function, clip_x0
from jaxgen.diffusion.denoisers.guidance import add_to_score
from jaxgen.diffusion.denoisers.inverse.operators import (
    ROUNDING,
    Operator,
    measurement_residual,
    probe_tight_frame,
    transpose,
)
from jaxgen.diffusion.denoisers.prediction import Prediction, to_x0_eps
from jaxgen.diffusion.processes.kernels import transition
from jaxgen.diffusion.processes.process import GaussianProcess, validate_time

Covariance = Literal["isotropic", "jacobian"]


def pigdm(
    process: GaussianProcess,
    denoise: Denoiser,
    operator: Operator,
    y: Float[ArrayLike, "..."],
    *,
    noise_std: ArrayLike = 0.0,
    data_std: ArrayLike = 1.0,
    covariance: Covariance = "isotropic",
    cg_steps: int = 30,
    clip: Clip = None,
) -> Denoiser:
    """Pseudo-inverse guidance (ΠGDM): add ∇ log N(y; A x̂0(x), A C Aᵀ + σ_y² I) to the score.

    C stands for Cov(x0 | x_t):

    * "isotropic": C = r² I with r² = sigma² s²/(alpha² s² + sigma²) and s = data_std. Song et al.'s r_t is that of
      s = 1. It is exact for data of covariance s² I and any operator, and biased for other data.
    * "jacobian": C = (sigma²/alpha) ∂x̂0/∂x. It is exact for any Gaussian data, and costs a gradient of the network per
      step of conjugate gradients. An exact denoiser's ∂x̂0/∂x is symmetric and positive semi-definite. Where a network's
      is far from that, conjugate gradients may not converge. At alpha = 0, where ∂x̂0/∂x = 0, isotropic C is used.

    Exact means that the result is the denoiser of p(x0 | y); a sampler still has the error of its steps. With
    noise_std = 0, x0 at t = 0 satisfies A x0 = y if conjugate gradients have converged and, for "isotropic", ∂x̂0/∂x = I
    there, which holds unless the network predicts x0. One network call and one gradient through it.

    Args:
        process: the Gaussian process.
        denoise: an unconditional denoiser. Where its own clip is active, its gradient and so the guidance vanish.
        operator: a linear operator.
        y: measurements (B, *measured) or (*measured), in the operator's range: 0 where `mask` observes nothing.
        noise_std: σ_y ≥ 0, standard deviation of the measurement noise.
        data_std: s > 0, standard deviation of the data.
        covariance: the choice of C.
        cg_steps: conjugate-gradient steps in y's space, per example. As many as A C Aᵀ has distinct eigenvalues are
            enough. None are needed for isotropic C where A Aᵀ = c I.
        clip: bound on the guided x0, as in `denoiser`.

    Returns:
        The guided denoiser. Its `cond` and its learned variance are those of `denoise`.

    Raises:
        ValueError: if covariance is unknown, noise_std is negative or infinite, data_std or clip is not positive and
            finite, or cg_steps < 1; when called, if y has another shape, the operator is not linear, or a concrete t
            is outside [0, 1].
        TypeError: if `denoise` is a bare network, when called.

    Reference:
        Song et al. 2023 (ΠGDM); "jacobian": Rozet et al. 2024 (MMPS).

    Example:
        >>> seen = diffusion.inverse.mask(jnp.array([1, 0]))
        >>> posterior = diffusion.inverse.pigdm(process, denoise, seen, jnp.array([0.6, 0.0]))
    """
    clip = clip_function(clip)
    check_choice(Covariance, covariance=covariance)
    check_not_negative(noise_std=noise_std)
    check_positive(data_std=data_std)
    check_at_least(1, cg_steps=cg_steps)

    def guided(x: Float[Array, "b *event"], t: ArrayLike, cond: Any = None) -> Prediction:
        t = jnp.broadcast_to(validate_time(t), x.shape[:1])
        x0, pull_back, prediction = _x0_vjp(denoise, x, t, cond)
        alpha, sigma = per_example(process.alpha(t), x), per_example(process.sigma(t), x)
        back = transpose(operator, x.shape, x0.dtype)
        residual = measurement_residual(operator, y, x0)

        # r² = sigma² ratio; dividing the system by r² + σ_y² keeps it finite at sigma = 0
        ratio = data_std**2 / ((alpha * data_std) ** 2 + sigma**2)
        total = sigma**2 * ratio + noise_std**2
        variance = jnp.where(total == 0, 1 / ratio, safe_divide(sigma**2, total))
        isotropic, noise = variance * ratio, safe_divide(jnp.square(noise_std), total)

        def through_network(v: Array) -> Array:
            return jnp.where(alpha == 0, isotropic * v, safe_divide(variance * pull_back(v)[0], alpha))

        c, error = probe_tight_frame(operator, x.shape, x0.dtype)
        tight = isinstance(error, float) and error < ROUNDING
        if tight and covariance == "isotropic":
            solved = residual / _like(isotropic * c + noise, residual)
        else:
            if tight:  # the part of y outside A's range would keep the singular system from converging
                residual = operator(back(residual)) / c
            spread = through_network if covariance == "jacobian" else lambda v: isotropic * v

            def apply(u: Array) -> Array:
                return operator(spread(back(u))) + _like(noise, u) * u

            solved = _conjugate_gradients(apply, residual, cg_steps)
        x0 = x0 + through_network(back(solved))
        prediction = prediction._replace(x0=x0, eps=to_x0_eps(process, "x0", x0, x, t).eps)
        return clip_x0(process, prediction, x, t, clip)

    return guided


def dps(
    process: GaussianProcess,
    denoise: Denoiser,
    operator: Operator,
    y: Float[ArrayLike, "..."],
    *,
    step_size: ArrayLike | None = None,
    noise_std: ArrayLike | None = None,
    steps: int = 1000,
    clip: Clip = None,
) -> Denoiser:
    """Diffusion posterior sampling (DPS): subtract ρ ∇‖y − A x̂0(x)‖² from the score.

    Give one of the two that determine ρ:

    * noise_std: ρ = 1/(2σ_y²), the gradient of log N(y; A x̂0, σ_y² I) (theorem 1).
    * step_size: ζ' of algorithm 1, which moves x by ζ_i ∇‖·‖² per step, ζ_i = ζ'/‖y − A x̂0‖. The score that moves
      `reverse_diffusion` so is ρ = ζ_i/sigma²_{t|t−1/T} for a chain of T steps. A coarser grid moves x by more per
      step and by the same in total. The paper's code differentiates ‖·‖ instead of ‖·‖², so its step sizes
      (.3 to 1 for images) are twice these.

    Both are biased, because they take x̂0 for x0: the pull towards y is too strong while there is noise, and more so for
    a small σ_y, which also needs short steps. A finer grid does not remove the bias. `pigdm` with the "jacobian"
    covariance has none on Gaussian data. Nothing is added where alpha = 0. One network call and one gradient through
    it.

    Args:
        process: the Gaussian process.
        denoise: an unconditional denoiser. Where its own clip is active, its gradient and so the guidance vanish.
        operator: any differentiable function, linear or not.
        y: measurements (B, *measured) or (*measured).
        step_size: ζ' ≥ 0.
        noise_std: σ_y > 0.
        steps: T, the length of the chain that step_size is for. A discrete process's own T replaces it.
        clip: bound on the guided x0, as in `denoiser`.

    Returns:
        The guided denoiser. Its `cond` and its learned variance are those of `denoise`.

    Raises:
        ValueError: if both or neither of step_size and noise_std are given, step_size is negative or infinite,
            noise_std or clip is not positive and finite, or steps < 1; when called, if y has another shape, or a
            concrete t is outside [0, 1].
        TypeError: if `denoise` is a bare network, when called.

    Reference:
        Chung et al. 2023, theorem 1 and algorithm 1.
    """
    clip = clip_function(clip)
    if (step_size is None) == (noise_std is None):
        raise ValueError("give either step_size (Chung et al.'s algorithm 1) or noise_std (a Gaussian likelihood)")
    check_not_negative(step_size=step_size)
    check_positive(noise_std=noise_std)
    steps = steps if process.steps is None else process.steps
    if steps < 1:
        raise ValueError(f"steps is the length of the chain that step_size is meant for, at least 1; got {steps}")

    def guided(x: Float[Array, "b *event"], t: ArrayLike, cond: Any = None) -> Prediction:
        t = jnp.broadcast_to(validate_time(t), x.shape[:1])
        x0, pull_back, prediction = _x0_vjp(denoise, x, t, cond)
        residual, of_residual = jax.vjp(lambda x0: measurement_residual(operator, y, x0), x0)
        gradient = 2 * pull_back(of_residual(residual)[0])[0]  # of ‖y − A x̂0‖²
        if noise_std is not None:
            weight = 1 / (2 * jnp.asarray(noise_std) ** 2)
        else:
            variance = transition(process, jnp.maximum(t - 1 / steps, 0), t).variance
            squares = jnp.sum(residual.reshape(len(residual), -1) ** 2, -1)
            zero = squares == 0
            norm = jnp.where(zero, 0, jnp.sqrt(jnp.where(zero, 1, squares)))
            weight = safe_divide(jnp.asarray(step_size), norm * variance)
        prediction = add_to_score(process, prediction, -per_example(weight, x) * gradient, t)
        return clip_x0(process, prediction, x, t, clip)

    return guided


def _x0_vjp(denoise: Denoiser, x: Array, t: Array, cond: Any) -> tuple[Array, Callable[[Array], Any], Prediction]:
    """x̂0(x), its vector–Jacobian product and the whole prediction."""

    def predict(x: Array) -> tuple[Array, Prediction]:
        prediction = bind(denoise, cond)(x, t)
        return prediction.x0, prediction

    return jax.vjp(predict, x, has_aux=True)


def _like(coefficient: Array, y: Float[Array, "b *measured"]) -> Array:
    """A coefficient (B, 1, ...) of x with as many axes as y."""
    return per_example(coefficient.reshape(-1), y)


def _conjugate_gradients(apply: Operator, b: Float[Array, "b *measured"], steps: int) -> Float[Array, "b *measured"]:
    """Solve apply(u) = b for each row alone (jax.scipy's solver would couple them); a row stops at rounding error."""

    def dot(u: Array, v: Array) -> Array:
        return per_example(jnp.sum((u * v).reshape(len(u), -1), -1), u)

    enough = (10 * jnp.finfo(b.dtype).eps) ** 2 * dot(b, b)

    def step(_: ArrayLike, state: tuple[Array, ...]) -> tuple[Array, ...]:
        u, r, p, squares = state
        applied = apply(p)
        active = squares > enough
        length = jnp.where(active, safe_divide(squares, dot(p, applied)), 0)
        u, r = u + length * p, r - length * applied
        after = dot(r, r)
        return u, r, r + safe_divide(after, squares) * p, after

    return jax.lax.fori_loop(0, steps, step, (jnp.zeros_like(b), b, b, dot(b, b)))[0]
