"""Grids of sampling times: descending arrays (n+1,) that end at 0."""

from typing import Literal

import jax
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Float

from jaxgen.core import check_at_least, is_traced
from jaxgen.diffusion.processes.process import GaussianProcess

Grid = Float[np.ndarray, " n_plus_1"]


def uniform_grid(n: int) -> Grid:
    """Steps of equal length from 1 to 0.

    Args:
        n: number of steps ≥ 1.

    Returns:
        The times (n + 1,).

    Raises:
        ValueError: if n < 1.
    """
    check_at_least(1, n=n)
    return np.linspace(1, 0, n + 1)


def quadratic_grid(n: int) -> Grid:
    """Steps from 1 to 0 at times (1 − i/n)², which are shorter near the data.

    Args:
        n: number of steps ≥ 1.

    Returns:
        The times (n + 1,).

    Raises:
        ValueError: if n < 1.

    Reference:
        Song et al. 2021 (DDIM), §D.2.
    """
    return uniform_grid(n) ** 2


def subset_grid(steps: int, n: int, spacing: Literal["leading", "trailing", "linspace"] = "trailing") -> Grid:
    """Evenly spaced subset of n of the T steps of a discrete process, then 0. For n = T it is the whole chain.

    Args:
        steps: T.
        n: number of steps, from 1 to T.
        spacing: which indices i = 0 … T−1 (t = (i+1)/T) to take, for k = 0 … n−1. "leading": ⌊kT/n⌋, which includes
            the cleanest step but not the noisiest. "trailing": ⌈(k+1)T/n⌉ − 1, which includes the noisiest but not
            the cleanest. "linspace": both.

    Returns:
        The times (n + 1,).

    Raises:
        ValueError: if n is outside [1, T], or spacing is unknown.

    Reference:
        Lin et al. 2024, §3.3, who recommend trailing.
    """
    if not 1 <= n <= steps:
        raise ValueError(f"a chain of T={steps} steps has subsets of 1 to {steps} of them, got n={n}")
    i = np.arange(n)
    match spacing:
        case "leading":
            index = i * steps // n
        case "trailing":
            index = -(-(i + 1) * steps // n) - 1
        case "linspace":
            # a single step starts from pure noise
            index = np.round(np.linspace(0, steps - 1, n)).astype(int) if n > 1 else np.array([steps - 1])
        case _:
            raise ValueError(f"unknown spacing {spacing!r}: choose leading, trailing or linspace")
    return np.concatenate([(index[::-1] + 1) / steps, [0.0]])


def karras_grid(
    process: GaussianProcess, n: int, sigma_min: float = 0.002, sigma_max: float = 80.0, rho: float = 7.0
) -> Grid:
    """n times at which σ̃ = sigma/alpha runs from sigma_max to sigma_min, evenly in σ̃^(1/ρ), then 0.

    Levels outside the process's range are treated as `noise_grid` does.

    Args:
        process: a process with concrete parameters.
        n: number of levels ≥ 1.
        sigma_min: smallest σ̃ > 0.
        sigma_max: largest σ̃.
        rho: ρ > 0; a larger one puts more levels near sigma_min.

    Returns:
        The times, (n + 1,) or fewer.

    Raises:
        ValueError: unless 0 < sigma_min < sigma_max, rho > 0 and n ≥ 1; and as `noise_grid` does.

    Reference:
        Karras et al. 2022, eq. 5.
    """
    if not (0 < sigma_min < sigma_max and rho > 0):
        raise ValueError(f"need 0 < sigma_min < sigma_max and rho > 0, got {sigma_min}, {sigma_max}, {rho}")
    check_at_least(1, n=n)
    return noise_grid(process, np.linspace(sigma_max ** (1 / rho), sigma_min ** (1 / rho), n) ** rho)


def log_snr_grid(process: GaussianProcess, n: int, log_snr_min: float = -9.0, log_snr_max: float = 12.0) -> Grid:
    """n times evenly spaced in log-SNR from log_snr_min to log_snr_max, then 0.

    Values outside the process's range are treated as `noise_grid` does.

    Args:
        process: a process with concrete parameters.
        n: number of levels ≥ 1.
        log_snr_min: smallest log-SNR, in nats.
        log_snr_max: largest log-SNR, in nats.

    Returns:
        The times, (n + 1,) or fewer.

    Raises:
        ValueError: unless log_snr_min < log_snr_max and n ≥ 1; and as `noise_grid` does.

    Reference:
        Lu et al. 2022, §3.3.
    """
    if not log_snr_min < log_snr_max:
        raise ValueError(f"need log_snr_min < log_snr_max, got {log_snr_min} and {log_snr_max}")
    check_at_least(1, n=n)
    return noise_grid(process, np.exp(-0.5 * np.linspace(log_snr_min, log_snr_max, n)))


def noise_grid(process: GaussianProcess, sigmas: Float[np.ndarray, " n"]) -> Grid:
    """Times at which sigma/alpha takes the given values, then 0.

    Levels outside the process's range give t = 0 or t = 1. Equal times, which also occur on a discrete process, are
    merged, so the grid can have fewer than n steps. sigma_min of `ve` is t = 0, the end of the grid.

    Args:
        process: a process with concrete parameters.
        sigmas: noise levels (n,), positive, finite and strictly descending.

    Returns:
        The times, (n + 1,) or fewer.

    Raises:
        ValueError: if the levels are not as above, or the process has traced parameters.
    """
    sigmas = np.asarray(sigmas, np.float64)
    if not (sigmas.ndim == 1 and sigmas.size and np.inf > sigmas[0] and sigmas[-1] > 0 and np.all(np.diff(sigmas) < 0)):
        raise ValueError(f"need one or more noise levels, positive, finite and strictly descending, got {sigmas}")
    with jax.ensure_compile_time_eval():  # inside a jitted function too
        times, noise_at_0 = process.time_at_log_snr(-2 * np.log(sigmas)), process.sigma(0.0)
    if is_traced(times, noise_at_0):
        raise ValueError("a grid needs a process with concrete parameters: make it outside the traced function")
    times = np.asarray(times, np.float64)
    if np.asarray(noise_at_0) > 0:  # sigma(0) is a level itself: rounding must not add a time next to it
        times = np.where(times < 1e-6, 0, times)
    return np.append(-np.unique(-times[times > 0]), 0.0)


def check_grid(times: ArrayLike, steps: int | None = None) -> None:
    """Check that sampling times are a grid; traced times pass.

    Args:
        times: (N+1,) times, N ≥ 1, which descend strictly within [0, 1].
        steps: T of a discrete process, whose times are multiples of 1/T.

    Raises:
        ValueError: if concrete times are not as above.
    """
    if is_traced(times):
        return
    grid = np.asarray(times, np.float64)
    if grid.ndim != 1 or grid.size < 2:
        raise ValueError(f"times must have shape (N+1,) with N >= 1, got {grid.shape}")
    if grid[0] > 1 or grid[-1] < 0 or not np.all(np.diff(grid) < 0):
        raise ValueError(f"times must descend strictly within [0, 1], from noise to data; got {grid}")
    if steps is not None and np.any(np.abs(grid * steps - np.round(grid * steps)) > 1e-3):
        raise ValueError(
            f"times must be steps i/{steps} of the discrete process: use subset_grid({steps}, n), got {grid}"
        )
