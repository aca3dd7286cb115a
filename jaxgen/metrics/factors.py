"""Codes and the factors of variation behind them: what every measure of disentanglement compares."""

import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Float64, Int64

from jaxgen.metrics.features import as_features


def as_codes(codes: ArrayLike) -> Float64[np.ndarray, "n d"]:
    """Returns codes as float64; raises ValueError unless they are finite, of shape (n, d), with n >= 2, d >= 2."""
    codes = as_features("codes", codes)
    if codes.shape[1] < 2:
        raise ValueError("one latent has no second to compare with: codes must be of shape (n, d) with d >= 2")
    return codes


def as_factors(factors: ArrayLike, n: int) -> Int64[np.ndarray, "n k"]:
    """Returns each factor's classes numbered 0, 1, … in their order.

    Raises ValueError unless they are integers of shape (n, k), each column of two classes or more.
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
    """Returns the entropy in nats of each factor as it occurs: of balanced ones, the log of their number of classes."""
    shares = [np.bincount(column) / len(column) for column in classes.T]
    return np.array([-np.sum(share * np.log(share)) for share in shares])


def gaps(scores: Float64[np.ndarray, "d k"]) -> Float64[np.ndarray, " k"]:
    """Returns by how much the latent of the highest score leads the second, for each factor."""
    ordered = np.sort(scores, axis=0)
    return ordered[-1] - ordered[-2]


def train_and_test(n: int, seed: int) -> tuple[Int64[np.ndarray, " train"], Int64[np.ndarray, " test"]]:
    """Returns a random two thirds of n rows, and the other third."""
    order = np.random.default_rng(seed).permutation(n)
    return order[n // 3 :], order[: n // 3]
