"""Loss weights as functions of log-SNR: each multiplies the squared error in eps, ‖eps − eps_θ‖².

That common footing lets one weight serve every kind of prediction: the loss carries it to the network's own output.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxgen.diffusion.processes.process import GaussianProcess, value_and_derivative

LogSNR = Float[Array, "..."]
Weighting = Callable[[LogSNR], Float[Array, "..."]]


def simple() -> Weighting:
    """w = 1: DDPM's L_simple (Ho et al. 2020, eq. 14)."""
    return jnp.ones_like


def min_snr(gamma: float = 5.0) -> Weighting:
    """w = min(SNR, γ)/SNR, that is min(SNR, γ) on the error in x0 (Hang et al. 2023, §3.4).

    Raises ValueError unless gamma > 0.
    """
    if not gamma > 0:
        raise ValueError(f"gamma must be positive, got {gamma}: it is the SNR from which the weight on x0 is constant")
    return lambda log_snr: jnp.minimum(1.0, gamma * jnp.exp(-log_snr))


def edm(sigma_data: float = 0.5) -> Weighting:
    """(σ̃² + σ_data²)/(σ̃ σ_data)² on the error in x0, σ̃ = sigma/alpha (Karras et al. 2022, table 1); w = 1 + σ̃²/σ_data².

    Made for times drawn by `times.log_normal`. Raises ValueError unless sigma_data > 0.
    """
    if not sigma_data > 0:
        raise ValueError(f"sigma_data must be positive, got {sigma_data}: give the data's standard deviation")
    return lambda log_snr: 1 + jnp.exp(-log_snr) / sigma_data**2


def likelihood(process: GaussianProcess) -> Weighting:
    """w = −½ dλ/dt = g²/(2 sigma²): the continuous-time bound in nats, for uniform t and errors summed over the event.

    Song et al. 2021b, eq. 7; Kingma et al. 2021, eq. 18. Raises ValueError, when called, for a discrete process.
    """
    return _per_log_snr(process, jnp.ones_like)


def sigmoid(process: GaussianProcess, bias: float = 2.0) -> Weighting:
    """w = −½ dλ/dt · sigmoid(bias − λ), for uniform t (Kingma & Gao 2023, table 1; Hoogeboom et al. 2024, eq. 8).

    Raises ValueError, when called, for a discrete process.
    """
    return _per_log_snr(process, lambda log_snr: jax.nn.sigmoid(bias - log_snr))


def _per_log_snr(process: GaussianProcess, weighting: Weighting) -> Weighting:
    """A weight per unit of log-SNR as one at uniform t; λ ↔ t is one to one, so it is still a function of λ."""

    def weight(log_snr: LogSNR) -> Float[Array, "..."]:
        _, fall = value_and_derivative(process, process.log_snr, process.time_at_log_snr(log_snr))
        return -0.5 * fall * weighting(log_snr)

    return weight
