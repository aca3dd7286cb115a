"""Squared distances between feature vectors, in blocks of bounded memory."""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float64

_BLOCK_ENTRIES = 2**22  # 32 MiB of float64


def squared_distances(x: Float64[np.ndarray, "n d"], y: Float64[np.ndarray, "m d"]) -> Float64[np.ndarray, "n m"]:
    """Compute ‖x_i − y_j‖² with one matrix product; the round-off is about 1e-16 of the largest value."""
    centre = y.mean(0)  # keeps the digits of points far from the origin
    x, y = x - centre, y - centre
    d2 = x @ y.T
    d2 *= -2
    d2 += np.sum(x * x, 1)[:, None]
    d2 += np.sum(y * y, 1)
    return np.maximum(d2, 0, out=d2)


def row_blocks(rows: int, columns: int) -> Iterator[slice]:
    """Yield slices that divide the rows of a float64 matrix into blocks of at most 32 MiB."""
    height = max(1, _BLOCK_ENTRIES // columns)
    for start in range(0, rows, height):
        yield slice(start, min(start + height, rows))
