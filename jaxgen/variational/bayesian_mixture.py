"""Mean-field inference q(μ) q(c) in a Gaussian mixture with unknown means, unit variances and equal weights.

The model is that of Blei et al. 2017, §2.3, in d dimensions: μ_k ~ N(0, prior_variance I), c_n uniform on 0…K−1 and
x_n | c_n ~ N(μ_{c_n}, I), with data x (n, d). Permuting the components changes nothing, so the posterior has K! equal
modes, of which a mean field fits one.
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float


class Factors(NamedTuple):
    """q(μ_k) = N(means_k, variances_k I), means (K, d) and variances (K,), and q(c_n = k) = responsibilities (n, K)."""

    means: Array
    variances: Array
    responsibilities: Array


class Natural(NamedTuple):
    """The natural parameters of all q(μ_k): precisions 1/s_k² (K,), and means times precisions (K, d)."""

    precisions: Array
    weighted_means: Array


def log_prior(prior_variance: ArrayLike, means: Float[Array, "k d"]) -> Float[Array, ""]:
    """The log-prior log p(μ) of the means.

    Args:
        prior_variance: variance > 0 of the prior of the means, ().
        means: μ (K, d).

    Returns:
        The log-prior () in nats.
    """
    return jnp.sum(_log_normal(means, prior_variance))


def log_likelihood(means: Float[Array, "k d"], x: Float[Array, " d"]) -> Float[Array, ""]:
    """log p(x | μ) = log (1/K) Σ_k N(x; μ_k, I) of one example, with its assignment summed out.

    Args:
        means: μ (K, d).
        x: the example (d,).

    Returns:
        The log-likelihood () in nats.
    """
    return jax.nn.logsumexp(_log_normal(x - means, 1.0).sum(-1)) - math.log(len(means))


def elbo(prior_variance: ArrayLike, x: Float[Array, "n d"], q: Factors) -> Float[Array, ""]:
    """The ELBO E_q[log p(x, c, μ) − log q(c) − log q(μ)], in closed form (Blei et al. 2017, eq. 21).

    Args:
        prior_variance: variance > 0 of the prior of the means, ().
        x: data (n, d).
        q: the factors.

    Returns:
        The ELBO () in nats.
    """
    dims, components = x.shape[-1], len(q.means)
    squares = jnp.sum((x[:, None] - q.means) ** 2, -1) + dims * q.variances
    data = jnp.sum(q.responsibilities * -0.5 * (squares + dims * math.log(2 * math.pi)))
    assignments = jnp.sum(jax.scipy.special.entr(q.responsibilities)) - len(x) * math.log(components)
    ratio = q.variances / prior_variance
    divergence = 0.5 * jnp.sum(jnp.sum(q.means**2, -1) / prior_variance + dims * (ratio - 1 - jnp.log(ratio)))
    return data + assignments - divergence


def update_assignments(x: Float[Array, "n d"], q: Factors) -> Factors:
    """Optimise the assignments: q(c_n = k) ∝ exp(m_kᵀ x_n − ½(‖m_k‖² + d s_k²)) (Blei et al. 2017, eq. 26).

    Args:
        x: data (n, d).
        q: the factors; m_k and s_k² are the means and variances of q(μ_k).

    Returns:
        The factors with new responsibilities.
    """
    return q._replace(responsibilities=_responsibilities(x, q.means, q.variances))


def update_means(prior_variance: ArrayLike, x: Float[Array, "n d"], q: Factors) -> Factors:
    """Optimise q(μ): s_k² = 1/(1/prior_variance + Σ_n φ_nk), m_k = s_k² Σ_n φ_nk x_n (Blei et al. 2017, eq. 34).

    Args:
        prior_variance: variance > 0 of the prior of the means, ().
        x: data (n, d).
        q: the factors; φ are the responsibilities.

    Returns:
        The factors with new means m and variances s².
    """
    means, variances = _from_natural(_conjugate(prior_variance, x, q.responsibilities, 1.0))
    return q._replace(means=means, variances=variances)


def natural(q: Factors) -> Natural:
    """The natural parameters of q(μ).

    Args:
        q: the factors.

    Returns:
        The natural parameters.
    """
    return Natural(1 / q.variances, q.means / q.variances[:, None])


def from_natural(x: Float[Array, "n d"], parameters: Natural) -> Factors:
    """The factors with given natural parameters of q(μ), and with the optimal assignments.

    Args:
        x: data (n, d).
        parameters: the natural parameters.

    Returns:
        The factors.
    """
    means, variances = _from_natural(parameters)
    return Factors(means, variances, _responsibilities(x, means, variances))


def natural_target(
    prior_variance: ArrayLike, batch: Float[Array, "b d"], total: ArrayLike, parameters: Natural
) -> Natural:
    """The target λ̂ of `natural_ascent` for one batch, from natural parameters λ (Hoffman et al. 2013, §2.4).

    It is the result of `update_assignments` and `update_means` if all `total` examples were like the batch: with all
    data as the batch, one sweep of coordinate ascent.

    Args:
        prior_variance: variance > 0 of the prior of the means, ().
        batch: examples (B, d).
        total: the number n of all examples.
        parameters: λ.

    Returns:
        The target λ̂.
    """
    means, variances = _from_natural(parameters)
    return _conjugate(prior_variance, batch, _responsibilities(batch, means, variances), total / len(batch))


def _responsibilities(
    x: Float[Array, "n d"], means: Float[Array, "k d"], variances: Float[Array, " k"]
) -> Float[Array, "n k"]:
    # −½‖x − m‖² instead of mᵀx − ½‖m‖²: equal up to ‖x‖², and accurate far from the origin
    return jax.nn.softmax(-0.5 * (jnp.sum((x[:, None] - means) ** 2, -1) + x.shape[-1] * variances), -1)


def _conjugate(
    prior_variance: ArrayLike, x: Float[Array, "n d"], responsibilities: Float[Array, "n k"], scale: ArrayLike
) -> Natural:
    sums = jnp.einsum("nk,nd->kd", responsibilities, x, precision="highest")
    return Natural(1 / prior_variance + scale * responsibilities.sum(0), scale * sums)


def _from_natural(parameters: Natural) -> tuple[Float[Array, "k d"], Float[Array, " k"]]:
    return parameters.weighted_means / parameters.precisions[:, None], 1 / parameters.precisions


def _log_normal(x: ArrayLike, variance: ArrayLike) -> Array:
    return -0.5 * (x**2 / variance + jnp.log(variance) + math.log(2 * math.pi))
