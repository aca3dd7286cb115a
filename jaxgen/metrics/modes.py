"""Coverage of the modes of a known mixture of round Gaussians."""

from typing import NamedTuple

import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Float, Int64

from jaxgen.core import check_at_least, check_positive
from jaxgen.metrics.distances import row_blocks, squared_distances
from jaxgen.metrics.features import check_features, check_same_dimension


class ModeCoverage(NamedTuple):
    """How samples lie about the modes of a mixture.

    Attributes:
        modes: number of modes found.
        good_share: share of good samples.
        kl: KL divergence in nats of the histogram of nearest modes from the mixture's weights. It is biased upwards by
            about (K − 1)/2n for n samples.
        counts: samples nearest to each mode, (K,).
        good_counts: good samples of each mode, (K,).
    """

    modes: int
    good_share: float
    kl: float
    counts: Int64[np.ndarray, " k"]
    good_counts: Int64[np.ndarray, " k"]


def mode_coverage(
    samples: Float[ArrayLike, "n d"],
    centres: Float[ArrayLike, "k d"],
    std: ArrayLike,
    *,
    weights: ArrayLike | None = None,
    within: float | int = 3.0,
    min_samples: int = 1,
) -> ModeCoverage:
    """Count the modes of a mixture Σ_k w_k N(μ_k, σ_k² I) that samples find, and the samples that are good.

    A sample belongs to the mode with the nearest centre. It is good if it lies within `within` standard deviations of
    it. In the plane a share of 1 − exp(−within²/2) of a Gaussian's own draws is good.

    Args:
        samples: samples (n, d).
        centres: centres μ (K, d) of the modes.
        std: standard deviations σ > 0, () or (K,).
        weights: weights (K,) of the modes, positive, of sum 1. Equal by default.
        within: radius of a mode in standard deviations, positive.
        min_samples: number of good samples, at least 1, with which a mode counts as found.

    Returns:
        The number of modes found, the share of good samples, the KL divergence of the histogram, and the counts.

    Raises:
        ValueError: if samples or centres are not finite, (n, d) and (K, d), with n and K ≥ 2; if std or weights do not
            fit or are out of range; or if `within` or `min_samples` is.

    Reference:
        Srivastava et al. 2017, "VEEGAN: reducing mode collapse in GANs using implicit variational learning", §5; Metz
        et al. 2017, "Unrolled generative adversarial networks", §3.3 (the KL divergence of the histogram).
    """
    samples, centres = check_features("samples", samples), check_features("centres", centres)
    check_same_dimension(samples.shape[1], centres.shape[1])
    check_positive(std=std, within=within)
    check_at_least(1, min_samples=min_samples)
    modes = len(centres)
    if np.ndim(std) and np.shape(std) != (modes,):
        raise ValueError(f"std must be one number or {modes}, got shape {np.shape(std)}")
    weights = np.full(modes, 1 / modes) if weights is None else np.asarray(weights, np.float64)
    if weights.shape != (modes,) or not np.all(weights > 0) or abs(weights.sum() - 1) > 1e-6:
        raise ValueError(f"weights must be {modes} positive numbers of sum 1, got {weights}")
    radius = np.broadcast_to(within * np.asarray(std, np.float64), modes)

    nearest, squared = [], []
    for rows in row_blocks(len(samples), modes):
        distances = squared_distances(samples[rows], centres)
        nearest.append(distances.argmin(1))
        squared.append(distances.min(1))
    nearest, squared = np.concatenate(nearest), np.concatenate(squared)
    good = squared <= radius[nearest] ** 2
    counts, good_counts = (np.bincount(which, minlength=modes) for which in (nearest, nearest[good]))
    occurs, share = counts > 0, counts / len(samples)
    kl = np.sum(share[occurs] * np.log(share[occurs] / weights[occurs]))
    return ModeCoverage(int((good_counts >= min_samples).sum()), float(good.mean()), float(kl), counts, good_counts)
