"""The mutual information gap of the aggregate posterior, as Chen et al. 2018 (arXiv:1802.04942) define it."""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Float64, Int, Int64

from jaxgen.metrics.bits import estimate
from jaxgen.metrics.factors import as_factors, entropies, gaps
from jaxgen.metrics.features import as_features

_SAMPLES = 64  # that are worked on at once
_BLOCK_ENTRIES = 2**22  # densities held at once, 16 MiB of float32
_WIDEST = 60  # log of the ratio of two stds: beyond, float32 would lose the wider one's density


class PosteriorMIG(NamedTuple):
    """The score, its Monte Carlo standard error, the gap of each factor (k,), and the information (d, k) in nats.

    The information is unbiased, so that where there is none it may come out negative; gaps count that as 0.
    """

    score: float
    error: float
    per_factor: np.ndarray
    mutual_information: np.ndarray


def posterior_mig(
    means: ArrayLike, stds: ArrayLike, factors: ArrayLike, *, samples: int = 10_000, seed: int = 0
) -> PosteriorMIG:
    """Returns the mean over factors of (I(z_a; v_j) − I(z_b; v_j)) / H(v_j), a and b the latents that know v_j best.

    q(z) is the mixture of the N posteriors N(means, stds²), both (N, d), and q(z|v_j) that of the ones with that
    class; factors (N, k) are integers. I = E[log q(z_i|v_j) − log q(z_i)] is averaged over samples of q(z), the same
    for both entropies (§4 of the paper). All N count in each density, so the work is samples × N × d, in blocks of
    bounded memory. H is the entropy of v_j among the N, which for balanced factors is the log of their classes.

    The paper's figures are of all 737,280 dSprites, with 10,000 samples, without the shape: pass the factors scale,
    orientation, x and y. A part of the set has another q(z). Never compare it with `binned_mig`.

    Raises ValueError for means or stds that are not finite, of other or unequal shapes or of fewer than two latents,
    stds that are not positive or within a factor of e⁶⁰, factors that are not integers, constant or not as many, and
    fewer than two samples.
    """
    means, stds = as_features("means", means), as_features("stds", stds)
    if stds.shape != means.shape or means.shape[1] < 2:
        raise ValueError(f"means and stds must be of one shape (N, d), d >= 2, got {means.shape} and {stds.shape}")
    if not (stds > 0).all():
        raise ValueError("stds must be positive: they are standard deviations, not their logarithms")
    widths = np.log(stds) - np.log(stds.min(0))
    if widths.max() > _WIDEST:
        raise ValueError(f"the stds of a latent differ by a factor of e^{widths.max():.0f}: look at the encoder first")
    if samples < 2:
        raise ValueError(f"samples must be at least 2, got {samples}")
    classes = as_factors(factors, len(means))

    rng = np.random.default_rng(seed)
    rounds = -(-samples // len(means))
    source = np.concatenate([rng.permutation(len(means)) for _ in range(rounds)])[:samples]
    z = means[source] + stds[source] * rng.standard_normal((samples, means.shape[1]))
    # The density of all posteriors comes as that of one more factor, which has one class.
    classes = np.pad(classes, ((0, 0), (0, 1)))
    centre = means.mean(0)  # else float32 would lose the digits of means far from the origin
    sums = _sums_of_densities(z - centre, classes[source], means - centre, stds, widths, classes)
    counts = np.stack([np.bincount(column)[column[source]] for column in classes.T], 1)
    log_densities = np.log(sums) - np.log(counts)[:, None]
    log_ratios = log_densities[..., :-1] - log_densities[..., -1:]  # (samples, d, k)

    information, entropy = log_ratios.mean(0), entropies(classes[:, :-1])
    per_factor = gaps(np.maximum(information, 0)) / entropy
    first, second = np.argsort(information, axis=0)[[-1, -2]]
    factor = np.arange(len(entropy))
    leads = (log_ratios[:, first, factor] - log_ratios[:, second, factor]) / entropy
    return PosteriorMIG(float(per_factor.mean()), estimate(leads.mean(1)).error, per_factor, information)


def _sums_of_densities(
    z: Float64[np.ndarray, "s d"],
    z_classes: Int64[np.ndarray, "s f"],
    means: Float64[np.ndarray, "n d"],
    stds: Float64[np.ndarray, "n d"],
    widths: Float64[np.ndarray, "n d"],
    classes: Int64[np.ndarray, "n f"],
) -> Float64[np.ndarray, "s d f"]:
    """Returns Σ N(z_i; mean, std²) over the posteriors of z's class, up to a constant of the latent."""
    samples, n, (dims, factors) = len(z), len(means), (z.shape[1], classes.shape[1])
    chunk = min(n, max(1, _BLOCK_ENTRIES // (_SAMPLES * max(dims, factors))))
    posteriors = [_blocks(array, chunk) for array in (means, 1 / stds, widths)]
    # what fills the last block belongs to no class
    sums = _in_blocks(
        _blocks(z, _SAMPLES), _blocks(z_classes, _SAMPLES), *posteriors, _blocks(classes, chunk, filling=-1)
    )
    return np.asarray(sums, np.float64).reshape(-1, dims, factors)[:samples]


def _blocks(array: np.ndarray, rows: int, filling: int = 0) -> np.ndarray:
    blocks = math.ceil(len(array) / rows)
    padded = np.pad(array, ((0, blocks * rows - len(array)), (0, 0)), constant_values=filling)
    return padded.reshape(blocks, rows, -1).astype(np.int32 if array.dtype == np.int64 else array.dtype)


@jax.jit
def _in_blocks(
    z: Float[Array, "a s d"],
    z_classes: Int[Array, "a s f"],
    means: Float[Array, "b c d"],
    precisions: Float[Array, "b c d"],
    widths: Float[Array, "b c d"],
    classes: Int[Array, "b c f"],
) -> Float[Array, "a s d f"]:
    def of_samples(block):
        z, z_classes = block

        def add(total, posteriors):
            mean, precision, width, its_classes = posteriors
            # in units of the sharpest posterior's peak, which no density exceeds
            density = jnp.exp(-0.5 * ((z[:, None] - mean) * precision) ** 2 - width)
            same = (z_classes[:, None] == its_classes).astype(density.dtype)
            return total + jnp.einsum("scd,scf->sdf", density, same, precision=jax.lax.Precision.HIGHEST), None

        start = jnp.zeros((*z.shape, z_classes.shape[-1]), z.dtype)
        return jax.lax.scan(add, start, (means, precisions, widths, classes))[0]

    return jax.lax.map(of_samples, (z, z_classes))
