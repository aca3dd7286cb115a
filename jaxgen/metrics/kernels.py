"""Maximum mean discrepancy (MMD), its kernels, and the kernel distance (KID) of image features."""

import warnings
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Float64

from jaxgen.core import check_at_least
from jaxgen.metrics.distances import row_blocks, squared_distances
from jaxgen.metrics.features import check_pair

Kernel = Callable[[np.ndarray, np.ndarray], np.ndarray]  # (n, d), (m, d) -> (n, m)


def polynomial_kernel(
    x: Float64[np.ndarray, "n d"], y: Float64[np.ndarray, "m d"], degree: int = 3
) -> Float64[np.ndarray, "n m"]:
    """Compute the polynomial kernel (x·y/d + 1)^degree.

    Args:
        x: samples (n, d).
        y: samples (m, d).
        degree: an integer, at least 1.

    Returns:
        The kernel of all pairs, shape (n, m).

    Raises:
        ValueError: if degree < 1.

    Reference:
        Bińkowski et al. 2018, arXiv:1801.01401, eq. 6.
    """
    check_at_least(1, degree=degree)
    base = x @ y.T
    base /= x.shape[1]
    base += 1
    gram = base.copy()
    for _ in range(degree - 1):  # repeated products are faster than a float power
        gram *= base
    return gram


def rbf_kernel(
    x: Float64[np.ndarray, "n d"], y: Float64[np.ndarray, "m d"], bandwidths: Sequence[float | int] = (1.0,)
) -> Float64[np.ndarray, "n m"]:
    """Compute the mean over bandwidths s of the Gaussian kernel exp(−‖x−y‖²/2s²).

    Args:
        x: samples (n, d).
        y: samples (m, d).
        bandwidths: one or more s > 0.

    Returns:
        The kernel of all pairs, shape (n, m).

    Raises:
        ValueError: if there is no bandwidth, or one is not positive.
    """
    if not len(bandwidths) or not all(s > 0 for s in bandwidths):
        raise ValueError(f"bandwidths must be one or more positive numbers, got {tuple(bandwidths)}")
    d2 = squared_distances(x, y)
    return sum(np.exp(d2 / (-2 * s * s)) for s in bandwidths) / len(bandwidths)


def median_distance(x: ArrayLike, y: ArrayLike, limit: int = 1000) -> float:
    """Compute the median distance between two points of the pooled sets, the usual bandwidth of an RBF kernel.

    Args:
        x: samples (n, d).
        y: samples (m, d).
        limit: a larger set is thinned to this many evenly spaced rows.

    Returns:
        The median distance, positive.

    Raises:
        ValueError: if samples are not finite, differ in dimension or are fewer than 2, limit < 1, or the median is 0.

    Reference:
        Gretton et al. 2012, "A kernel two-sample test", §8.
    """
    check_at_least(1, limit=limit)
    x, y = check_pair(("x", "y"), x, y)
    pooled = np.concatenate([a[np.linspace(0, len(a) - 1, min(len(a), limit)).astype(int)] for a in (x, y)])
    median = float(np.sqrt(np.median(squared_distances(pooled, pooled)[np.triu_indices(len(pooled), 1)])))
    if median == 0:
        raise ValueError("more than half of all pairs of points coincide: give the RBF kernel a bandwidth instead")
    return median


def mmd_squared(x: ArrayLike, y: ArrayLike, kernel: Kernel | None = None) -> float:
    """Compute the unbiased estimate of MMD²; near zero it may be negative.

    Args:
        x: samples (n, d), n >= 2.
        y: samples (m, d), m >= 2.
        kernel: maps (n, d) and (m, d) to (n, m), for example `functools.partial(rbf_kernel, bandwidths=(0.5, 1, 2))`.
            None means an RBF kernel with `median_distance` as its bandwidth.

    Returns:
        The estimate of MMD².

    Raises:
        ValueError: if samples are not finite, differ in dimension or are fewer than 2, or no kernel is given and
            `median_distance` is zero.

    Reference:
        Gretton et al. 2012, "A kernel two-sample test", eq. 3.
    """
    x, y = check_pair(("x", "y"), x, y)
    kernel = kernel or partial(rbf_kernel, bandwidths=(median_distance(x, y),))
    across = sum(kernel(x[rows], y).sum() for rows in row_blocks(len(x), len(y))) / (len(x) * len(y))
    return float(_mean_over_pairs(x, kernel) + _mean_over_pairs(y, kernel) - 2 * across)


def _mean_over_pairs(x: Float64[np.ndarray, "n d"], kernel: Kernel) -> float:
    """Average k(x_i, x_j) over i ≠ j."""
    total = 0.0
    for rows in row_blocks(len(x), len(x)):
        gram = kernel(x[rows], x)
        np.fill_diagonal(gram[:, rows], 0.0)
        total += gram.sum()
    return total / (len(x) * (len(x) - 1))


class KernelDistance(NamedTuple):
    """The distance, its standard error, and the standard deviation over subsets, which papers print after "±"."""

    mean: float
    standard_error: float
    subset_std: float
    subset_size: int


def kernel_distance(
    a: ArrayLike, b: ArrayLike, *, subsets: int = 100, subset_size: int = 1000, seed: int = 0
) -> KernelDistance:
    """Compute the kernel distance (KID): unbiased MMD² with the kernel (x·y/d + 1)³, averaged over random subsets.

    Subsets of one set overlap, so the standard deviation over √subsets would be too small an error. The standard error
    here is that of the delete-d jackknife (Shao & Wu 1989). It is fair if the distance is well above zero, and too
    large near zero. It needs subsets of at most half the smaller set: larger ones are cut to that.

    Args:
        a: features (n, d), n >= 4.
        b: features (m, d), m >= 4.
        subsets: number of random subsets, at least 2.
        subset_size: number of samples in a subset, at least 2.
        seed: seed of the subsets.

    Returns:
        The distance, its standard error, and the spread and size of the subsets.

    Warns:
        UserWarning: if subset_size is more than half the smaller set.

    Raises:
        ValueError: if features are not finite, differ in dimension or are fewer than 4, or subsets or subset_size is
            below 2.

    Reference:
        Bińkowski et al. 2018, arXiv:1801.01401.
    """
    a, b = check_pair(("a", "b"), a, b)
    n = min(len(a), len(b))
    if n < 4 or subsets < 2 or subset_size < 2:
        raise ValueError(
            "kernel_distance needs at least 4 samples of each set and 2 subsets of size 2 or more, "
            f"got {n} samples, subsets={subsets}, subset_size={subset_size}"
        )
    if subset_size > n // 2:
        warnings.warn(f"kernel_distance of {n} samples uses subsets of {n // 2}, not {subset_size}", stacklevel=2)
        subset_size = n // 2
    rng = np.random.default_rng(seed)
    draws = [
        mmd_squared(*(z[rng.choice(len(z), subset_size, replace=False)] for z in (a, b)), polynomial_kernel)
        for _ in range(subsets)
    ]
    std = float(np.std(draws, ddof=1))
    # The sampling error of the sets, plus the error of averaging finitely many subsets.
    error = std * np.sqrt(subset_size / (n - subset_size) + 1 / subsets)
    return KernelDistance(float(np.mean(draws)), float(error), std, subset_size)
