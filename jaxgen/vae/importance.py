"""Bounds by many draws of the posterior: the importance-weighted bound, and the log-likelihood it tends to."""

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from jaxgen.core import fold_in
from jaxgen.vae._elbo import VAE, log_likelihood, posterior


def importance_weighted_bound(
    key: Key[Array, "..."], model: VAE, x: Float[Array, "b *event"], *, samples: int, block: int | None = None
) -> Float[Array, " b"]:
    """log of the mean of `samples` weights p(x, z)/q(z|x), z ~ q(z|x), in nats (Burda et al. 2016, eq. 8).

    In expectation a lower bound on log p(x), at 1 the ELBO, that does not fall as the samples grow. Differentiable,
    reparameterised. block: draws decoded at once, by default all; memory is that of one block, with a gradient too,
    and the draws are the same whatever it is. key: (), or (B,), by which the result of sample b depends on key[b]
    alone. Raises ValueError unless samples and block are at least 1, and as `elbo` does.
    """
    block = min(samples if block is None else block, samples)
    if block < 1:
        raise ValueError(f"samples and block must be at least 1, got {samples} and {block}")
    q = posterior(model, x)

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
    """−log p(x) in nats, `importance_weighted_bound` of many samples (Burda et al. 2016, §5).

    In expectation too high by about Var(w)/(2·samples·E[w]²), so it overstates what it measures. Time of `samples`
    calls of the decoder per x, memory of `block`. Always the model's own, β = 1, whatever it was trained with.
    Raises as `importance_weighted_bound` does.
    """
    return -importance_weighted_bound(key, model, x, samples=samples, block=block)
