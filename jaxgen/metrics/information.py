"""Mutual information of binned latent codes and factors, and the metrics built on it."""

from typing import NamedTuple

import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Float64, Int64

from jaxgen.core import check_at_least
from jaxgen.metrics.factors import check_codes, class_indices, entropies, top_two_gaps


def mutual_information(codes: ArrayLike, factors: ArrayLike, bins: int = 20) -> Float64[np.ndarray, "d k"]:
    """Estimate I(z_i; v_j) in nats between each binned latent and each factor.

    This is the plug-in estimate. It is biased upwards: independent codes get about (bins − 1)(classes − 1)/2n, not 0.

    Args:
        codes: latent codes, shape (n, d), d >= 2.
        factors: integer classes, shape (n, k).
        bins: number of bins of equal width from the lowest to the highest code of a latent, at least 2.

    Returns:
        The mutual information, shape (d, k).

    Raises:
        ValueError: if codes are not finite or of one latent, factors are not integers, are constant or not n rows, or
            bins < 2.

    Reference:
        Locatello et al. 2019, arXiv:1811.12359.
    """
    codes, classes = check_codes(codes, factors)
    check_at_least(2, bins=bins)
    edges = np.linspace(codes.min(0), codes.max(0), bins + 1)[1:-1]
    binned = [np.searchsorted(edge, column, side="right") for edge, column in zip(edges.T, codes.T, strict=True)]
    return np.array([[_discrete_information(code, factor) for factor in classes.T] for code in binned])


class BinnedMIG(NamedTuple):
    """The score in [0, 1], the gap of each factor (k,), and the mutual information (d, k) in nats."""

    score: float
    per_factor: np.ndarray
    mutual_information: np.ndarray


def binned_mig(codes: ArrayLike, factors: ArrayLike, bins: int = 20) -> BinnedMIG:
    """Compute the mutual information gap (MIG) of binned codes.

    It is the mean over factors v_j of (I(z_a; v_j) − I(z_b; v_j)) / H(v_j), where a and b are the two latents with the
    most `mutual_information` about v_j. A perfect code scores below 1 if a factor has more classes than there are bins.
    Scores do not compare with `posterior_mig`, which uses another definition.

    Args:
        codes: latent codes, usually the means of q(z|x), shape (n, d), d >= 2. The literature uses n = 10,000.
        factors: integer classes, shape (n, k), without constant factors.
        bins: number of bins per latent, at least 2.

    Returns:
        The score, the gaps and the information, as `BinnedMIG`.

    Raises:
        ValueError: as `mutual_information` does.

    Reference:
        Locatello et al. 2019, arXiv:1811.12359.
    """
    information = mutual_information(codes, factors, bins)
    per_factor = top_two_gaps(information) / entropies(class_indices(factors, len(codes)))
    return BinnedMIG(float(per_factor.mean()), per_factor, information)


def modularity(codes: ArrayLike, factors: ArrayLike, bins: int = 20) -> float:
    """Measure whether each latent has information about only one factor, in [0, 1].

    It is the mean over latents of 1 − Σ_{j≠a} I(z_i; v_j)² / ((k − 1) I(z_i; v_a)²), where v_a is the factor with the
    most `mutual_information`. A latent without any information counts as 0, as in Locatello et al. 2019. Several
    latents may share one factor.

    Args:
        codes: latent codes, shape (n, d), d >= 2.
        factors: integer classes, shape (n, k), k >= 2.
        bins: number of bins per latent, at least 2.

    Returns:
        The modularity, in [0, 1].

    Raises:
        ValueError: if there are fewer than two factors; and as `mutual_information` does.

    Reference:
        Ridgeway & Mozer 2018, arXiv:1802.05312.
    """
    squared = mutual_information(codes, factors, bins) ** 2
    if squared.shape[1] < 2:
        raise ValueError("modularity compares factors: pass two or more")
    most = squared.max(1)
    others = squared.sum(1) - most
    deviation = np.divide(others, (squared.shape[1] - 1) * most, out=np.ones_like(most), where=most > 0)
    return float(np.mean(1 - deviation))


def _discrete_information(a: Int64[np.ndarray, " n"], b: Int64[np.ndarray, " n"]) -> float:
    shape = a.max() + 1, b.max() + 1
    joint = np.bincount(np.ravel_multi_index((a, b), shape), minlength=shape[0] * shape[1]).reshape(shape) / len(a)
    independent = joint.sum(1, keepdims=True) * joint.sum(0)
    occurs = joint > 0
    return float(np.sum(joint[occurs] * np.log(joint[occurs] / independent[occurs])))
