"""The law of infinitely many chains: what Langevin dynamics with exact scores does to mode weights, without chance."""

from collections.abc import Sequence

import numpy as np

from experiments.toy_sampling import exact_field
from jaxgen.distributions import GaussianMixture


def expected_shares(
    mixture: GaussianMixture, levels: Sequence[tuple[float, float]], steps: int, half: float, cell: float = 0.125
) -> np.ndarray:
    """Shares at the first mode, (levels + 1,), at the start and after `steps` Langevin steps at each (σ, ε).

    Of the seminar's mixture, w N(c, I) + (1 − w) N(−c, I) with c on the diagonal: along it the score depends on the
    place along it alone, so a density on a line, carried on by the step's transition matrix, is all there is to know.
    Starts are uniform on [−half, half]². `cell`, of the line's grid, should not exceed √ε.
    """
    span = half * np.sqrt(2) + 5 + 5 * max(sigma for sigma, _ in levels)
    u = cell * np.arange(-np.ceil(span / cell), np.ceil(span / cell) + 1)
    p = np.maximum(half * np.sqrt(2) - np.abs(u), 0)
    shares = [_first(u, p)]
    for sigma, epsilon in levels:
        # wider than this no level leaves what the next one begins with
        p, u = p[np.abs(u) <= span], u[np.abs(u) <= span]
        span = 12 + 5 * sigma
        drift = exact_field(mixture, np.stack([u, u], -1) / np.sqrt(2), sigma).sum(-1) / np.sqrt(2)
        moves = np.exp(-((u[:, None] - u - epsilon / 2 * drift) ** 2) / (2 * epsilon))
        moves /= moves.sum(0)
        for _ in range(steps):
            p = moves @ p
        shares.append(_first(u, p))
    return np.array(shares)


def _first(u: np.ndarray, p: np.ndarray) -> float:
    return float((p[u > 0].sum() + p[u == 0].sum() / 2) / p.sum())
