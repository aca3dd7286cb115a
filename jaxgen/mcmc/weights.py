"""What importance weights say: the normalising constant with its error, and how many draws they are worth."""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


class LogNormalizer(NamedTuple):
    """An estimate of log Z.

    Attributes:
        value: log of the mean of the weights, (). The mean is unbiased, and so its logarithm is too small on average.
        error: the standard error (), that of the mean divided by the mean. It is too small where few weights dominate.
        effective_share: the share in (0, 1] of equal weights that would be worth as much, ().
    """

    value: Float[Array, ""]
    error: Float[Array, ""]
    effective_share: Float[Array, ""]


def log_normalizer(log_weights: Float[Array, " n"]) -> LogNormalizer:
    """Estimate log Z from independent weights whose mean is Z.

    Args:
        log_weights: log w (n,), n ≥ 2, of independent draws, as `annealed_importance_sampling` returns them; or
            estimates of log Z by independent runs of `tempered_smc`.

    Returns:
        The estimate, its standard error by the delta method, and the effective share.

    Raises:
        ValueError: if log_weights are not of shape (n,) with n ≥ 2.

    Reference:
        Neal 2001, "Annealed importance sampling", §4.
    """
    if log_weights.ndim != 1 or len(log_weights) < 2:
        raise ValueError(f"log_weights must have shape (n,) with n >= 2, got {log_weights.shape}")
    n = len(log_weights)
    value = jax.nn.logsumexp(log_weights) - math.log(n)
    relative = jnp.exp(log_weights - value)  # of mean 1
    error = jnp.sqrt(jnp.sum((relative - 1) ** 2) / (n - 1) / n)
    return LogNormalizer(value, error, effective_share(log_weights))


def effective_share(log_weights: Float[Array, " n"]) -> Float[Array, ""]:
    """The effective sample size of weighted draws as a share of their number: (Σ w)²/(n Σ w²).

    With many draws of p and the weights q/p it tends to 1/(1 + χ²(q ‖ p)).

    Args:
        log_weights: log w (n,), up to a constant.

    Returns:
        The share (), from 1/n to 1.

    Reference:
        Kong 1992; Kong, Liu & Wong 1994.
    """
    log_share = 2 * jax.nn.logsumexp(log_weights) - jax.nn.logsumexp(2 * log_weights)
    return jnp.exp(log_share) / len(log_weights)
