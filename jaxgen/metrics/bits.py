"""Likelihoods as bits per dimension, on one footing whatever model and density they come from, and their errors."""

import math
from typing import NamedTuple

import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Float, Float64


class Estimate(NamedTuple):
    """A mean and its standard error."""

    mean: float
    error: float


def estimate(values: Float[ArrayLike, " n"]) -> Estimate:
    """The mean of independent values (n,) and its standard error, std/√n; of differences, for a paired comparison.

    Raises ValueError for fewer than two values.
    """
    values = np.asarray(values, np.float64)
    if values.ndim != 1 or len(values) < 2:
        raise ValueError(f"a standard error takes two or more values of shape (n,), got {values.shape}")
    return Estimate(float(values.mean()), float(values.std(ddof=1) / math.sqrt(len(values))))


def bits_per_dim(
    log_likelihood: Float[ArrayLike, "..."], dims: int, offset: float | int = 0
) -> Float64[np.ndarray, "..."]:
    """−log₂ p / dims + offset, of log p in nats, with offset in bits.

    The offset is 0 for a probability of integers, such as a bound with a discretised decoder, and for a density of data
    as they are; for a density of dequantised integers it is `dequantisation_offset`, which makes it a bound on the same
    bits. Raises ValueError unless dims ≥ 1.
    """
    if dims < 1:
        raise ValueError(f"need dims >= 1, got {dims}: the number of values in one example")
    return -np.asarray(log_likelihood, np.float64) / (dims * math.log(2)) + offset


def dequantisation_offset(levels: int = 256, low: float = -1.0, high: float = 1.0) -> float:
    """log₂(levels / (high − low)), the bits by which a level is finer than a unit: 8 on [0, 1], 7 on [−1, 1].

    With it, bits per dimension bound those of the integers from above (Theis et al. 2016, eq. 4) and do not depend on
    the scaling. Raises ValueError unless levels ≥ 2 and low < high.
    """
    if levels < 2 or not low < high:
        raise ValueError(f"need levels >= 2 and low < high, got {levels}, {low} and {high}")
    return math.log2(levels / (high - low))
