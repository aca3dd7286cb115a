"""Precision, recall, density and coverage from nearest neighbours."""

from typing import NamedTuple

import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Float64

from jaxgen.metrics.distances import row_blocks, squared_distances
from jaxgen.metrics.features import check_pair


class PrecisionRecall(NamedTuple):
    """Precision, recall and coverage in [0, 1]; density >= 0, with mean 1 for samples of the real distribution."""

    precision: float
    recall: float
    density: float
    coverage: float


def precision_recall(real: ArrayLike, generated: ArrayLike, k: int = 3) -> PrecisionRecall:
    """Compare features of real and generated images by balls around each, up to its k-th nearest neighbour.

    Precision is the share of generated samples inside a ball around a real one. Recall is the share of real samples
    inside a ball around a generated one. Density is the mean number of real balls around a generated sample, divided by
    k. Coverage is the share of real balls that hold a generated sample. All four depend on n, m and k: compare only
    runs that share them.

    Args:
        real: features (n, d).
        generated: features (m, d).
        k: which neighbour sets the radius, 1 <= k < min(n, m).

    Returns:
        The four measures, as `PrecisionRecall`.

    Raises:
        ValueError: if features are not finite or differ in dimension, or k is out of range.

    Reference:
        Precision and recall: Kynkäänniemi et al. 2019, arXiv:1904.06991. Density and coverage: Naeem et al. 2020,
        arXiv:2002.09797.
    """
    real, generated = check_pair(("real", "generated"), real, generated)
    if not 1 <= k < min(len(real), len(generated)):
        raise ValueError(f"k must be from 1 to one less than the samples ({min(len(real), len(generated))}), got {k}")
    # Copies of one point are at distance 0 up to round-off: the slack keeps them inside each other's balls.
    slack = 1e-12 * np.square(np.concatenate([real, generated]) - real.mean(0)).sum(1).max()
    real_radius = _squared_radii(real, k) + slack
    generated_radius = _squared_radii(generated, k) + slack

    balls_around = np.zeros(len(generated), np.int64)  # number of real balls around each generated sample
    recalled = covered = 0
    for rows in row_blocks(len(real), len(generated)):
        d2 = squared_distances(real[rows], generated)
        in_real_ball = d2 <= real_radius[rows, None]
        balls_around += in_real_ball.sum(0)
        covered += in_real_ball.any(1).sum()
        recalled += (d2 <= generated_radius).any(1).sum()
    return PrecisionRecall(
        precision=float(np.mean(balls_around > 0)),
        recall=float(recalled / len(real)),
        density=float(np.mean(balls_around) / k),
        coverage=float(covered / len(real)),
    )


def _squared_radii(x: Float64[np.ndarray, "n d"], k: int) -> Float64[np.ndarray, " n"]:
    """Compute each point's squared distance to its k-th nearest neighbour."""
    radii = np.empty(len(x))
    for rows in row_blocks(len(x), len(x)):
        d2 = squared_distances(x[rows], x)
        np.fill_diagonal(d2[:, rows], np.inf)
        radii[rows] = np.partition(d2, k - 1, axis=1)[:, k - 1]
    return radii
