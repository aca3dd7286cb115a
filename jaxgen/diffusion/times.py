"""Samplers of training times: functions (key, B) -> t of shape (B,)."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from jaxgen.core import check_positive
from jaxgen.diffusion.processes.process import GaussianProcess

TimeSampler = Callable[[Key[Array, ""], int], Float[Array, " b"]]


def uniform(steps: int | None = None, minimum: float = 1e-5) -> TimeSampler:
    """t uniform on [minimum, 1], or on {1/T, …, 1} for a discrete process.

    Args:
        steps: T of a discrete process; None for continuous time.
        minimum: smallest time, in [0, 1), which keeps sigma above 0 in continuous time.

    Returns:
        The sampler.

    Raises:
        ValueError: unless steps ≥ 1 and 0 ≤ minimum < 1.

    Reference:
        Song et al. 2021, appendix C, on the minimum.
    """
    return _uniform(lambda key, n: jax.random.uniform(key, (n,)), steps, minimum)


def stratified(steps: int | None = None, minimum: float = 1e-5) -> TimeSampler:
    """As `uniform`, with one t in each of B equal strata, placed by one random offset.

    Each t is uniform by itself. The batch covers time evenly, which reduces the variance of the mean loss.

    Args:
        steps: as in `uniform`.
        minimum: as in `uniform`.

    Returns:
        The sampler.

    Raises:
        ValueError: as `uniform` does.

    Reference:
        Kingma et al. 2021, §I.1.
    """
    return _uniform(lambda key, n: (jax.random.uniform(key) + jnp.arange(n) / n) % 1, steps, minimum)


def _uniform(draw: Callable[[Array, int], Array], steps: int | None, minimum: float) -> TimeSampler:
    if not 0 <= minimum < 1 or (steps is not None and steps < 1):
        raise ValueError(f"need 0 <= minimum < 1 and steps >= 1, got minimum={minimum}, steps={steps}")
    if steps is None:
        return lambda key, n: minimum + (1 - minimum) * draw(key, n)
    return lambda key, n: (jnp.minimum(jnp.floor(draw(key, n) * steps), steps - 1) + 1) / steps


def log_normal(process: GaussianProcess, mean: float = -1.2, std: float = 1.2) -> TimeSampler:
    """Times t at which ln(sigma/alpha) ~ N(mean, std²).

    Args:
        process: the process.
        mean: mean of ln(sigma/alpha).
        std: standard deviation > 0 of ln(sigma/alpha).

    Returns:
        The sampler.

    Raises:
        ValueError: if std is not positive and finite.

    Reference:
        Karras et al. 2022, table 1.
    """
    check_positive(std=std)
    return lambda key, n: process.time_at_log_snr(-2 * (mean + std * jax.random.normal(key, (n,))))
