"""Fréchet distance between the Gaussian fits of two feature sets (FID)."""

import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Float64

from jaxgen.core import write_atomically
from jaxgen.metrics.features import check_features, check_same_dimension


@dataclass(frozen=True, eq=False)
class FrechetStatistics:
    """The mean (d,) and the covariance (d, d), with divisor n − 1, of n feature vectors.

    Raises:
        ValueError: if the shapes do not match, values are not finite, or n < 2.
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


def frechet_statistics(features: ArrayLike) -> FrechetStatistics:
    """Compute the float64 mean and unbiased covariance of features.

    Args:
        features: shape (n, d), n >= 2.

    Returns:
        The mean (d,), the covariance (d, d) and n.

    Raises:
        ValueError: unless the features are finite and of shape (n, d), n >= 2.
    """
    features = check_features("features", features)
    mean = features.mean(0)
    centred = features - mean
    return FrechetStatistics(mean, centred.T @ centred / (len(features) - 1), len(features))


def merge_statistics(a: FrechetStatistics, b: FrechetStatistics) -> FrechetStatistics:
    """Combine the statistics of two sets into those of their union, so that a stream needs one chunk in memory.

    Args:
        a: the statistics of one set, in d dimensions.
        b: those of the other, in as many.

    Returns:
        The statistics of all a.n + b.n feature vectors.

    Raises:
        ValueError: if the dimensions differ.

    Reference:
        Chan et al. 1979, "Updating formulae and a pairwise algorithm for computing sample variances".
    """
    check_same_dimension(len(a.mean), len(b.mean))
    n, shift = a.n + b.n, b.mean - a.mean
    scatter = (a.n - 1) * a.cov + (b.n - 1) * b.cov + np.outer(shift, shift) * (a.n * b.n / n)
    return FrechetStatistics(a.mean + shift * (b.n / n), scatter / (n - 1), n)


def write_frechet_statistics(path: Path | str, statistics: FrechetStatistics) -> None:
    """Write statistics to an .npz with the arrays mu, sigma and n, which other programs for the FID read too.

    Args:
        path: the file.
        statistics: the statistics, for instance of a data set that many models are compared with.
    """
    arrays = {"mu": statistics.mean, "sigma": statistics.cov, "n": np.int64(statistics.n)}
    write_atomically(Path(path), lambda file: np.savez(file, **arrays))


def read_frechet_statistics(path: Path | str, n: int | None = None) -> FrechetStatistics:
    """Read precomputed statistics from an .npz with mu and sigma, such as those that accompany papers.

    Args:
        path: the file.
        n: number of samples behind the statistics, for files that do not hold it: those of pytorch-fid and of the
            original FID.

    Returns:
        The statistics.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if the file has no mu and sigma or cannot be read without running what is in it, they do not match,
            or n is neither given nor in the file.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            found = {name: np.asarray(archive[name]) for name in ("mu", "sigma", "n") if name in archive.files}
    except (OSError, ValueError) as error:
        if isinstance(error, FileNotFoundError):
            raise
        raise ValueError(f"{path} is no .npz of plain arrays ({error})") from error
    if not {"mu", "sigma"} <= set(found):
        raise ValueError(f"{path} has no arrays mu and sigma")
    if n is None and "n" not in found:
        raise ValueError(f"{path} does not say how many samples it comes from: pass n=, such as 50_000")
    mean, cov = (found[name].astype(np.float64) for name in ("mu", "sigma"))
    return FrechetStatistics(mean, cov, int(found["n"]) if n is None else n)


def frechet_distance(a: ArrayLike | FrechetStatistics, b: ArrayLike | FrechetStatistics) -> float:
    """Compute ‖μ₁ − μ₂‖² + Tr(Σ₁ + Σ₂ − 2(Σ₁^½ Σ₂ Σ₁^½)^½).

    The estimate from samples is biased upwards by O(1/n): compare sets of one size. Equal covariances give ‖μ₁ − μ₂‖²
    exactly.

    Args:
        a: features (n, d), or their `FrechetStatistics`.
        b: features (m, d), or their `FrechetStatistics`.

    Returns:
        The distance, at least 0.

    Warns:
        UserWarning: if a set has no more samples than dimensions, because its covariance is then singular.

    Raises:
        ValueError: if features are not finite, differ in dimension, or are fewer than 2.

    Reference:
        Heusel et al. 2017, arXiv:1706.08500, eq. 6.
    """
    a = a if isinstance(a, FrechetStatistics) else frechet_statistics(a)
    b = b if isinstance(b, FrechetStatistics) else frechet_statistics(b)
    check_same_dimension(len(a.mean), len(b.mean))
    if min(a.n, b.n) <= len(a.mean):
        warnings.warn(
            f"Fréchet distance of {len(a.mean)}-dimensional features from {min(a.n, b.n)} samples: fewer than the "
            "covariance needs, so the value is badly biased; use more samples or fewer features",
            stacklevel=2,
        )
    distance = float(np.sum((a.mean - b.mean) ** 2))
    if np.array_equal(a.cov, b.cov):
        return distance
    # Tr(Σ₁^½ Σ₂ Σ₁^½)^½ is the nuclear norm of F₁ᵀF₂ for any factors FFᵀ = Σ. A square root of small eigenvalues would
    # turn round-off of 1e-16 into 1e-8.
    cross = np.linalg.svd(_factor(a.cov).T @ _factor(b.cov), compute_uv=False).sum()
    return distance + max(float(np.trace(a.cov) + np.trace(b.cov) - 2 * cross), 0.0)


def _factor(cov: Float64[np.ndarray, "d d"]) -> Float64[np.ndarray, "d r"]:
    """Factorise cov = FFᵀ by its eigenvalues; r is the numerical rank."""
    values, vectors = np.linalg.eigh(cov)
    kept = values > len(values) * np.finfo(np.float64).eps * values[-1]
    return vectors[:, kept] * np.sqrt(values[kept])
