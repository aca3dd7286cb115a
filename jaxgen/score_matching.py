"""Score matching: objectives for any score function, and the kernel-density score that denoising is minimised by.

A score is any function (B, *event) -> (B, *event) that treats each example alone: a free network, as in
`lambda x: net.apply(params, x)`, or the gradient of an energy, `score_of_energy(partial(net.apply, params))`. The
objectives are summed over the event, one value per example, and differentiable in all that the score closes over.
"""

import math
from collections.abc import Callable
from typing import Literal, NamedTuple, get_args

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Key

from jaxgen.diffusion.broadcast import per_example

Score = Callable[[Array], Array]
NoiseConditionalScore = Callable[[Array, Array], Array]
Distribution = Literal["rademacher", "gaussian", "sphere"]


def score_of_energy(energy: Callable[[Array], Array]) -> Score:
    """The score −∇E of the density e^{−E(x)}/Z, whatever its Z (Hyvärinen 2005, §2).

    energy: (B, *event) -> (B,). Raises ValueError, when called, for an energy of another shape.
    """

    def score(x: Float[Array, "b *event"]) -> Float[Array, "b *event"]:
        def total(x: Array) -> Array:
            values = energy(x)
            if values.shape != x.shape[:1]:
                raise ValueError(f"the energy must return one value per example, {x.shape[:1]}, got {values.shape}")
            return values.sum()

        return -jax.grad(total)(x)

    return score


def explicit(score: Score, target_score: Score, x: Float[Array, "b *event"]) -> Float[Array, " b"]:
    """½‖s(x) − ∇log q(x)‖², where the target's score is known (Hyvärinen 2005, eq. 2).

    x: samples of the density that the error is averaged under, q itself for the identities below. Raises ValueError for
    a score of another shape.
    """
    error = _checked(score(x), x) - _checked(target_score(x), x)
    return 0.5 * _dot(error, error)


def implicit(score: Score, x: Float[Array, "b *event"], *, block: int = 32) -> Float[Array, " b"]:
    """½‖s‖² + tr ∇s with the exact trace: `explicit` + const in expectation over x ~ q (Hyvärinen 2005, theorem 1).

    Time of d directional derivatives, `block` of them at a time, and memory of one block, also when differentiated.
    Raises ValueError for a score of another shape, or unless block ≥ 1.
    """
    if block < 1:
        raise ValueError(f"block must be at least 1, got {block}: it is how many derivatives are taken at a time")
    s, along = jax.linearize(score, x)
    _checked(s, x)
    dims = math.prod(x.shape[1:])

    @jax.checkpoint  # or a gradient would keep what all d derivatives computed
    def diagonal(i: Array) -> Array:
        axis = jnp.broadcast_to(jax.nn.one_hot(i, dims, dtype=x.dtype).reshape(x.shape[1:]), x.shape)
        return _dot(axis, along(axis))

    together = min(block, dims) if len(x) else None  # jax cannot split an empty batch
    trace = jax.lax.map(diagonal, jnp.arange(dims), batch_size=together).sum(0)
    return 0.5 * _dot(s, s) + trace


def sliced(
    key: Key[Array, ""],
    score: Score,
    x: Float[Array, "b *event"],
    *,
    projections: int = 1,
    distribution: Distribution = "rademacher",
    variance_reduced: bool = False,
) -> Float[Array, " b"]:
    """½(vᵀs)² + vᵀ∇s v, averaged over projections v: an unbiased estimate of `implicit` (Song et al. 2019, §3.1).

    variance_reduced: ½‖s‖² in place of ½(vᵀs)², SSM-VR. distribution: of v, each with E vvᵀ = I: signs,
    N(0, I), or the sphere of radius √d. With H = S + ½ssᵀ (H = S if variance_reduced), S the symmetric part of ∇s, the
    variance at x is 2 Σ_{i≠j} H_ij² for signs, 2‖H‖² for Gaussian v and 2d/(d+2) (‖H‖² − (tr H)²/d) on the sphere, over
    `projections`. Time and memory of one directional derivative per projection, each example having its own.
    Raises ValueError for an unknown distribution, a score of another shape, or unless projections ≥ 1.
    """
    if projections < 1:
        raise ValueError(f"need at least one projection, got {projections}")
    v = _directions(key, (projections, *x.shape), distribution).astype(x.dtype)
    s, along = jax.linearize(score, x)
    _checked(s, x)
    curvature = jax.vmap(lambda v: _dot(v, along(v)))(v)
    square = _dot(s, s) if variance_reduced else jax.vmap(lambda v: _dot(v, s) ** 2)(v)
    return (0.5 * square + curvature).mean(0)


def _directions(key: Key[Array, ""], shape: tuple[int, ...], distribution: str) -> Float[Array, "m b *event"]:
    if distribution not in get_args(Distribution):
        raise ValueError(f"unknown distribution {distribution!r}: choose one of {', '.join(get_args(Distribution))}")
    if distribution == "rademacher":
        return jax.random.rademacher(key, shape, jnp.float32)
    v = jax.random.normal(key, shape)
    if distribution == "gaussian":
        return v
    mean_square = jnp.mean(v**2, axis=tuple(range(2, v.ndim)), keepdims=True)
    return v / jnp.sqrt(mean_square)  # the radius √d makes E vvᵀ = I; on the unit sphere it would be I/d


def denoising(key: Key[Array, ""], score: Score, x: Float[Array, "b *event"], sigma: ArrayLike) -> Float[Array, " b"]:
    """½‖s(x̃) − ∇log N(x̃; x, σ²I)‖² = ½‖s(x + σε) + ε/σ‖² at one draw of ε (Vincent 2011, eq. 9–11).

    In expectation `explicit` + const for the score of the noised data's density q_σ = q * N(0, σ²I), under q_σ.
    sigma: σ > 0, of shape () or (B,). Raises ValueError for a concrete sigma that is not positive, finite and normal in
    the type computed in (at least 1.2e-38 in float32), one of another shape, or a score of another shape.
    """
    eps = jax.random.normal(key, x.shape, jnp.promote_types(x.dtype, jnp.float32))
    sigma = per_example(_noise_level(sigma, x, eps.dtype), x)
    noised = x + sigma * eps
    error = _checked(score(noised), x) + eps / sigma
    return 0.5 * _dot(error, error)


def noise_conditional(
    key: Key[Array, ""],
    score: NoiseConditionalScore,
    x: Float[Array, "b *event"],
    sigmas: Float[ArrayLike, " levels"],
    *,
    weighting: Callable[[Array], Array] = jnp.square,
) -> Float[Array, " b"]:
    """λ(σ) times `denoising` at a σ drawn uniformly from the ladder for each example (Song & Ermon 2019, eq. 5–6).

    score: (x, σ) -> (B, *event) with x (B, *event) and σ (B,); sigmas: (L,), positive; weighting: λ, (B,) -> (B,), σ²
    by default, which makes all levels count alike.
    Raises ValueError as `denoising` does, and for sigmas that are not one-dimensional.
    """
    dtype = jnp.promote_types(x.dtype, jnp.float32)
    _check_positive("sigmas", sigmas, dtype)
    sigmas = jnp.asarray(sigmas, dtype)
    if sigmas.ndim != 1 or sigmas.size == 0:
        raise ValueError(f"sigmas must have shape (L,) with L >= 1, got {sigmas.shape}: give `denoising` a single one")
    level_key, noise_key = jax.random.split(key)
    sigma = sigmas[jax.random.randint(level_key, x.shape[:1], 0, sigmas.size)]
    return weighting(sigma) * denoising(noise_key, lambda noised: score(noised, sigma), x, sigma)


class KernelDensity(NamedTuple):
    """log q_σ(x) in nats, and its score ∇log q_σ(x)."""

    log_density: Float[Array, " b"]
    score: Float[Array, "b *event"]


def kernel_density(
    x: Float[Array, "b *event"], points: Float[Array, "m *event"], sigma: ArrayLike, *, block: int = 256
) -> KernelDensity:
    """The density q_σ = (1/M) Σ_m N(x; x_m, σ²I) of M noised points, and its score Σ_m w_m (x_m − x)/σ².

    w = softmax(−‖x − x_m‖²/2σ²). The score is what `denoising` on these points at σ is minimised by, among all
    functions (Vincent 2011, §4). sigma: σ > 0, () or (B,). block: points seen at a time, so memory is that of
    B · block · d numbers, whatever M. At distances of 1e4 σ float32 has few digits left for w; beyond 1e19 σ, where a
    square overflows (1e154 σ in float64), the result is not finite.
    Raises ValueError for points of another event shape or none, a sigma as `denoising` does, or unless block ≥ 1.
    """
    if points.shape[1:] != x.shape[1:] or len(points) == 0:
        raise ValueError(f"points must have shape (M, {', '.join(map(str, x.shape[1:]))}), M >= 1, got {points.shape}")
    if block < 1:
        raise ValueError(f"block must be at least 1, got {block}: it is how many points are seen at a time")
    dtype = jnp.promote_types(jnp.promote_types(x.dtype, points.dtype), jnp.float32)
    count, dims, block = len(points), math.prod(x.shape[1:]), min(block, len(points))
    centre = x.reshape(len(x), 1, dims).astype(dtype)
    sigma = jnp.broadcast_to(_noise_level(sigma, x, dtype), x.shape[:1])
    blocks = -(-count // block)
    padded = jnp.pad(points.reshape(count, dims).astype(dtype), ((0, blocks * block - count), (0, 0)), mode="edge")

    @jax.checkpoint  # or a gradient would keep every block
    def add(carry: tuple[Array, Array, Array], first: Array) -> tuple[tuple[Array, Array, Array], None]:
        """A running softmax: the largest logit, Σ e^{logit − largest}, and the offsets x_m − x weighted by the same."""
        largest, total, pull = carry
        offsets = jax.lax.dynamic_slice_in_dim(padded, first, block) - centre
        logits = -0.5 * jnp.sum((offsets / sigma[:, None, None]) ** 2, -1)
        logits = jnp.where(first + jnp.arange(block) < count, logits, -jnp.inf)
        new = jax.lax.stop_gradient(jnp.maximum(largest, logits.max(-1)))
        fade, weights = jnp.exp(largest - new), jnp.exp(logits - new[:, None])
        # not a matrix product, whose precision an accelerator would cut
        pulled = jnp.sum(weights[..., None] * offsets, 1)
        return (new, fade * total + weights.sum(-1), fade[:, None] * pull + pulled), None

    start = jnp.full(len(x), -jnp.inf, dtype), jnp.zeros(len(x), dtype), jnp.zeros((len(x), dims), dtype)
    (largest, total, pull), _ = jax.lax.scan(add, start, block * jnp.arange(blocks))
    log_density = largest + jnp.log(total / count) - dims * (jnp.log(sigma) + 0.5 * math.log(2 * math.pi))
    score = pull / total[:, None] / sigma[:, None] / sigma[:, None]  # σ² could be too small to hold
    return KernelDensity(log_density, score.reshape(x.shape))


def _dot(a: Float[Array, "b *event"], b: Float[Array, "b *event"]) -> Float[Array, " b"]:
    """The inner product over the event, in float32 at least."""
    a, b = (v.astype(jnp.promote_types(v.dtype, jnp.float32)) for v in (a, b))
    return jnp.sum(a * b, axis=tuple(range(1, a.ndim)))


def _checked(output: Array, x: Array) -> Array:
    if output.shape != x.shape:
        raise ValueError(f"a score must return x's shape {x.shape}, got {output.shape}")
    return output


def _check_positive(name: str, value: ArrayLike, dtype: jnp.dtype) -> None:
    """Refuse a concrete value that is not a positive, finite, normal number of dtype; a traced one cannot be looked at.

    Smaller ones are flushed to 0, by which is divided.
    """
    if isinstance(value, jax.core.Tracer):
        return
    smallest, largest = (float(end) for end in (jnp.finfo(dtype).tiny, jnp.finfo(dtype).max))
    wide = np.asarray(value, np.float64)
    if not np.all((smallest <= wide) & (wide <= largest)):
        raise ValueError(
            f"{name} must be positive and finite, from {smallest:.2g} to {largest:.2g} in {dtype}, got {value}: it is "
            "a standard deviation of noise"
        )


def _noise_level(sigma: ArrayLike, x: Array, dtype: jnp.dtype) -> Float[Array, "..."]:
    _check_positive("sigma", sigma, dtype)
    sigma = jnp.asarray(sigma, dtype)
    if sigma.shape not in ((), x.shape[:1]):
        raise ValueError(f"sigma must be one number or one per example, () or {x.shape[:1]}, got {sigma.shape}")
    return sigma
