"""Importance-weighted bounds, and the log-likelihood that they converge to."""

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from jaxgen.core import check_at_least, fold_in, threefry_key
from jaxgen.vae._elbo import VAE, log_likelihood, posterior


def importance_weighted_bound(
    key: Key[Array, "..."], model: VAE, x: Float[Array, "b *event"], *, samples: int, block: int | None = None
) -> Float[Array, " b"]:
    """The importance-weighted bound: the log of the mean of K weights p(x, z_k)/q(z_k|x), z_k ~ q(z|x), in nats.

    In expectation it is a lower bound on log p(x), the ELBO at K = 1, and does not decrease with K. It is
    differentiable and reparameterised.

    Args:
        key: one key, or keys (B,), in which case the result of example b depends on key[b] alone.
        model: the autoencoder.
        x: data (B, *event).
        samples: the number K of draws ≥ 1.
        block: the number of draws decoded at once, all by default. Memory is that of one block, also for a gradient.
            The draws do not depend on it.

    Returns:
        The bound (B,).

    Raises:
        ValueError: if samples or block is below 1, or the encoder or the likelihood does not return one result per
            example.

    Reference:
        Burda et al. 2016, eq. 8.
    """
    block = min(samples if block is None else block, samples)
    check_at_least(1, samples=samples, block=block)
    q, key = posterior(model, x), threefry_key(key)

    def log_weight(index: Array) -> Float[Array, " b"]:
        z = q.sample(fold_in(key, index))
        return log_likelihood(model, x, z) + model.prior.log_density(z) - q.log_density(z)

    @jax.checkpoint
    def add(total: Float[Array, " b"], start: Array) -> tuple[Float[Array, " b"], None]:
        index = start + jnp.arange(block)
        weights = jnp.where(index[:, None] < samples, jax.vmap(log_weight)(index), -jnp.inf)
        return jnp.logaddexp(total, jax.nn.logsumexp(weights, axis=0)), None

    dtype = jax.eval_shape(log_weight, jax.ShapeDtypeStruct((), jnp.int32)).dtype
    starts = block * jnp.arange(-(-samples // block))
    total, _ = jax.lax.scan(add, jnp.full(len(x), -jnp.inf, dtype), starts)
    return total - math.log(samples)


def negative_log_likelihood(
    key: Key[Array, "..."], model: VAE, x: Float[Array, "b *event"], *, samples: int = 5000, block: int = 50
) -> Float[Array, " b"]:
    """Estimate −log p(x) in nats by `importance_weighted_bound` with many samples.

    In expectation the estimate is too high, by about Var(w)/(2·samples·E[w]²) for weights w. It takes the time of
    `samples` calls of the decoder per example and the memory of `block`.

    Args:
        key: one key, or keys (B,), in which case the result of example b depends on key[b] alone.
        model: the autoencoder.
        x: data (B, *event).
        samples: the number of draws ≥ 1.
        block: the number of draws ≥ 1 that are decoded at once.

    Returns:
        The estimate (B,).

    Raises:
        ValueError: as `importance_weighted_bound` does.

    Reference:
        Burda et al. 2016, §5.
    """
    return -importance_weighted_bound(key, model, x, samples=samples, block=block)
