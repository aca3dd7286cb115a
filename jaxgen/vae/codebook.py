"""Codebooks that follow their encodings by moving averages, and how many of their codes are used."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Int, Key


class Codebook(NamedTuple):
    """Codes e_k (K, d), and the averages N_k and m_k, per batch, of how many encodings chose each and of their sum."""

    codes: Float[Array, "k d"]
    counts: Float[Array, " k"]
    sums: Float[Array, "k d"]


def create(codes: Float[Array, "k d"]) -> Codebook:
    """A codebook that begins at `codes` (K, d), each as if one encoding had chosen it, float32 at least."""
    codes = jnp.asarray(codes)
    codes = codes.astype(jnp.promote_types(codes.dtype, jnp.float32))
    return Codebook(codes, jnp.ones(len(codes), codes.dtype), codes)


def from_encodings(key: Key[Array, ""], z: Float[Array, "*batch d"], size: int) -> Codebook:
    """A codebook of `size` encodings drawn from z (…, d), distinct ones where there are so many."""
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
    """N_k ← γN_k + (1−γ)n_k, m_k ← γm_k + (1−γ)Σz, e_k = m_k/N_k: online k-means (van den Oord et al. 2017, §A.1).

    The division takes (N_k + ε)/(N + Kε)·N with N = ΣN_k for N_k, which itself stays as it is: a code that is never
    chosen ends at 0, not at infinity. z and indices are those of one batch; no gradient passes. Under `pmap` or
    `shard_map` their sums are taken over axis_name, so that every device keeps the codebook of the whole batch.
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
    """Put every code whose N_k is below `threshold` times the mean on an encoding drawn from z.

    Random restarts (Dhariwal et al. 2020, §3). It begins with the mean N_k, so it has as long to be chosen as any
    other: at decay γ about log(threshold)/log(γ) batches, 229 by default. Under `pmap` or `shard_map`, axis_name draws
    from the whole batch, alike on every device if the key is. Raises ValueError unless 0 ≤ threshold < 1.
    """
    if not 0 <= threshold < 1:
        raise ValueError(f"threshold is a share of the mean count, in [0, 1), got {threshold}")
    size = len(book.codes)
    if axis_name is None:
        drawn = _draw(key, z, size)
    else:
        row, device = jax.random.split(key)
        everywhere = jax.lax.all_gather(_draw(row, z, size), axis_name)
        drawn = everywhere[jax.random.randint(device, (size,), 0, len(everywhere)), jnp.arange(size)]
    mean = book.counts.mean()
    dead = book.counts < threshold * mean
    codes = jnp.where(dead[:, None], drawn.astype(book.codes.dtype), book.codes)
    counts = jnp.where(dead, mean, book.counts)
    return Codebook(codes, counts, jnp.where(dead[:, None], codes * mean, book.sums))


def count(indices: Int[Array, "*batch"], size: int) -> Float[Array, " k"]:
    """How often each of `size` codes was chosen, (K,); the counts of batches add up to those of a data set."""
    return jnp.bincount(indices.reshape(-1), length=size).astype(jnp.float32)


def perplexity(counts: Float[Array, " k"]) -> Float[Array, ""]:
    """exp(−Σ p log p) of the shares p of counts (K,): 1 if one code does everything, K if all are used alike."""
    p = counts / counts.sum()
    return jnp.exp(jax.scipy.special.entr(p).sum())


def _draw(key: Key[Array, ""], z: Float[Array, "*batch d"], size: int) -> Float[Array, "k d"]:
    flat = jax.lax.stop_gradient(z).reshape(-1, z.shape[-1])
    return flat[jax.random.choice(key, len(flat), (size,), replace=len(flat) < size)]
