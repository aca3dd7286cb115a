"""Maximum mean discrepancy (Gretton et al. 2012, "A kernel two-sample test") and the kernels it is used with."""

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Float64

from jaxgen.metrics.distances import row_blocks, squared_distances
from jaxgen.metrics.features import as_features, same_dimension

Kernel = Callable[[np.ndarray, np.ndarray], np.ndarray]  # (n, d), (m, d) -> (n, m)


def polynomial_kernel(
    x: Float64[np.ndarray, "n d"], y: Float64[np.ndarray, "m d"], degree: int = 3
) -> Float64[np.ndarray, "n m"]:
    """Returns (x·y/d + 1)^degree (Bińkowski et al. 2018, eq. 6)."""
    base = x @ y.T
    base /= x.shape[1]
    base += 1
    gram = base.copy()
    for _ in range(degree - 1):  # repeated products: a float power is ten times slower
        gram *= base
    return gram


def rbf_kernel(
    x: Float64[np.ndarray, "n d"], y: Float64[np.ndarray, "m d"], bandwidths: Sequence[float | int] = (1.0,)
) -> Float64[np.ndarray, "n m"]:
    """Returns the mean over bandwidths s > 0 of exp(−‖x−y‖²/2s²).

    Raises ValueError for no bandwidth or one that is not positive.
    """
    if not len(bandwidths) or not all(s > 0 for s in bandwidths):
        raise ValueError(f"bandwidths must be one or more positive numbers, got {tuple(bandwidths)}")
    d2 = squared_distances(x, y)
    return sum(np.exp(d2 / (-2 * s * s)) for s in bandwidths) / len(bandwidths)


def median_distance(x: ArrayLike, y: ArrayLike, limit: int = 1000) -> float:
    """Returns the median distance between two points of both sets pooled, the usual RBF bandwidth (Gretton 2012, §8).

    Of a set larger than `limit`, evenly spaced rows are taken. Raises ValueError if the median is zero.
    """
    x, y = as_features("x", x), as_features("y", y)
    same_dimension(x.shape[1], y.shape[1])
    pooled = np.concatenate([a[np.linspace(0, len(a) - 1, min(len(a), limit)).astype(int)] for a in (x, y)])
    median = float(np.sqrt(np.median(squared_distances(pooled, pooled)[np.triu_indices(len(pooled), 1)])))
    if median == 0:
        raise ValueError("more than half of all pairs of points coincide: give the RBF kernel a bandwidth instead")
    return median


def mmd_squared(x: ArrayLike, y: ArrayLike, kernel: Kernel | None = None) -> float:
    """Returns the unbiased MMD² of samples (n, d) and (m, d) (Gretton 2012, eq. 3); near zero it may be negative.

    `kernel` maps (n, d) and (m, d) to (n, m), for example `functools.partial(rbf_kernel, bandwidths=(0.5, 1, 2))`;
    None means an RBF with the median distance as bandwidth.

    Raises ValueError for samples that are not finite, of different dimension, or fewer than 2.
    """
    x, y = as_features("x", x), as_features("y", y)
    same_dimension(x.shape[1], y.shape[1])
    kernel = kernel or partial(rbf_kernel, bandwidths=(median_distance(x, y),))
    across = sum(kernel(x[rows], y).sum() for rows in row_blocks(len(x), len(y))) / (len(x) * len(y))
    return float(_mean_over_pairs(x, kernel) + _mean_over_pairs(y, kernel) - 2 * across)


def _mean_over_pairs(x: Float64[np.ndarray, "n d"], kernel: Kernel) -> float:
    """Returns the mean of k(x_i, x_j) over i ≠ j."""
    total = 0.0
    for rows in row_blocks(len(x), len(x)):
        gram = kernel(x[rows], x)
        np.fill_diagonal(gram[:, rows], 0.0)
        total += gram.sum()
    return total / (len(x) * (len(x) - 1))
