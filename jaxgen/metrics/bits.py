"""Log-likelihoods as bits per dimension, and means with their standard errors."""

import math
from typing import NamedTuple

import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Float, Float64


class MeanAndError(NamedTuple):
    """A mean and its standard error."""

    mean: float
    error: float


def mean_and_error(values: Float[ArrayLike, " n"]) -> MeanAndError:
    """Compute the mean of independent values and its standard error, std/√n.

    For a paired comparison, pass the differences of the pairs.

    Args:
        values: independent values, shape (n,).

    Returns:
        The mean and its standard error, in the unit of the values.

    Raises:
        ValueError: if there are fewer than two values, or they are not of shape (n,).
    """
    values = np.asarray(values, np.float64)
    if values.ndim != 1 or len(values) < 2:
        raise ValueError(f"a standard error takes two or more values of shape (n,), got {values.shape}")
    return MeanAndError(float(values.mean()), float(values.std(ddof=1) / math.sqrt(len(values))))


def bits_per_dim(
    log_likelihood: Float[ArrayLike, "..."], dims: int, offset: float | int = 0
) -> Float64[np.ndarray, "..."]:
    """Convert log-likelihoods in nats to bits per dimension: −log₂ p / dims + offset.

    Args:
        log_likelihood: log p of each example in nats, any shape.
        dims: number of values in one example.
        offset: 0 for the probability of integers (a discretised decoder) or for a density of continuous data;
            `dequantisation_offset(...)` for a density of dequantised integers.

    Returns:
        Bits per dimension, float64, of the shape of `log_likelihood`.

    Raises:
        ValueError: unless dims >= 1.
    """
    if dims < 1:
        raise ValueError(f"need dims >= 1, got {dims}: the number of values in one example")
    return -np.asarray(log_likelihood, np.float64) / (dims * math.log(2)) + offset


def dequantisation_offset(levels: int = 256, low: float = -1.0, high: float = 1.0) -> float:
    """Compute log₂(levels / (high − low)): 8 bits for 256 levels on [0, 1], 7 bits on [−1, 1].

    With this offset, the bits per dimension of dequantised data are an upper bound on those of the integers, and they
    do not depend on how the data were scaled.

    Args:
        levels: number of integer levels.
        low: where the range of the scaled data begins.
        high: where it ends.

    Returns:
        The offset, in bits per dimension.

    Raises:
        ValueError: unless levels >= 2 and low < high.

    Reference:
        Theis et al. 2016, "A note on the evaluation of generative models", eq. 4.
    """
    if levels < 2 or not low < high:
        raise ValueError(f"need levels >= 2 and low < high, got {levels}, {low} and {high}")
    return math.log2(levels / (high - low))
