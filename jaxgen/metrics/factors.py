"""Checks and statistics of latent codes and factors of variation that the disentanglement metrics share."""

import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Float64, Int64

from jaxgen.metrics.features import check_features


def check_codes(codes: ArrayLike, factors: ArrayLike) -> tuple[Float64[np.ndarray, "n d"], Int64[np.ndarray, "n k"]]:
    """Return codes as float64 and factors as class indices.

    Raises:
        ValueError: unless codes are finite and of shape (n, d), n >= 2, d >= 2; or as `class_indices` does.
    """
    codes = check_features("codes", codes)
    if codes.shape[1] < 2:
        raise ValueError("one latent has no second to compare with: codes must be of shape (n, d) with d >= 2")
    return codes, class_indices(factors, len(codes))


def class_indices(factors: ArrayLike, n: int) -> Int64[np.ndarray, "n k"]:
    """Number the classes of each factor 0, 1, … in their order.

    Raises:
        ValueError: unless factors are integers of shape (n, k) and each column has two classes or more.
    """
    array = np.asarray(factors)
    if array.ndim != 2 or len(array) != n or array.shape[1] == 0:
        raise ValueError(f"factors must be of shape ({n}, k), a row of classes for each code, got {array.shape}")
    if not np.issubdtype(array.dtype, np.integer):
        raise ValueError(f"factors must be integers, the class of each factor, got {array.dtype}")
    if constant := np.flatnonzero((array == array[0]).all(0)).tolist():
        raise ValueError(
            f"the factors in columns {constant} have one class each, so nothing can be known about them: leave them "
            f"out, as by factors[:, {np.setdiff1d(np.arange(array.shape[1]), constant).tolist()}]"
        )
    return np.stack([np.unique(column, return_inverse=True)[1].reshape(-1) for column in array.T], 1).astype(np.int64)


def entropies(classes: Int64[np.ndarray, "n k"]) -> Float64[np.ndarray, " k"]:
    """Compute the empirical entropy of each factor in nats."""
    shares = [np.bincount(column) / len(column) for column in classes.T]
    return np.array([-np.sum(share * np.log(share)) for share in shares])


def top_two_gaps(scores: Float64[np.ndarray, "d k"]) -> Float64[np.ndarray, " k"]:
    """Subtract the second highest score from the highest, for each factor."""
    ordered = np.sort(scores, axis=0)
    return ordered[-1] - ordered[-2]


def train_test_split(n: int, seed: int) -> tuple[Int64[np.ndarray, " train"], Int64[np.ndarray, " test"]]:
    """Split n rows at random into two thirds for training and one third for testing."""
    order = np.random.default_rng(seed).permutation(n)
    return order[n // 3 :], order[: n // 3]
