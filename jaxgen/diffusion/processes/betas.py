"""Tables of β for `from_betas`, made on the host in float64."""

import numpy as np
from jaxtyping import Float64


def _check_steps(steps: int) -> None:
    if steps < 1:
        raise ValueError(f"a chain needs at least one step, got steps={steps}")


def linear_betas(steps: int, start: float = 1e-4, end: float = 0.02) -> Float64[np.ndarray, " steps"]:
    """β from start to end in equal increments (Ho et al. 2020, §4).

    The defaults suit T = 1000; for other T keep the end's ᾱ by scaling both by 1000/T. Raises ValueError unless
    steps ≥ 1 and 0 < start ≤ end < 1.
    """
    _check_steps(steps)
    if not 0 < start <= end < 1:
        raise ValueError(f"need 0 < start <= end < 1, got start={start}, end={end}")
    return np.linspace(start, end, steps)


def cosine_betas(steps: int, s: float = 0.008, max_beta: float = 0.999) -> Float64[np.ndarray, " steps"]:
    """β that make ᾱ follow cos²(π/2 (t+s)/(1+s)), each at most max_beta (Nichol & Dhariwal 2021, eq. 17).

    Raises ValueError unless steps ≥ 1, s > 0 and 0 < max_beta ≤ 1.
    """
    _check_steps(steps)
    if s <= 0 or not 0 < max_beta <= 1:
        raise ValueError(f"need s > 0 and 0 < max_beta <= 1, got s={s}, max_beta={max_beta}")
    alpha_bar = np.cos((np.linspace(0, 1, steps + 1) + s) / (1 + s) * np.pi / 2) ** 2
    return np.minimum(1 - alpha_bar[1:] / alpha_bar[:-1], max_beta)


def zero_terminal_snr(betas: Float64[np.ndarray, " steps"]) -> Float64[np.ndarray, " steps"]:
    """β rescaled so that ᾱ_T = 0 and the first is unchanged (Lin et al. 2024, algorithm 1).

    The last β becomes 1: predict v or x0, for ε says nothing of x0 there. Raises ValueError for fewer than two steps.
    """
    if betas.ndim != 1 or betas.size < 2:
        raise ValueError(f"need betas of shape (T,) with T >= 2, got {betas.shape}")
    root = np.sqrt(np.cumprod(1 - betas))
    root = (root - root[-1]) * root[0] / (root[0] - root[-1])
    alpha_bar = np.concatenate([[1.0], root**2])
    return 1 - alpha_bar[1:] / alpha_bar[:-1]
