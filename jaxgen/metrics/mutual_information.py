"""Mutual information between binned codes and factors, as Locatello et al. 2019 (arXiv:1811.12359) count it."""

import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Float64, Int64

from jaxgen.metrics.factors import as_codes, as_factors


def mutual_information(codes: ArrayLike, factors: ArrayLike, bins: int = 20) -> Float64[np.ndarray, "d k"]:
    """Returns the plug-in estimate of I(z_i; v_j) in nats of codes (n, d), binned, and factors (n, k), integers.

    A latent's bins are equally wide, from its lowest to its highest code. Independent codes come out at about
    (bins − 1)(classes − 1)/2n, not 0, since the estimate is biased upwards.

    Raises ValueError for codes that are not finite or of fewer than two latents, for factors that are not integers,
    constant or not as many, and unless bins >= 2.
    """
    codes = as_codes(codes)
    return information_of_classes(binned(codes, bins), as_factors(factors, len(codes)))


def binned(codes: Float64[np.ndarray, "n d"], bins: int) -> Int64[np.ndarray, "n d"]:
    """Returns the bin, 0…bins−1, of each latent's codes; raises ValueError unless bins >= 2."""
    if bins < 2:
        raise ValueError(f"bins must be at least 2, got {bins}")
    edges = np.linspace(codes.min(0), codes.max(0), bins + 1)[1:-1]
    inside = [np.searchsorted(edge, column, side="right") for edge, column in zip(edges.T, codes.T, strict=True)]
    return np.stack(inside, 1).astype(np.int64)


def information_of_classes(
    codes: Int64[np.ndarray, "n d"], factors: Int64[np.ndarray, "n k"]
) -> Float64[np.ndarray, "d k"]:
    """Returns the mutual information in nats of each pair of columns, as they occur; their classes count from 0."""
    return np.array([[_information(code, factor) for factor in factors.T] for code in codes.T])


def _information(a: Int64[np.ndarray, " n"], b: Int64[np.ndarray, " n"]) -> float:
    shape = a.max() + 1, b.max() + 1
    joint = np.bincount(np.ravel_multi_index((a, b), shape), minlength=shape[0] * shape[1]).reshape(shape) / len(a)
    independent = joint.sum(1, keepdims=True) * joint.sum(0)
    occurs = joint > 0
    return float(np.sum(joint[occurs] * np.log(joint[occurs] / independent[occurs])))
