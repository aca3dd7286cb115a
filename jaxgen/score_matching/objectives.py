"""Score matching objectives for any score function.

A score is any function (B, *event) -> (B, *event) that treats each example alone: a network, as in
`lambda x: net.apply(params, x)`, or the gradient of an energy, `score_of_energy(partial(net.apply, params))`.
Objectives are summed over the event, one value per example, and differentiable in all that the score closes over.
All raise ValueError for a score that does not return the shape of x.
"""

import math
from collections.abc import Callable
from typing import Literal

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Key

from jaxgen.core import as_float, check_at_least, check_choice, check_floating, per_example
from jaxgen.score_matching.energy import Score
from jaxgen.score_matching.noise import check_noise_level, noise_level

NoiseConditionalScore = Callable[[Array, Array], Array]
ProjectionDistribution = Literal["rademacher", "gaussian", "sphere"]


def explicit(score: Score, target_score: Score, x: Float[Array, "b *event"]) -> Float[Array, " b"]:
    """Explicit score matching ½‖s(x) − ∇log q(x)‖², where the score of the target is known (Hyvärinen 2005, eq. 2).

    Args:
        score: the model.
        target_score: ∇log q.
        x: samples (B, *event) of the distribution under which the error is averaged, usually q.

    Returns:
        The objective (B,), in float32 or wider.

    Raises:
        ValueError: if a score does not return the shape of x.
    """
    error = _checked(score(x), x) - _checked(target_score(x), x)
    return 0.5 * _dot(error, error)


def implicit(score: Score, x: Float[Array, "b *event"], *, block: int = 32) -> Float[Array, " b"]:
    """Implicit score matching ½‖s‖² + tr ∇s with the exact trace (Hyvärinen 2005, theorem 1).

    In expectation over x ~ q it equals `explicit` up to a constant. It takes the time of d directional derivatives,
    `block` of them at once, and the memory of one block, also for a gradient.

    Args:
        score: the model.
        x: samples of q, (B, *event).
        block: the number ≥ 1 of directional derivatives taken at once.

    Returns:
        The objective (B,), in float32 or wider.

    Raises:
        ValueError: if block < 1, or the score does not return the shape of x.
    """
    check_at_least(1, block=block)
    s, along = jax.linearize(score, x)
    _checked(s, x)
    dims = math.prod(x.shape[1:])

    @jax.checkpoint  # or a gradient would keep all d derivatives
    def diagonal(i: Array) -> Array:
        axis = jnp.broadcast_to(jax.nn.one_hot(i, dims, dtype=x.dtype).reshape(x.shape[1:]), x.shape)
        return _dot(axis, along(axis))

    batch_size = min(block, dims) if len(x) else None  # jax cannot split an empty batch
    trace = jax.lax.map(diagonal, jnp.arange(dims), batch_size=batch_size).sum(0)
    return 0.5 * _dot(s, s) + trace


def sliced(
    key: Key[Array, ""],
    score: Score,
    x: Float[Array, "b *event"],
    *,
    projections: int = 1,
    distribution: ProjectionDistribution = "rademacher",
    variance_reduced: bool = False,
) -> Float[Array, " b"]:
    """Sliced score matching ½(vᵀs)² + vᵀ∇s v, averaged over projections v: an unbiased estimate of `implicit`.

    It takes the time and memory of one directional derivative per projection. For H = S + ½ssᵀ (H = S with
    variance_reduced), S the symmetric part of ∇s, the variance of one projection is 2 Σ_{i≠j} H_ij² for "rademacher",
    2‖H‖² for "gaussian" and 2d/(d+2) (‖H‖² − (tr H)²/d) for "sphere".

    Args:
        key: one key.
        score: the model.
        x: samples of q, (B, *event).
        projections: the number ≥ 1 of projections per example; each example draws its own.
        distribution: of v, with E vvᵀ = I: random signs, N(0, I), or the sphere of radius √d.
        variance_reduced: use ½‖s‖² instead of ½(vᵀs)² (SSM-VR).

    Returns:
        The objective (B,), in float32 or wider.

    Raises:
        ValueError: if projections < 1, the distribution is unknown, or the score does not return the shape of x.

    Reference:
        Song et al. 2019, §3.1.
    """
    check_at_least(1, projections=projections)
    v = _directions(key, (projections, *x.shape), distribution).astype(x.dtype)
    s, along = jax.linearize(score, x)
    _checked(s, x)
    curvature = jax.vmap(lambda v: _dot(v, along(v)))(v)
    square = _dot(s, s) if variance_reduced else jax.vmap(lambda v: _dot(v, s) ** 2)(v)
    return (0.5 * square + curvature).mean(0)


def _directions(key: Key[Array, ""], shape: tuple[int, ...], distribution: str) -> Float[Array, "m b *event"]:
    check_choice(ProjectionDistribution, distribution=distribution)
    if distribution == "rademacher":
        return jax.random.rademacher(key, shape, jnp.float32)
    v = jax.random.normal(key, shape)
    if distribution == "gaussian":
        return v
    mean_square = jnp.mean(v**2, axis=tuple(range(2, v.ndim)), keepdims=True)
    return v / jnp.sqrt(mean_square)  # the radius √d gives E vvᵀ = I


def denoising(key: Key[Array, ""], score: Score, x: Float[Array, "b *event"], sigma: ArrayLike) -> Float[Array, " b"]:
    """Denoising score matching ½‖s(x̃) − ∇log N(x̃; x, σ²I)‖² = ½‖s(x + σε) + ε/σ‖² at one draw of ε.

    In expectation it equals `explicit` up to a constant, for the score of the density q_σ = q * N(0, σ²I) of
    noised data and under q_σ.

    Args:
        key: one key.
        score: the model.
        x: samples of q, (B, *event).
        sigma: σ > 0, () or (B,).

    Returns:
        The objective (B,), in float32 or wider.

    Raises:
        ValueError: if the score does not return the shape of x, sigma is not of shape () or (B,), or a concrete sigma
            is not positive, finite and normal in the dtype of the computation (at least 1.2e-38 in float32).

    Reference:
        Vincent 2011, eq. 9–11.
    """
    eps = jax.random.normal(key, x.shape, jnp.promote_types(x.dtype, jnp.float32))
    sigma = per_example(noise_level(sigma, x, eps.dtype), x)
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
    """λ(σ) times `denoising` at a noise level σ drawn uniformly from sigmas for each example.

    Args:
        key: one key.
        score: (x (B, *event), σ (B,)) -> (B, *event).
        x: samples of q, (B, *event).
        sigmas: the noise levels (L,), positive, L ≥ 1.
        weighting: λ, (B,) -> (B,); σ² by default, which gives all levels about equal weight.

    Returns:
        The objective (B,), in float32 or wider.

    Raises:
        ValueError: if sigmas are not of shape (L,) with L ≥ 1; and as `denoising` does.

    Reference:
        Song & Ermon 2019, eq. 5–6.
    """
    dtype = jnp.promote_types(x.dtype, jnp.float32)
    check_noise_level("sigmas", sigmas, dtype)
    sigmas = jnp.asarray(sigmas, dtype)
    if sigmas.ndim != 1 or sigmas.size == 0:
        raise ValueError(f"sigmas must have shape (L,) with L >= 1, got {sigmas.shape}: give `denoising` a single one")
    level_key, noise_key = jax.random.split(key)
    sigma = sigmas[jax.random.randint(level_key, x.shape[:1], 0, sigmas.size)]
    return weighting(sigma) * denoising(noise_key, lambda noised: score(noised, sigma), x, sigma)


def _dot(a: Float[Array, "b *event"], b: Float[Array, "b *event"]) -> Float[Array, " b"]:
    """The inner product over the event, in float32 at least."""
    a, b = as_float(a), as_float(b)
    return jnp.sum(a * b, axis=tuple(range(1, a.ndim)))


def _checked(output: Array, x: Array) -> Array:
    check_floating(x)
    if output.shape != x.shape:
        raise ValueError(f"a score must return x's shape {x.shape}, got {output.shape}")
    return output
