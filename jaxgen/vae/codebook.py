"""Codebooks learned by moving averages of their encodings, and measures of their use."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Int, Key

from jaxgen.core import as_float


class Codebook(NamedTuple):
    """Codes e_k, and moving averages of the number N_k of encodings per batch that chose each and of their sum m_k."""

    codes: Float[Array, "k d"]
    counts: Float[Array, " k"]
    sums: Float[Array, "k d"]


def create(codes: Float[Array, "k d"]) -> Codebook:
    """A codebook that starts at given codes, each with the count 1.

    Args:
        codes: the codes (K, d).

    Returns:
        The codebook, in the dtype of the codes or float32.
    """
    codes = as_float(codes)
    return Codebook(codes, jnp.ones(len(codes), codes.dtype), codes)


def from_encodings(key: Key[Array, ""], z: Float[Array, "*batch d"], size: int) -> Codebook:
    """A codebook of encodings drawn from z, without replacement if there are enough.

    Args:
        key: one key.
        z: the encodings (…, d) of one batch.
        size: the number K of codes.

    Returns:
        The codebook.
    """
    return create(_draw(key, z, size))


def update(
    book: Codebook,
    z: Float[Array, "*batch d"],
    indices: Int[Array, "*batch"],
    *,
    decay: ArrayLike = 0.99,
    epsilon: float = 1e-5,
    axis_name: str | None = None,
) -> Codebook:
    """Online k-means: N_k ← γN_k + (1−γ)n_k, m_k ← γm_k + (1−γ)Σz, e_k = m_k/N_k (van den Oord et al. 2017, §A.1).

    The division uses the smoothed counts (N_k + ε)/(N + Kε)·N with N = ΣN_k, so that a code that is never chosen decays
    to 0 and not to infinity. No gradient passes.

    Args:
        book: the codebook.
        z: the encodings (…, d) of one batch.
        indices: the code (…) that each encoding chose.
        decay: γ in [0, 1].
        epsilon: ε > 0.
        axis_name: under `pmap` or `shard_map`, the axis over which the sums are taken, so that every device keeps the
            codebook of the whole batch.

    Returns:
        The new codebook.
    """
    size = len(book.codes)
    flat = jax.lax.stop_gradient(z).reshape(-1, z.shape[-1]).astype(book.sums.dtype)
    counts = count(indices, size).astype(book.counts.dtype)
    sums = jax.ops.segment_sum(flat, indices.reshape(-1), size)
    if axis_name is not None:
        counts, sums = jax.lax.psum((counts, sums), axis_name)
    counts = decay * book.counts + (1 - decay) * counts
    sums = decay * book.sums + (1 - decay) * sums
    total = counts.sum()
    smoothed = (counts + epsilon) / (total + size * epsilon) * total
    return Codebook(sums / smoothed[:, None], counts, sums)


def reset_dead(
    key: Key[Array, ""],
    book: Codebook,
    z: Float[Array, "*batch d"],
    *,
    threshold: float = 0.1,
    axis_name: str | None = None,
) -> Codebook:
    """Replace every code whose count is below `threshold` times the mean count by an encoding drawn from z.

    Random restarts (Dhariwal et al. 2020, §3). A replaced code gets the mean count: if it is never chosen, it is
    replaced again after about log(threshold)/log(γ) updates with decay γ.

    Args:
        key: one key, the same on every device.
        book: the codebook.
        z: the encodings (…, d) of one batch.
        threshold: a fraction of the mean count, in [0, 1).
        axis_name: under `pmap` or `shard_map`, the axis over which to draw from the whole batch.

    Returns:
        The new codebook.

    Raises:
        ValueError: unless 0 ≤ threshold < 1.
    """
    if not 0 <= threshold < 1:
        raise ValueError(f"threshold is a fraction of the mean count, in [0, 1), got {threshold}")
    size = len(book.codes)
    if axis_name is None:
        drawn = _draw(key, z, size)
    else:
        row, device = jax.random.split(key)
        gathered = jax.lax.all_gather(_draw(row, z, size), axis_name)
        drawn = gathered[jax.random.randint(device, (size,), 0, len(gathered)), jnp.arange(size)]
    mean = book.counts.mean()
    dead = book.counts < threshold * mean
    codes = jnp.where(dead[:, None], drawn.astype(book.codes.dtype), book.codes)
    counts = jnp.where(dead, mean, book.counts)
    return Codebook(codes, counts, jnp.where(dead[:, None], codes * mean, book.sums))


def count(indices: Int[Array, "*batch"], size: int) -> Float[Array, " k"]:
    """How often each code was chosen.

    Args:
        indices: the code (…) that each encoding chose, in [0, K).
        size: the number K of codes.

    Returns:
        The counts (K,).
    """
    return jnp.bincount(indices.reshape(-1), length=size).astype(jnp.float32)


def perplexity(counts: Float[Array, " k"]) -> Float[Array, ""]:
    """The perplexity exp(−Σ p log p) of p = counts/Σ counts: 1 if one code is used, K if all are used equally.

    Args:
        counts: how often each code was chosen, (K,), not all 0.

    Returns:
        The perplexity (), in [1, K].
    """
    p = counts / counts.sum()
    return jnp.exp(jax.scipy.special.entr(p).sum())


def _draw(key: Key[Array, ""], z: Float[Array, "*batch d"], size: int) -> Float[Array, "k d"]:
    flat = jax.lax.stop_gradient(z).reshape(-1, z.shape[-1])
    return flat[jax.random.choice(key, len(flat), (size,), replace=len(flat) < size)]
