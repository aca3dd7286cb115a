"""Tables of β_1 … β_T for `from_betas`, computed in float64 on the host."""

import numpy as np
from jaxtyping import Float64

from jaxgen.core import check_at_least, check_positive


def linear_betas(steps: int, start: float = 1e-4, end: float = 0.02) -> Float64[np.ndarray, " steps"]:
    """β rising linearly from start to end.

    The defaults are for T = 1000. Multiply both by 1000/T to keep ᾱ_T at about the same value for another T.

    Args:
        steps: number of steps T ≥ 1.
        start: first β.
        end: last β; 0 < start ≤ end < 1.

    Returns:
        The table (T,), in float64.

    Raises:
        ValueError: unless steps ≥ 1 and 0 < start ≤ end < 1.

    Reference:
        Ho et al. 2020, §4.
    """
    check_at_least(1, steps=steps)
    if not 0 < start <= end < 1:
        raise ValueError(f"need 0 < start <= end < 1, got start={start}, end={end}")
    return np.linspace(start, end, steps)


def cosine_betas(steps: int, s: float = 0.008, max_beta: float = 0.999) -> Float64[np.ndarray, " steps"]:
    """β for which ᾱ follows cos²(π/2 (t+s)/(1+s)).

    Args:
        steps: number of steps T ≥ 1.
        s: offset s > 0, which keeps the first β from being too small.
        max_beta: upper limit of each β, in (0, 1].

    Returns:
        The table (T,), in float64.

    Raises:
        ValueError: unless steps ≥ 1, s > 0 and 0 < max_beta ≤ 1.

    Reference:
        Nichol & Dhariwal 2021, eq. 17.
    """
    check_at_least(1, steps=steps)
    check_positive(s=s)
    if not 0 < max_beta <= 1:
        raise ValueError(f"need 0 < max_beta <= 1, got max_beta={max_beta}")
    alpha_bar = np.cos((np.linspace(0, 1, steps + 1) + s) / (1 + s) * np.pi / 2) ** 2
    return np.minimum(1 - alpha_bar[1:] / alpha_bar[:-1], max_beta)


def zero_terminal_snr(betas: Float64[np.ndarray, " steps"]) -> Float64[np.ndarray, " steps"]:
    """Rescale β so that ᾱ_T = 0, with the first β unchanged.

    The last β becomes 1. There eps says nothing about x0, so the network should predict v or x0.

    Args:
        betas: a table (T,) of T ≥ 2 steps.

    Returns:
        The new table (T,).

    Raises:
        ValueError: if betas are not of shape (T,) with T ≥ 2.

    Reference:
        Lin et al. 2024, algorithm 1.
    """
    if betas.ndim != 1 or betas.size < 2:
        raise ValueError(f"need betas of shape (T,) with T >= 2, got {betas.shape}")
    root = np.sqrt(np.cumprod(1 - betas))
    root = (root - root[-1]) * root[0] / (root[0] - root[-1])
    alpha_bar = np.concatenate([[1.0], root**2])
    return 1 - alpha_bar[1:] / alpha_bar[:-1]
