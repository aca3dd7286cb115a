"""The mutual information gap (MIG) of the aggregate posterior."""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Float64, Int, Int64

from jaxgen.core import check_at_least
from jaxgen.metrics.bits import mean_and_error
from jaxgen.metrics.factors import class_indices, entropies, top_two_gaps
from jaxgen.metrics.features import check_features

_SAMPLES = 64  # samples in a block
_BLOCK_ENTRIES = 2**22  # densities in a block, 16 MiB of float32
_MAX_LOG_RATIO = 60  # of two stds; beyond it the density of the wider one underflows in float32


class PosteriorMIG(NamedTuple):
    """The score, its Monte Carlo standard error, the gap of each factor (k,), and the information (d, k) in nats.

    The estimate of the information is unbiased, so it may be negative where there is none; the gaps count that as 0.
    """

    score: float
    error: float
    per_factor: np.ndarray
    mutual_information: np.ndarray


def posterior_mig(
    means: ArrayLike, stds: ArrayLike, factors: ArrayLike, *, samples: int = 10_000, seed: int = 0
) -> PosteriorMIG:
    """Compute the MIG of the aggregate posterior by Monte Carlo.

    It is the mean over factors of (I(z_a; v_j) − I(z_b; v_j)) / H(v_j), where a and b are the two latents with the most
    information about v_j. q(z) is the mixture of all N posteriors N(means, stds²), and q(z|v_j) the mixture of those
    with that class. I = E[log q(z_i|v_j) − log q(z_i)] is averaged over samples of q(z), the same for both entropies. H
    is the empirical entropy of v_j. The work is samples × N × d, in blocks of bounded memory.

    The paper uses all 737,280 images of dSprites, 10,000 samples, and the factors scale, orientation, x and y without
    the shape. A subset of the images has another q(z). Scores do not compare with `binned_mig`.

    Args:
        means: posterior means, shape (N, d), d >= 2.
        stds: posterior standard deviations, shape (N, d), positive.
        factors: integer classes, shape (N, k).
        samples: number of samples of q(z), at least 2.
        seed: seed of the samples.

    Returns:
        The score, its error, the gaps and the information, as `PosteriorMIG`.

    Raises:
        ValueError: if means or stds are not finite, differ in shape or are of one latent, stds are not positive or
            differ by more than a factor of e⁶⁰, factors are not integers, are constant or not N rows, or samples < 2.

    Reference:
        Chen et al. 2018, arXiv:1802.04942, §4.
    """
    means, stds = check_features("means", means), check_features("stds", stds)
    if stds.shape != means.shape or means.shape[1] < 2:
        raise ValueError(f"means and stds must be of one shape (N, d), d >= 2, got {means.shape} and {stds.shape}")
    if not (stds > 0).all():
        raise ValueError("stds must be positive: they are standard deviations, not their logarithms")
    widths = np.log(stds) - np.log(stds.min(0))
    if widths.max() > _MAX_LOG_RATIO:
        raise ValueError(f"the stds of a latent differ by a factor of e^{widths.max():.0f}: look at the encoder first")
    check_at_least(2, samples=samples)
    classes = class_indices(factors, len(means))

    rng = np.random.default_rng(seed)
    rounds = -(-samples // len(means))
    source = np.concatenate([rng.permutation(len(means)) for _ in range(rounds)])[:samples]
    z = means[source] + stds[source] * rng.standard_normal((samples, means.shape[1]))
    # One more factor with a single class gives the density of all posteriors.
    classes = np.pad(classes, ((0, 0), (0, 1)))
    centre = means.mean(0)  # keeps the digits of means far from the origin in float32
    sums = _sums_of_densities(z - centre, classes[source], means - centre, stds, widths, classes)
    counts = np.stack([np.bincount(column)[column[source]] for column in classes.T], 1)
    log_densities = np.log(sums) - np.log(counts)[:, None]
    log_ratios = log_densities[..., :-1] - log_densities[..., -1:]  # (samples, d, k)

    information, entropy = log_ratios.mean(0), entropies(classes[:, :-1])
    per_factor = top_two_gaps(np.maximum(information, 0)) / entropy
    first, second = np.argsort(information, axis=0)[[-1, -2]]
    factor = np.arange(len(entropy))
    leads = (log_ratios[:, first, factor] - log_ratios[:, second, factor]) / entropy
    return PosteriorMIG(float(per_factor.mean()), mean_and_error(leads.mean(1)).error, per_factor, information)


def _sums_of_densities(
    z: Float64[np.ndarray, "s d"],
    z_classes: Int64[np.ndarray, "s f"],
    means: Float64[np.ndarray, "n d"],
    stds: Float64[np.ndarray, "n d"],
    widths: Float64[np.ndarray, "n d"],
    classes: Int64[np.ndarray, "n f"],
) -> Float64[np.ndarray, "s d f"]:
    """Sum N(z_i; mean, std²) over the posteriors of z's class, up to a constant factor per latent."""
    samples, n, (dims, factors) = len(z), len(means), (z.shape[1], classes.shape[1])
    chunk = min(n, max(1, _BLOCK_ENTRIES // (_SAMPLES * max(dims, factors))))
    posteriors = [_blocks(array, chunk) for array in (means, 1 / stds, widths)]
    # The padding of the last block belongs to no class, -1.
    sums = _in_blocks(_blocks(z, _SAMPLES), _blocks(z_classes, _SAMPLES), *posteriors, _blocks(classes, chunk, fill=-1))
    return np.asarray(sums, np.float64).reshape(-1, dims, factors)[:samples]


def _blocks(array: np.ndarray, rows: int, fill: int = 0) -> np.ndarray:
    blocks = math.ceil(len(array) / rows)
    padded = np.pad(array, ((0, blocks * rows - len(array)), (0, 0)), constant_values=fill)
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
    def sum_over_posteriors(block):
        z, z_classes = block

        def add_block(total, posteriors):
            mean, precision, width, posterior_classes = posteriors
            # In units of the peak of the narrowest posterior, so that no density exceeds 1.
            density = jnp.exp(-0.5 * ((z[:, None] - mean) * precision) ** 2 - width)
            same = (z_classes[:, None] == posterior_classes).astype(density.dtype)
            return total + jnp.einsum("scd,scf->sdf", density, same, precision=jax.lax.Precision.HIGHEST), None

        start = jnp.zeros((*z.shape, z_classes.shape[-1]), z.dtype)
        return jax.lax.scan(add_block, start, (means, precisions, widths, classes))[0]

    return jax.lax.map(sum_over_posteriors, (z, z_classes))
