"""Fidelity and diversity from nearest neighbours.

Precision, recall: Kynkäänniemi et al. 2019, arXiv:1904.06991. Density, coverage: Naeem et al. 2020, arXiv:2002.09797.
"""

from typing import NamedTuple

import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Float64

from jaxgen.metrics.distances import row_blocks, squared_distances
from jaxgen.metrics.features import as_features, same_dimension


class PrecisionRecall(NamedTuple):
    """Precision, recall and coverage in [0, 1]; density from 0 up, with mean 1 for samples of the real distribution."""

    precision: float
    recall: float
    density: float
    coverage: float


def precision_recall(real: ArrayLike, generated: ArrayLike, k: int = 3) -> PrecisionRecall:
    """Compares features (n, d) of real and (m, d) of generated images through balls that reach to the k-th neighbour.

    Precision is the share of generated samples inside a ball around a real one; recall is the same with the roles
    swapped. Density is the mean number of real balls around a generated sample, over k; coverage is the share of real
    balls that hold a generated sample. All four depend on n, m and k: compare runs that share them.

    Raises ValueError for features that are not finite or of different dimension, or unless 1 <= k < min(n, m).
    """
    real, generated = as_features("real", real), as_features("generated", generated)
    same_dimension(real.shape[1], generated.shape[1])
    if not 1 <= k < min(len(real), len(generated)):
        raise ValueError(f"k must be from 1 to one less than the samples ({min(len(real), len(generated))}), got {k}")
    # Copies of one point are at distance 0 up to round-off; this slack keeps them inside each other's balls.
    slack = 1e-12 * np.square(np.concatenate([real, generated]) - real.mean(0)).sum(1).max()
    real_reach = _squared_reach(real, k) + slack
    generated_reach = _squared_reach(generated, k) + slack

    balls_around = np.zeros(len(generated), np.int64)  # real balls that hold each generated sample
    recalled = covered = 0
    for rows in row_blocks(len(real), len(generated)):
        d2 = squared_distances(real[rows], generated)
        in_real_ball = d2 <= real_reach[rows, None]
        balls_around += in_real_ball.sum(0)
        covered += in_real_ball.any(1).sum()
        recalled += (d2 <= generated_reach).any(1).sum()
    return PrecisionRecall(
        precision=float(np.mean(balls_around > 0)),
        recall=float(recalled / len(real)),
        density=float(np.mean(balls_around) / k),
        coverage=float(covered / len(real)),
    )


def _squared_reach(x: Float64[np.ndarray, "n d"], k: int) -> Float64[np.ndarray, " n"]:
    """Returns each point's squared distance to its k-th nearest neighbour."""
    reach = np.empty(len(x))
    for rows in row_blocks(len(x), len(x)):
        d2 = squared_distances(x[rows], x)
        np.fill_diagonal(d2[:, rows], np.inf)
        reach[rows] = np.partition(d2, k - 1, axis=1)[:, k - 1]
    return reach
