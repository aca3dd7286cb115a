"""The law of Langevin chains with exact scores: the weights of modes that infinitely many chains end with."""

from collections.abc import Sequence

import numpy as np

from experiments.kit.toy_sampling import exact_field
from jaxgen.distributions import GaussianMixture


def expected_shares(
    mixture: GaussianMixture, levels: Sequence[tuple[float, float]], steps: int, half: float, cell: float = 0.125
) -> np.ndarray:
    """Shares of chains at the first mode, at the start and after `steps` Langevin steps at each level.

    The mixture is w N(c, I) + (1 − w) N(−c, I) with c on the diagonal. The component of the score along the diagonal
    depends on the position along it alone. So the density on that line is enough, and each step multiplies it by a
    transition matrix.

    Args:
        mixture: the mixture.
        levels: (σ, ε) of each level, the noise and the step size.
        steps: Langevin steps at each level.
        half: chains start uniformly on [−half, half]².
        cell: spacing of the grid on the line, at most √ε.

    Returns:
        The shares (levels + 1,).
    """
    span = half * np.sqrt(2) + 5 + 5 * max(sigma for sigma, _ in levels)
    u = cell * np.arange(-np.ceil(span / cell), np.ceil(span / cell) + 1)
    p = np.maximum(half * np.sqrt(2) - np.abs(u), 0)
    shares = [_first(u, p)]
    for sigma, epsilon in levels:
        # no level leaves anything outside the span that the next one begins with
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
