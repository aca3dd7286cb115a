"""The Gaussian kernel density of a set of points, and its score."""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from jaxgen.core import check_at_least
from jaxgen.score_matching.noise import noise_level


class KernelDensity(NamedTuple):
    """log q_σ(x) in nats, and its score ∇log q_σ(x)."""

    log_density: Float[Array, " b"]
    score: Float[Array, "b *event"]


def kernel_density(
    x: Float[Array, "b *event"], points: Float[Array, "m *event"], sigma: ArrayLike, *, block: int = 256
) -> KernelDensity:
    """The Gaussian kernel density q_σ = (1/M) Σ_m N(x; x_m, σ²I), and its score Σ_m w_m (x_m − x)/σ².

    The weights are w = softmax(−‖x − x_m‖²/2σ²). The score minimises `denoising` on these points at σ among all
    functions (Vincent 2011, §4). At distances of many σ, float32 has few digits for w (docs/measurements.md).

    Args:
        x: where to evaluate, (B, *event).
        points: x_m, (M, *event) with M ≥ 1.
        sigma: σ > 0, () or (B,).
        block: the number ≥ 1 of points processed at a time; memory is that of B · block · d numbers for any M.

    Returns:
        The log-density (B,) and the score (B, *event).

    Raises:
        ValueError: if points are not of shape (M, *event) with M ≥ 1, or block < 1; and for sigma as `denoising` does.
    """
    if points.shape[1:] != x.shape[1:] or len(points) == 0:
        raise ValueError(f"points must have shape (M, {', '.join(map(str, x.shape[1:]))}), M >= 1, got {points.shape}")
    check_at_least(1, block=block)
    dtype = jnp.promote_types(jnp.promote_types(x.dtype, points.dtype), jnp.float32)
    count, dims, block = len(points), math.prod(x.shape[1:]), min(block, len(points))
    centre = x.reshape(len(x), 1, dims).astype(dtype)
    sigma = jnp.broadcast_to(noise_level(sigma, x, dtype), x.shape[:1])
    blocks = -(-count // block)
    padded = jnp.pad(points.reshape(count, dims).astype(dtype), ((0, blocks * block - count), (0, 0)), mode="edge")

    @jax.checkpoint  # or a gradient would keep every block
    def add(carry: tuple[Array, Array, Array], first: Array) -> tuple[tuple[Array, Array, Array], None]:
        """A running softmax: the largest logit, Σ e^{logit − largest}, and Σ e^{logit − largest} (x_m − x)."""
        largest, total, pull = carry
        offsets = jax.lax.dynamic_slice_in_dim(padded, first, block) - centre
        logits = -0.5 * jnp.sum((offsets / sigma[:, None, None]) ** 2, -1)
        logits = jnp.where(first + jnp.arange(block) < count, logits, -jnp.inf)
        new = jax.lax.stop_gradient(jnp.maximum(largest, logits.max(-1)))
        fade, weights = jnp.exp(largest - new), jnp.exp(logits - new[:, None])
        # a sum, since accelerators round the factors of matrix products
        pulled = jnp.sum(weights[..., None] * offsets, 1)
        return (new, fade * total + weights.sum(-1), fade[:, None] * pull + pulled), None

    start = jnp.full(len(x), -jnp.inf, dtype), jnp.zeros(len(x), dtype), jnp.zeros((len(x), dims), dtype)
    (largest, total, pull), _ = jax.lax.scan(add, start, block * jnp.arange(blocks))
    log_density = largest + jnp.log(total / count) - dims * (jnp.log(sigma) + 0.5 * math.log(2 * math.pi))
    score = pull / total[:, None] / sigma[:, None] / sigma[:, None]  # σ² may underflow
    return KernelDensity(log_density, score.reshape(x.shape))
