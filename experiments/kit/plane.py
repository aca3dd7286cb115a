"""The points of the plane at which fields are evaluated."""

import numpy as np


def lattice(limits: tuple[float, float], n: int) -> np.ndarray:
    """Return the centres of n × n equal cells of the square limits × limits, row by row from below.

    Args:
        limits: (low, high) of both axes.
        n: number of cells along an axis, at least 1.

    Returns:
        The centres (x, y), shape (n, n, 2).

    Raises:
        ValueError: unless n >= 1 and the limits ascend.
    """
    low, high = limits
    if n < 1 or not low < high:
        raise ValueError(f"a lattice needs n >= 1 and ascending limits, got n={n} and {limits}")
    axis = low + (high - low) * (np.arange(n) + 0.5) / n
    return np.stack(np.meshgrid(axis, axis), -1)
