"""Linear inverse problems y = A x0 + noise with an unconditional denoiser: operators, and guidance by an observation.

An operator is a function (B, *event) -> (B, *measured) of each row alone; its transpose is found by JAX.
"""

from collections.abc import Callable
from typing import Any, Literal, get_args

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from jaxgen.core import per_example, safe_divide
from jaxgen.diffusion.denoisers._denoiser import Clip, Denoiser, as_function, bind
from jaxgen.diffusion.denoisers.guidance import add_to_score, clip_x0
from jaxgen.diffusion.denoisers.prediction import Prediction, to_x0_eps
from jaxgen.diffusion.processes.kernels import transition
from jaxgen.diffusion.processes.process import GaussianProcess, checked_time

Operator = Callable[[Array], Array]
Covariance = Literal["isotropic", "jacobian"]


def mask(observed: ArrayLike) -> Operator:
    """Inpainting: x where `observed`, true or 1, and 0 elsewhere; A Aᵀ = I on what is observed.

    observed: broadcasts against x (B, *event): one mask for all, or one (B, ...) for each.
    """
    return lambda x: jnp.where(jnp.asarray(observed) != 0, x, 0)


def grayscale(weights: tuple[float, ...] = (0.299, 0.587, 0.114)) -> Operator:
    """Colour to grey: the weighted sum of the last axis, kept as an axis of one; A Aᵀ = ‖weights‖² I.

    The default weights are the luma of ITU-R BT.601, as Pillow's. Raises ValueError where channels and weights differ.
    """

    def operator(x: Float[Array, "b *event"]) -> Float[Array, "b *measured"]:
        if x.shape[-1] != len(weights):
            raise ValueError(f"grayscale has {len(weights)} weights, one per channel, but x has {x.shape[-1]} channels")
        # a sum of products, for a matrix unit may round
        return jnp.sum(x * jnp.asarray(weights, x.dtype), -1, keepdims=True)

    return operator


def average_pool(factor: int) -> Operator:
    """Down-sampling of images (B, h, w, c) by the mean of squares of factor × factor; A Aᵀ = I/factor².

    Raises ValueError for a factor below 1 and sides that it does not divide.
    """
    if factor < 1:
        raise ValueError(f"factor must be at least 1, got {factor}")

    def operator(x: Float[Array, "b h w c"]) -> Float[Array, "b small_h small_w c"]:
        b, h, w, c = x.shape
        if h % factor or w % factor:
            raise ValueError(f"average_pool({factor}) needs sides it divides, got {h}×{w}")
        return x.reshape(b, h // factor, factor, w // factor, factor, c).mean((2, 4))

    return operator


def blur(std: float) -> Operator:
    """Gaussian blur of images (B, h, w, c), std in pixels; at the edges its weights are scaled to sum to 1.

    Its A Aᵀ is no multiple of I, so it is for `pigdm` and `dps`. Raises ValueError unless std > 0.
    """
    if not std > 0:
        raise ValueError(f"std must be positive, in pixels, got {std}")

    def matrix(n: int, dtype: Any) -> Array:
        kernel = np.exp(-0.5 * (np.subtract.outer(np.arange(n), np.arange(n)) / std) ** 2)
        return jnp.asarray(kernel / kernel.sum(-1, keepdims=True), dtype)

    def operator(x: Float[Array, "b h w c"]) -> Float[Array, "b h w c"]:
        rows, columns = (matrix(n, x.dtype) for n in x.shape[1:3])
        return jnp.einsum("ih,bhwc,jw->bijc", rows, x, columns, precision=jax.lax.Precision.HIGHEST)

    return operator


def transpose(operator: Operator, shape: tuple[int, ...], dtype: Any = jnp.float32) -> Operator:
    """Aᵀ, from measurements to x of shape (B, *event); raises ValueError for a function that is not linear."""
    struct = jax.ShapeDtypeStruct(shape, dtype)
    measured = jax.eval_shape(operator, struct)
    backwards = jax.linear_transpose(operator, struct)
    try:
        jax.eval_shape(backwards, measured)
    except (NotImplementedError, AssertionError, TypeError) as error:
        raise ValueError(f"the operator must be linear in x, for its transpose is needed; JAX says: {error}") from error
    return lambda y: backwards(y.astype(measured.dtype))[0]


def tight_frame_constant(operator: Operator, shape: tuple[int, ...], dtype: Any = jnp.float32) -> float | Array:
    """c of an operator with A Aᵀ = c I on its range: rows orthogonal and of one length, as a projection needs.

    shape: of x, (B, *event). Probed numerically at one random x: A Aᵀ A x = c A x. Raises ValueError for an operator
    that is not so or not linear; one that closes over traced arrays cannot be looked at, and passes.
    """
    c, error = _probe(operator, shape, dtype)
    if isinstance(error, float) and not error < _ROUNDING:
        raise ValueError(
            f"the operator's A Aᵀ is no multiple of the identity (off by {error:.1%}), so an observation cannot "
            "be put in place by x + Aᵀ(y − A x)/c: use diffusion.inverse.pigdm, which serves any linear operator"
        )
    return c


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
    """The score with ∇ log N(y; A x̂0(x), A C Aᵀ + σ_y² I) added: pseudo-inverse guidance (Song et al. 2023, ΠGDM).

    C stands for Cov(x0 | x_t). "isotropic": r² I with r² = sigma² s²/(alpha² s² + sigma²), s = data_std (Song et al.'s
    r_t at s = 1), exact for data of covariance s² I and any operator. "jacobian": (sigma²/alpha) ∂x̂0/∂x, exact for any
    Gaussian data, at a gradient of the network for each step of conjugate gradients (Rozet et al. 2024, MMPS). Exact
    means that this is the denoiser of p(x0 | y); a sampler's steps have errors of their own. At alpha = 0, where
    ∂x̂0/∂x = 0 tells nothing, isotropic C takes its place.

    On other data "isotropic" is biased: of two standard normal numbers of correlation .8 the first is seen to be 1 (vp,
    ddpm("fixed_large"), 1000 steps); the second has mean .76 and variance .38 in place of .80 and .36, "jacobian"'s.
    "jacobian" takes ∂x̂0/∂x for a covariance, symmetric with no eigenvalue below 0, as an exact denoiser's is: where a
    network's is far from that, conjugate gradients need not converge, and their result hangs on rounding.
    With noise_std = 0 the x0 at t = 0 has A x0 = y if conjugate gradients have converged and, for "isotropic", ∂x̂0/∂x
    is I there, which is sure of a network unless it predicts x0 itself. For blur(.8) of 16 × 16, whose A Aᵀ has
    condition number 15 000, 30 steps leave errors of about .1 max|y|, 100 of .02, 300 below .001.

    operator: linear. y: (B, *measured) or (*measured), in the operator's range, so for `mask` 0 where nothing is
    observed. noise_std: σ_y ≥ 0. cg_steps: conjugate gradients in y's space, per example, none where A Aᵀ = c I is
    found and C is isotropic; enough are as many as A C Aᵀ has distinct eigenvalues.
    clip: bounds x0, as `denoiser` does. One network call and one gradient through it, so a clip inside that is met
    stops the guidance. The result's `cond` and the learned variance are denoise's.

    Raises ValueError for another covariance, a noise_std < 0 or infinite, data_std ≤ 0, cg_steps < 1, y of another
    shape, or an operator that is not linear.
    """
    clip = as_function(clip)
    if covariance not in get_args(Covariance):
        raise ValueError(f"unknown covariance {covariance!r}: choose isotropic or jacobian")
    _check_positive(noise_std, "noise_std", zero=True)
    _check_positive(data_std, "data_std")
    if cg_steps < 1:
        raise ValueError(f"need at least one step of conjugate gradients, got {cg_steps}")

    def guided(x: Float[Array, "b *event"], t: ArrayLike, cond: Any = None) -> Prediction:
        t = jnp.broadcast_to(checked_time(t), x.shape[:1])
        x0, pull_back, prediction = jax.vjp(_x0_and_all(denoise, t, cond), x, has_aux=True)
        alpha, sigma = per_example(process.alpha(t), x), per_example(process.sigma(t), x)
        back = transpose(operator, x.shape, x0.dtype)
        residual = measurement_residual(operator, y, x0)

        # r² = sigma² ratio; all is divided by r² + σ_y², whose limit at sigma = 0 is that of sigma → 0 at σ_y fixed
        ratio = data_std**2 / ((alpha * data_std) ** 2 + sigma**2)
        total = sigma**2 * ratio + noise_std**2
        variance = jnp.where(total == 0, 1 / ratio, safe_divide(sigma**2, total))
        isotropic, noise = variance * ratio, safe_divide(jnp.square(noise_std), total)

        def through_network(v: Array) -> Array:
            return jnp.where(alpha == 0, isotropic * v, safe_divide(variance * pull_back(v)[0], alpha))

        c, error = _probe(operator, x.shape, x0.dtype)
        tight = isinstance(error, float) and error < _ROUNDING
        if tight and covariance == "isotropic":
            solved = residual / _like(isotropic * c + noise, residual)
        else:
            if tight:  # what no x can explain would keep a singular system from its solution
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
    """The score less ρ ∇‖y − A x̂0(x)‖²: diffusion posterior sampling (Chung et al. 2023), for one of two ρ.

    noise_std: ρ = 1/2σ_y², the likelihood of y were x0 = x̂0 certain (theorem 1). step_size: ζ' of algorithm 1, where
    each step of a chain moves x by ζ_i ∇‖·‖² with ζ_i = ζ'/‖y − A x̂0‖; the score that moves `reverse_diffusion` so is
    ρ = ζ_i/sigma²_{t|t−1/T}, T = `steps`, or a discrete process's own. Fewer, longer steps move as much in all, and
    each by more. (The paper's code differentiates ‖·‖, so its step sizes, .3 to 1 for images, are twice these.)

    Both are biased, for x0 is not certain: the pull is too strong while there is noise, more so for a small σ_y, where
    steps have to be short too. For x0 ~ N(0, 1), y = x0 + N(0, .25), vp and ddpm in 1000 steps, the posterior has mean
    .80 y and variance .20; what DPS draws has .98 y and .12, and no finer grid mends it. `pigdm` is exact there.
    By step_size, on the pair that `pigdm` tells of (reverse_diffusion in 60 steps = `steps`): for .3 and 1 the second
    number has mean .96 and .97 (.80 is exact), variance .33 and .37 (.36). The first, which y leaves no doubt of, has
    mean 1 but variance .12 and 1.2, more than the data's own: such steps go to and fro about y. In 1000 steps, `steps`
    too, they are .97 and .97, .31 and .34, .12 and 1.2.

    operator: any differentiable function, linear or not. y: (B, *measured) or (*measured). clip: as of `pigdm`.
    One network call and one gradient through it. Nothing is added where alpha = 0. The result's `cond` and the learned
    variance are denoise's. Raises ValueError unless exactly one of step_size and noise_std is given, positive (a
    step_size of 0 switches off), and for y of another shape or steps < 1.
    """
    clip = as_function(clip)
    if (step_size is None) == (noise_std is None):
        raise ValueError("give either step_size (Chung et al.'s algorithm 1) or noise_std (a Gaussian likelihood)")
    _check_positive(step_size, "step_size", zero=True)
    _check_positive(noise_std, "noise_std")
    steps = steps if process.steps is None else process.steps
    if steps < 1:
        raise ValueError(f"steps is the length of the chain that step_size is meant for, at least 1; got {steps}")

    def guided(x: Float[Array, "b *event"], t: ArrayLike, cond: Any = None) -> Prediction:
        t = jnp.broadcast_to(checked_time(t), x.shape[:1])
        x0, pull_back, prediction = jax.vjp(_x0_and_all(denoise, t, cond), x, has_aux=True)
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


def measurement_residual(
    operator: Operator, y: Float[ArrayLike, "..."], x: Float[Array, "b *event"]
) -> Float[Array, "b *meas"]:
    """y − A x, with y (B, *measured) or (*measured); raises ValueError for y of another shape."""
    found, y = operator(x), jnp.asarray(y)
    if y.shape not in (found.shape, found.shape[1:]):
        raise ValueError(f"y must have the operator's shape {found.shape}, or {found.shape[1:]} for all, got {y.shape}")
    return y.astype(found.dtype) - found


# Relative; a float32 probe is off by 1e-6, any other operator by far more.
_ROUNDING = 1e-4


def _probe(operator: Operator, shape: tuple[int, ...], dtype: Any) -> tuple[float | Array, float | Array]:
    """c of A Aᵀ ≈ c I and its largest relative error, at one random x; plain floats, also under jit, if A is known."""
    with jax.ensure_compile_time_eval():
        measured = operator(jax.random.uniform(jax.random.key(0), shape, dtype, -1.0, 1.0))
        again = operator(transpose(operator, shape, dtype)(measured))
        squares = jnp.sum(measured**2)
        c = jnp.where(squares == 0, 1, safe_divide(jnp.sum(measured * again), squares))
        error = jnp.max(jnp.abs(again - c * measured))
        error = safe_divide(error, c * jnp.max(jnp.abs(measured)))
    return (c, error) if isinstance(error, jax.core.Tracer) else (float(c), float(error))


def _x0_and_all(denoise: Denoiser, t: Array, cond: Any) -> Callable[[Array], tuple[Array, Prediction]]:
    def predict(x: Array) -> tuple[Array, Prediction]:
        prediction = bind(denoise, cond)(x, t)
        return prediction.x0, prediction

    return predict


def _like(coefficient: Array, y: Float[Array, "b *measured"]) -> Array:
    """A coefficient (B, 1, ...) of x with as many axes as y."""
    return per_example(coefficient.reshape(-1), y)


def _conjugate_gradients(apply: Operator, b: Float[Array, "b *measured"], steps: int) -> Float[Array, "b *measured"]:
    """u with apply(u) = b, for each row by its own numbers (jax.scipy's would join the rows); rows stop at rounding."""

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


def _check_positive(value: ArrayLike | None, name: str, zero: bool = False) -> None:
    if value is None or isinstance(value, jax.core.Tracer):
        return
    if not (np.all(np.isfinite(value)) and np.all(np.asarray(value) > 0 if not zero else np.asarray(value) >= 0)):
        raise ValueError(f"{name} must be finite and {'not negative' if zero else 'positive'}, got {value}")
