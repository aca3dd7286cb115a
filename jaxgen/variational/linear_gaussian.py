"""The linear-Gaussian latent variable model (probabilistic PCA), whose posterior, evidence and ELBO are closed forms.

z ~ N(0, I) in d dimensions and x | z ~ N(weight z + offset, std² I) in D; data x (B, D) (Tipping & Bishop 1999).
"""

import math
from typing import NamedTuple

import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float


class LinearGaussian(NamedTuple):
    """The model: weight (D, d), offset (D,), and the standard deviation () of x given z."""

    weight: ArrayLike
    offset: ArrayLike
    std: ArrayLike


class Posterior(NamedTuple):
    """N(mean, covariance) of every example: means (B, d), and the covariance (d, d), which does not depend on x."""

    mean: Array
    covariance: Array


def log_joint(model: LinearGaussian, x: Float[Array, " D"], z: Float[Array, " d"]) -> Float[Array, ""]:
    """The log joint log p(x, z) of one example.

    Args:
        model: the model.
        x: the example (D,).
        z: its latent (d,).

    Returns:
        The log joint () in nats.
    """
    off = (x - model.offset - _times(model.weight, z)) / model.std
    constant = x.size * jnp.log(model.std) + 0.5 * (x.size + z.size) * math.log(2 * math.pi)
    return -0.5 * (jnp.sum(off**2) + jnp.sum(z**2)) - constant


def precision(model: LinearGaussian) -> Float[Array, "d d"]:
    """The precision Λ = I + weightᵀ weight/std² of the posterior.

    Args:
        model: the model.

    Returns:
        The precision (d, d).
    """
    gram = jnp.matmul(model.weight.T, model.weight, precision="highest")
    return jnp.eye(len(gram), dtype=gram.dtype) + gram / model.std**2


def posterior(model: LinearGaussian, x: Float[Array, "b D"]) -> Posterior:
    """The posterior p(z | x) = N(Λ⁻¹ weightᵀ (x − offset)/std², Λ⁻¹) (Tipping & Bishop 1999, eq. 7).

    Args:
        model: the model.
        x: data (B, D).

    Returns:
        The posterior of each example; Λ is its `precision`.
    """
    # the map Λ⁻¹ weightᵀ/std² from x − offset to the mean
    encoder = jnp.linalg.solve(precision(model), model.weight.T) / model.std**2
    return Posterior(_times(x - model.offset, encoder.T), jnp.linalg.inv(precision(model)))


def mean_field(model: LinearGaussian, x: Float[Array, "b D"]) -> Posterior:
    """The best q with independent coordinates: the mean of the posterior, and variances 1/Λ_ii.

    Its ELBO is ½(Σ log Λ_ii − log det Λ) below log p(x) (Bishop 2006, eq. 10.12–15).

    Args:
        model: the model.
        x: data (B, D).

    Returns:
        The q of each example, with a diagonal covariance (d, d).
    """
    return Posterior(posterior(model, x).mean, jnp.diag(1 / jnp.diagonal(precision(model))))


def log_evidence(model: LinearGaussian, x: Float[Array, "b D"]) -> Float[Array, " b"]:
    """The evidence log p(x) = log N(x; offset, weight weightᵀ + std² I), from matrices of d × d only.

    Args:
        model: the model.
        x: data (B, D).

    Returns:
        The evidence of each example (B,) in nats.
    """
    mean, dims = posterior(model, x).mean, x.shape[-1]
    off = x - model.offset - _times(mean, model.weight.T)
    # Woodbury's formula as a sum of squares, which does not cancel at a small std
    squares = jnp.sum(off**2, -1) / model.std**2 + jnp.sum(mean**2, -1)
    log_det = 2 * dims * jnp.log(model.std) + jnp.linalg.slogdet(precision(model))[1]
    return -0.5 * (squares + log_det + dims * math.log(2 * math.pi))


def elbo(
    model: LinearGaussian, x: Float[Array, "b D"], mean: Float[Array, "b d"], covariance: Float[Array, "*b d d"]
) -> Float[Array, " b"]:
    """The ELBO of q = N(mean, covariance), in closed form.

    Args:
        model: the model.
        x: data (B, D).
        mean: the means of q, (B, d).
        covariance: one covariance (d, d) for all examples, or one each (B, d, d).

    Returns:
        The ELBO of each example (B,) in nats.
    """
    dims, latents = x.shape[-1], mean.shape[-1]
    off = x - model.offset - _times(mean, model.weight.T)
    spread = jnp.trace(jnp.matmul(precision(model), covariance, precision="highest"), axis1=-2, axis2=-1)
    squares = jnp.sum(off**2, -1) / model.std**2 + jnp.sum(mean**2, -1) + spread
    log_det = jnp.linalg.slogdet(covariance)[1]
    return 0.5 * (log_det + latents - squares) - dims * (jnp.log(model.std) + 0.5 * math.log(2 * math.pi))


def _times(a: ArrayLike, b: ArrayLike) -> Array:
    return jnp.matmul(a, b, precision="highest")  # at the default precision accelerators round the factors
