"""Kernel (Inception) distance, KID: MMD² with a cubic kernel (Bińkowski et al. 2018, arXiv:1801.01401)."""

import warnings
from typing import NamedTuple

import numpy as np
from jax.typing import ArrayLike

from jaxgen.metrics.features import as_features, same_dimension
from jaxgen.metrics.mmd import mmd_squared, polynomial_kernel


class KernelDistance(NamedTuple):
    """The distance, its standard error, and the spread over subsets that papers print after "±"."""

    mean: float
    standard_error: float
    subset_std: float
    subset_size: int


def kernel_distance(
    a: ArrayLike, b: ArrayLike, *, subsets: int = 100, subset_size: int = 1000, seed: int = 0
) -> KernelDistance:
    """Returns the unbiased MMD² with kernel (x·y/d + 1)³ of features (n, d) and (m, d), averaged over random subsets.

    Subsets of one set overlap, so their spread over √subsets would claim too much: the standard error is the delete-d
    jackknife's (Shao & Wu 1989), fair when the distance is well above zero and too large when it is near it.
    It needs subsets of at most half the smaller set: larger ones are cut to that, with a warning, at no bias.

    Raises ValueError for features that are not finite, of different dimension or fewer than 4, or fewer than 2 subsets.
    """
    a, b = as_features("a", a), as_features("b", b)
    same_dimension(a.shape[1], b.shape[1])
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
        mmd_squared(
            a[rng.choice(len(a), subset_size, replace=False)],
            b[rng.choice(len(b), subset_size, replace=False)],
            polynomial_kernel,
        )
        for _ in range(subsets)
    ]
    std = float(np.std(draws, ddof=1))
    # The pools' own sampling error, then the error of averaging finitely many subsets.
    error = std * np.sqrt(subset_size / (n - subset_size) + 1 / subsets)
    return KernelDistance(float(np.mean(draws)), float(error), std, subset_size)
