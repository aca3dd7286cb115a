"""The Gamma–exponential model z ~ Gamma(shape, rate), x | z ~ Exp(z), whose posterior is a Gamma distribution.

With the prior Exp(1) = Gamma(1, 1) the posterior is Gamma(2, x + 1): among q = Gamma(2, θ) the best is θ* = x + 1, at
which the bound equals log p(x). All functions broadcast over arrays of x, shapes and rates.
"""

from typing import NamedTuple

import jax.numpy as jnp
from jax.scipy.special import digamma, gammaln
from jax.typing import ArrayLike
from jaxtyping import Array, Float


class Gamma(NamedTuple):
    """The density rate^shape z^{shape−1} e^{−rate z}/Γ(shape) on z > 0."""

    shape: ArrayLike
    rate: ArrayLike


PRIOR = Gamma(1.0, 1.0)


def log_joint(x: ArrayLike, z: ArrayLike, prior: Gamma = PRIOR) -> Float[Array, "..."]:
    """The log joint log p(x, z) = log prior(z) + log z − z x.

    Args:
        x: data ≥ 0.
        z: latents > 0.
        prior: the prior of z.

    Returns:
        The log joint in nats, of the broadcast shape.
    """
    shape, rate = prior
    return shape * jnp.log(rate) - gammaln(shape) + shape * jnp.log(z) - z * (rate + x)


def posterior(x: ArrayLike, prior: Gamma = PRIOR) -> Gamma:
    """The posterior p(z | x) = Gamma(shape + 1, rate + x), for the prior Gamma(shape, rate).

    Args:
        x: data ≥ 0.
        prior: the prior of z.

    Returns:
        The posterior, of x's shape.
    """
    return Gamma(jnp.add(prior.shape, 1), jnp.add(prior.rate, x))


def log_evidence(x: ArrayLike, prior: Gamma = PRIOR) -> Float[Array, "..."]:
    """The Lomax log-density log p(x) = log shape + shape log rate − (shape + 1) log(rate + x).

    Args:
        x: data ≥ 0.
        prior: the prior of z.

    Returns:
        The evidence in nats, of the broadcast shape.
    """
    shape, rate = prior
    return jnp.log(shape) + shape * jnp.log(rate) - (shape + 1) * jnp.log(jnp.add(rate, x))


def elbo(x: ArrayLike, q: Gamma, prior: Gamma = PRIOR) -> Float[Array, "..."]:
    """The ELBO E_q[log p(x, z) − log q(z)], in closed form.

    Args:
        x: data ≥ 0.
        q: the approximate posterior.
        prior: the prior of z.

    Returns:
        The ELBO in nats, of the broadcast shape.
    """
    shape, rate = prior
    mean, mean_log = jnp.divide(q.shape, q.rate), digamma(q.shape) - jnp.log(q.rate)
    return shape * jnp.log(rate) - gammaln(shape) + shape * mean_log - mean * (rate + x) + entropy(q.shape, q.rate)


def optimal_rate(x: ArrayLike, shape: ArrayLike = 2.0, prior: Gamma = PRIOR) -> Float[Array, "..."]:
    """The rate θ of the best q = Gamma(shape, θ): shape (prior.rate + x)/(prior.shape + 1), by default x + 1.

    Args:
        x: data ≥ 0.
        shape: the shape > 0 of q.
        prior: the prior of z.

    Returns:
        The rate, of the broadcast shape.
    """
    return shape * jnp.add(prior.rate, x) / (prior.shape + 1)


def entropy(shape: ArrayLike, rate: ArrayLike) -> Float[Array, "..."]:
    """The entropy of a Gamma distribution.

    Args:
        shape: its shape > 0.
        rate: its rate > 0.

    Returns:
        The entropy in nats, of the broadcast shape.
    """
    return shape - jnp.log(rate) + gammaln(shape) + (1 - jnp.asarray(shape)) * digamma(shape)


def kl(q: Gamma, p: Gamma) -> Float[Array, "..."]:
    """KL(q ‖ p) of two Gamma distributions, in closed form.

    Args:
        q: the distribution under which the mean is taken.
        p: the other distribution.

    Returns:
        The divergence in nats, of the broadcast shape.
    """
    ratio = jnp.divide(p.rate, q.rate)
    return (
        (jnp.asarray(q.shape) - p.shape) * digamma(q.shape) - gammaln(q.shape) + gammaln(p.shape)
        - p.shape * jnp.log(ratio) + q.shape * (ratio - 1)
    )  # fmt: skip
