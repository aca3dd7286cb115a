"""Loss weights w(λ) on the squared error in eps, ‖eps − eps_θ‖², as functions of the log-SNR λ.

`denoising_loss` converts them to weights on the network's own output, so a weight applies to every prediction type.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxgen.core import check_positive
from jaxgen.diffusion.processes.process import GaussianProcess, value_and_derivative

LogSNR = Float[Array, "..."]
Weighting = Callable[[LogSNR], Float[Array, "..."]]


def simple() -> Weighting:
    """w = 1, L_simple of DDPM (Ho et al. 2020, eq. 14).

    Returns:
        The function λ -> w.
    """
    return jnp.ones_like


def min_snr(gamma: float = 5.0) -> Weighting:
    """w = min(SNR, γ)/SNR, which is min(SNR, γ) on the error in x0.

    Args:
        gamma: γ > 0, the SNR from which the weight on the error in x0 is constant.

    Returns:
        The function λ -> w.

    Raises:
        ValueError: if gamma is not positive and finite.

    Reference:
        Hang et al. 2023, §3.4.
    """
    check_positive(gamma=gamma)
    return lambda log_snr: jnp.minimum(1.0, gamma * jnp.exp(-log_snr))


def edm(sigma_data: float = 0.5) -> Weighting:
    """w = 1 + σ̃²/σ_data² with σ̃ = sigma/alpha, which is (σ̃² + σ_data²)/(σ̃ σ_data)² on the error in x0.

    It is intended for the times of `times.log_normal`.

    Args:
        sigma_data: σ_data > 0, the standard deviation of the data.

    Returns:
        The function λ -> w.

    Raises:
        ValueError: if sigma_data is not positive and finite.

    Reference:
        Karras et al. 2022, table 1.
    """
    check_positive(sigma_data=sigma_data)
    return lambda log_snr: 1 + jnp.exp(-log_snr) / sigma_data**2


def likelihood(process: GaussianProcess) -> Weighting:
    """w = −½ dλ/dt = g²/(2 sigma²), which makes the loss the continuous-time bound in nats.

    That holds for uniform t and for errors summed over the event.

    Args:
        process: a process in continuous time.

    Returns:
        The function λ -> w. It raises ValueError if the process is discrete.

    Reference:
        Song et al. 2021b, eq. 7; Kingma et al. 2021, eq. 18.
    """
    return _per_log_snr(process, jnp.ones_like)


def sigmoid(process: GaussianProcess, bias: float = 2.0) -> Weighting:
    """w = −½ dλ/dt · sigmoid(bias − λ), for uniform t.

    Args:
        process: a process in continuous time.
        bias: the log-SNR, in nats, at which the sigmoid is ½.

    Returns:
        The function λ -> w. It raises ValueError if the process is discrete.

    Reference:
        Kingma & Gao 2023, table 1; Hoogeboom et al. 2024, eq. 8.
    """
    return _per_log_snr(process, lambda log_snr: jax.nn.sigmoid(bias - log_snr))


def _per_log_snr(process: GaussianProcess, weighting: Weighting) -> Weighting:
    """Convert a weight per unit of log-SNR to one at uniform t; λ ↔ t is one to one, so it is still a function of λ."""

    def weight(log_snr: LogSNR) -> Float[Array, "..."]:
        _, rate = value_and_derivative(process, process.log_snr, process.time_at_log_snr(log_snr))
        return -0.5 * rate * weighting(log_snr)

    return weight
