"""Gaussian data with unknown mean and precision: the exact posterior, and the mean field q(μ) q(τ).

x_n ~ N(μ, 1/τ), μ | τ ~ N(mean, 1/(strength τ)) and τ ~ Gamma(shape, rate), with data x (n,).
"""

import math
from typing import NamedTuple

import jax.numpy as jnp
from jax.scipy.special import digamma, gammaln
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from jaxgen.variational import gamma_exponential


class NormalGamma(NamedTuple):
    """p(μ, τ) = N(μ; mean, 1/(strength τ)) Gamma(τ; shape, rate): the prior, and also the form of the posterior."""

    mean: ArrayLike
    strength: ArrayLike
    shape: ArrayLike
    rate: ArrayLike


class Factors(NamedTuple):
    """q(μ) = N(mean, 1/precision) and q(τ) = Gamma(shape, rate)."""

    mean: ArrayLike
    precision: ArrayLike
    shape: ArrayLike
    rate: ArrayLike


def log_density(distribution: NormalGamma, mu: ArrayLike, tau: ArrayLike) -> Float[Array, "..."]:
    """Evaluate log p(μ, τ).

    Args:
        distribution: the distribution.
        mu: μ, of any shape.
        tau: τ > 0, of a shape that broadcasts with μ.

    Returns:
        The log-density in nats, of the broadcast shape.
    """
    mean, strength, shape, rate = distribution
    log_gamma = shape * jnp.log(rate) - gammaln(shape) + (shape - 1) * jnp.log(tau) - rate * tau
    return log_likelihood(mu, mean, strength * tau) + log_gamma


def log_likelihood(x: ArrayLike, mu: ArrayLike, tau: ArrayLike) -> Float[Array, "..."]:
    """Evaluate log N(x; μ, 1/τ); arguments broadcast.

    Args:
        x: data, of any shape.
        mu: μ.
        tau: τ > 0.

    Returns:
        The log-likelihood in nats, of the broadcast shape.
    """
    return 0.5 * (jnp.log(tau) - math.log(2 * math.pi) - tau * (x - mu) ** 2)


def posterior(prior: NormalGamma, x: Float[Array, " n"]) -> NormalGamma:
    """The posterior p(μ, τ | x), a Normal-Gamma distribution like the prior (Murphy 2007, eq. 86–89).

    Args:
        prior: the prior.
        x: data (n,).

    Returns:
        The posterior.
    """
    n, mean, scatter = _statistics(x)
    strength = prior.strength + n
    return NormalGamma(
        (prior.strength * prior.mean + n * mean) / strength,
        strength,
        prior.shape + n / 2,
        prior.rate + 0.5 * (scatter + prior.strength * n * (mean - prior.mean) ** 2 / strength),
    )


def log_evidence(prior: NormalGamma, x: Float[Array, " n"]) -> Float[Array, ""]:
    """The evidence log p(x), in closed form (Murphy 2007, eq. 95).

    Args:
        prior: the prior.
        x: data (n,).

    Returns:
        The evidence () in nats.
    """
    post = posterior(prior, x)
    return (
        gammaln(post.shape) - gammaln(prior.shape) + prior.shape * jnp.log(prior.rate) - post.shape * jnp.log(post.rate)
        + 0.5 * (jnp.log(prior.strength) - jnp.log(post.strength)) - x.size / 2 * math.log(2 * math.pi)
    )  # fmt: skip


def elbo(prior: NormalGamma, x: Float[Array, " n"], q: Factors) -> Float[Array, ""]:
    """The ELBO E_q[log p(x, μ, τ) − log q(μ) − log q(τ)], in closed form.

    Args:
        prior: the prior.
        x: data (n,).
        q: the factors.

    Returns:
        The ELBO () in nats.
    """
    n, _, _ = _statistics(x)
    tau, log_tau = q.shape / q.rate, digamma(q.shape) - jnp.log(q.rate)
    gaussians = (n + 1) * (log_tau - math.log(2 * math.pi)) + jnp.log(prior.strength) - tau * _squares(prior, x, q)
    gammas = prior.shape * jnp.log(prior.rate) - gammaln(prior.shape) + (prior.shape - 1) * log_tau - prior.rate * tau
    entropy_mu = 0.5 * (1 + math.log(2 * math.pi) - jnp.log(q.precision))
    return 0.5 * gaussians + gammas + entropy_mu + gamma_exponential.entropy(q.shape, q.rate)


def update_mean(prior: NormalGamma, x: Float[Array, " n"], q: Factors) -> Factors:
    """Optimise q(μ) ∝ exp E_{q(τ)} log p(x, μ, τ), which is N((λ₀μ₀ + n x̄)/(λ₀ + n), 1/((λ₀ + n) E τ)).

    μ₀ and λ₀ are mean and strength of the prior (Bishop 2006, eq. 10.26–27).

    Args:
        prior: the prior.
        x: data (n,).
        q: the factors.

    Returns:
        The factors with a new q(μ).
    """
    post = posterior(prior, x)
    return q._replace(mean=post.mean, precision=post.strength * q.shape / q.rate)


def update_precision(prior: NormalGamma, x: Float[Array, " n"], q: Factors) -> Factors:
    """Optimise q(τ) ∝ exp E_{q(μ)} log p(x, μ, τ): Gamma(a₀ + (n + 1)/2, b₀ + ½ E[Σ(x − μ)² + λ₀(μ − μ₀)²]).

    a₀, b₀, μ₀ and λ₀ are shape, rate, mean and strength of the prior. One of the n + 1 halves in the shape comes from
    the prior of μ, whose precision is λ₀ τ (Bishop 2006, eq. 10.29–30).

    Args:
        prior: the prior.
        x: data (n,).
        q: the factors.

    Returns:
        The factors with a new q(τ).
    """
    n, _, _ = _statistics(x)
    return q._replace(shape=prior.shape + (n + 1) / 2, rate=prior.rate + 0.5 * _squares(prior, x, q))


def _squares(prior: NormalGamma, x: Float[Array, " n"], q: Factors) -> Float[Array, ""]:
    """E_{q(μ)}[Σ(x − μ)² + λ₀(μ − μ₀)²]."""
    n, mean, scatter = _statistics(x)
    off = n * (mean - q.mean) ** 2 + prior.strength * (q.mean - prior.mean) ** 2
    return scatter + off + (n + prior.strength) / q.precision


def _statistics(x: Float[Array, " n"]) -> tuple[Array, Array, Array]:
    """n, x̄ and Σ(x − x̄)² in the dtype of x."""
    mean = x.mean()
    return jnp.asarray(x.size, x.dtype), mean, jnp.sum((x - mean) ** 2)
