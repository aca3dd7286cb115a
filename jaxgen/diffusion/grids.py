"""Descending grids of sampling times, which end at 0."""

from typing import Literal

import jax
import numpy as np
from jaxtyping import Float

from jaxgen.diffusion.processes.process import GaussianProcess

Grid = Float[np.ndarray, " n_plus_1"]


def uniform_grid(n: int) -> Grid:
    """n steps of equal length from 1 to 0, shape (n+1,); raises ValueError unless n ≥ 1."""
    _check_steps(n)
    return np.linspace(1, 0, n + 1)


def quadratic_grid(n: int) -> Grid:
    """n steps from 1 to 0, shorter towards the data: (1 − i/n)² (Song et al. 2021 (DDIM), §D.2)."""
    return uniform_grid(n) ** 2


def subset_grid(steps: int, n: int, spacing: Literal["leading", "trailing", "linspace"] = "trailing") -> Grid:
    """n of a discrete process's T `steps`, descending, then 0: shape (n+1,), for any 1 ≤ n ≤ T.

    Indices, spread evenly, from the cleanest: leading ⌊iT/n⌋, which begins below pure noise; trailing ⌈(i+1)T/n⌉ − 1,
    which ends above the cleanest; linspace, both ends (Lin et al. 2024 on why trailing is best). All are the whole
    chain when n = T.
    Raises ValueError for n outside [1, T] or another spacing.
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
            # a single step must start from pure noise
            index = np.round(np.linspace(0, steps - 1, n)).astype(int) if n > 1 else np.array([steps - 1])
        case _:
            raise ValueError(f"unknown spacing {spacing!r}: choose leading, trailing or linspace")
    return np.concatenate([(index[::-1] + 1) / steps, [0.0]])


def karras_grid(
    process: GaussianProcess, n: int, sigma_min: float = 0.002, sigma_max: float = 80.0, rho: float = 7.0
) -> Grid:
    """n values of σ̃ = sigma/alpha from sigma_max to sigma_min, even in σ̃^(1/ρ), then 0 (Karras et al. 2022, eq. 5).

    See `noise_grid` for the ends. Raises ValueError unless n ≥ 1, 0 < sigma_min < sigma_max and rho > 0.
    """
    if not (0 < sigma_min < sigma_max and rho > 0):
        raise ValueError(f"need 0 < sigma_min < sigma_max and rho > 0, got {sigma_min}, {sigma_max}, {rho}")
    _check_steps(n)
    return noise_grid(process, np.linspace(sigma_max ** (1 / rho), sigma_min ** (1 / rho), n) ** rho)


def log_snr_grid(process: GaussianProcess, n: int, log_snr_min: float = -9.0, log_snr_max: float = 12.0) -> Grid:
    """n times even in log-SNR from log_snr_min to log_snr_max, then 0 (Lu et al. 2022, §3.3).

    See `noise_grid` for the ends. Raises ValueError unless n ≥ 1 and log_snr_min < log_snr_max.
    """
    if not log_snr_min < log_snr_max:
        raise ValueError(f"need log_snr_min < log_snr_max, got {log_snr_min} and {log_snr_max}")
    _check_steps(n)
    return noise_grid(process, np.exp(-0.5 * np.linspace(log_snr_min, log_snr_max, n)))


def noise_grid(process: GaussianProcess, sigmas: Float[np.ndarray, " n"]) -> Grid:
    """The times at which sigma/alpha takes the given descending values, then 0.

    Values beyond the process's range take its end, and those that meet at one time (on a table, or beyond the range)
    are merged, so the grid may have fewer than n steps: its length tells. sigma_min of `ve` lies at t = 0, the grid's
    own end. Needs a concrete process.
    Raises ValueError for values that are not positive, finite and descending, and for a traced process.
    """
    sigmas = np.asarray(sigmas, np.float64)
    if sigmas.ndim != 1 or not np.all((sigmas > 0) & np.isfinite(sigmas)) or not np.all(np.diff(sigmas) < 0):
        raise ValueError(f"noise levels must be positive, finite and strictly descending, the 0 left out: got {sigmas}")
    with jax.ensure_compile_time_eval():  # a grid may be made inside a jitted function
        times, noise_at_0 = process.time_at_log_snr(-2 * np.log(sigmas)), process.sigma(0.0)
    if isinstance(times, jax.core.Tracer) or isinstance(noise_at_0, jax.core.Tracer):
        raise ValueError(
            "a grid needs a process with concrete parameters: make the process outside the traced function"
        )
    times = np.asarray(times, np.float64)
    if np.asarray(noise_at_0) > 0:  # rounding must not make a second level of the end
        times = np.where(times < 1e-6, 0, times)
    return np.append(-np.unique(-times[times > 0]), 0.0)


def _check_steps(n: int) -> None:
    if n < 1:
        raise ValueError(f"a grid needs at least one step, got n={n}")
