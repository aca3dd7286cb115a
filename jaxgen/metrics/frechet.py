"""Fréchet distance between the Gaussian fits of two feature sets, FID (Heusel et al. 2017, arXiv:1706.08500, eq. 6)."""

import warnings
from dataclasses import dataclass

import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Float64

from jaxgen.metrics.features import as_features, same_dimension


@dataclass(frozen=True, eq=False)
class Statistics:
    """Mean (d,) and covariance (d, d), with divisor n-1, of n feature vectors.

    Raises ValueError for shapes that do not match, values that are not finite, or n < 2.
    """

    mean: np.ndarray
    cov: np.ndarray
    n: int

    def __post_init__(self):
        if self.mean.ndim != 1 or self.cov.shape != self.mean.shape * 2:
            raise ValueError(f"expected mean (d,) and covariance (d, d), got {self.mean.shape} and {self.cov.shape}")
        if not (np.isfinite(self.mean).all() and np.isfinite(self.cov).all()):
            raise ValueError("the mean or the covariance has NaN or infinity")
        if self.n < 2:
            raise ValueError(f"a covariance needs at least 2 samples, got n={self.n}")


def statistics(features: ArrayLike) -> Statistics:
    """Returns the float64 mean and unbiased covariance of features (n, d).

    Raises ValueError unless the features are finite, of shape (n, d), with n >= 2.
    """
    features = as_features("features", features)
    mean = features.mean(0)
    centred = features - mean
    return Statistics(mean, centred.T @ centred / (len(features) - 1), len(features))


def merge(a: Statistics, b: Statistics) -> Statistics:
    """Returns the statistics of both sets together, so that a stream needs one chunk in memory (Chan et al. 1979).

    Raises ValueError for sets of different dimension.
    """
    same_dimension(len(a.mean), len(b.mean))
    n, shift = a.n + b.n, b.mean - a.mean
    scatter = (a.n - 1) * a.cov + (b.n - 1) * b.cov + np.outer(shift, shift) * (a.n * b.n / n)
    return Statistics(a.mean + shift * (b.n / n), scatter / (n - 1), n)


def frechet_distance(a: ArrayLike | Statistics, b: ArrayLike | Statistics) -> float:
    """Returns ‖μ₁−μ₂‖² + Tr(Σ₁ + Σ₂ − 2(Σ₁^½ Σ₂ Σ₁^½)^½) between two sets of features (n, d), or their statistics.

    Equal covariances give ‖μ₁−μ₂‖² exactly. The estimate is biased upwards by O(1/n), so compare sets of one size.
    Warns when a set has no more samples than dimensions: its covariance is then singular.

    Raises ValueError for features that are not finite, of different dimension, or fewer than 2.
    """
    a = a if isinstance(a, Statistics) else statistics(a)
    b = b if isinstance(b, Statistics) else statistics(b)
    same_dimension(len(a.mean), len(b.mean))
    if min(a.n, b.n) <= len(a.mean):
        warnings.warn(
            f"Fréchet distance of {len(a.mean)}-dimensional features from {min(a.n, b.n)} samples: fewer than the "
            "covariance needs, so the value is badly biased; use more samples or fewer features",
            stacklevel=2,
        )
    distance = float(np.sum((a.mean - b.mean) ** 2))
    if np.array_equal(a.cov, b.cov):
        return distance
    # Tr(Σ₁^½ Σ₂ Σ₁^½)^½ is the nuclear norm of F₁ᵀF₂ for any factors FFᵀ = Σ. Taken so, no small eigenvalue is squared
    # and rooted again, which would turn round-off of 1e-16 into 1e-8.
    cross = np.linalg.svd(_factor(a.cov).T @ _factor(b.cov), compute_uv=False).sum()
    return distance + max(float(np.trace(a.cov) + np.trace(b.cov) - 2 * cross), 0.0)


def _factor(cov: Float64[np.ndarray, "d d"]) -> Float64[np.ndarray, "d r"]:
    """Returns F with FFᵀ = cov, through symmetric eigenvalues; r is the numerical rank."""
    values, vectors = np.linalg.eigh(cov)
    kept = values > len(values) * np.finfo(np.float64).eps * values[-1]
    return vectors[:, kept] * np.sqrt(values[kept])
