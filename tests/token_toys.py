"""Laws of a few tokens that can be enumerated, and the exact conditionals of a process on them."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np

from jaxgen.discrete_diffusion import (
    absorbing,
    bound_term,
    cosine_schedule,
    gaussian_chain,
    linear_schedule,
    ordinal,
    rate_term,
    reciprocal_betas,
    schedule_from_betas,
    uniform,
)

K, L = 4, 3
CONTINUOUS = {
    "absorbing": absorbing(K, linear_schedule()),
    "uniform": uniform(K, cosine_schedule()),
    "ordinal": ordinal(K, linear_schedule()),
}
CHAINS = {
    "absorbing": absorbing(K, schedule_from_betas(reciprocal_betas(8))),
    "uniform": uniform(K, schedule_from_betas(reciprocal_betas(8))),
    "ordinal": gaussian_chain(K, np.linspace(0.2, 6.0, 8)),
}


def all_tokens(states, length):
    """Every sequence of tokens (states^length, length)."""
    return np.array(list(itertools.product(range(states), repeat=length)), np.int32)


class Toy:
    """A law of sequences of tokens, and networks that know it."""

    def __init__(self, length=L, seed=0):
        self.length = length
        self.x = all_tokens(K, length)
        self.p = np.random.default_rng(seed).dirichlet(np.full(len(self.x), 0.7))
        self.log_p = np.log(self.p).astype(np.float32)

    def marginals(self):
        """p(x^l = k), (L, K)."""
        return np.stack([np.bincount(self.x[:, place], self.p, K) for place in range(self.length)])

    def network(self, process, predicts):
        """The exact logits of p(x_0^l | x_t), or of p(x_0^l | x_t^{−l}), by enumeration."""
        one_hot = jax.nn.one_hot(self.x, K)  # (N, L, K)
        used = np.ones((self.length,) * 2) if predicts == "x0" else 1 - np.eye(self.length)

        def network(x_t, t, cond=None):
            evidence = process.log_evidence(x_t, t)  # (B, L, K)
            each = evidence[:, np.arange(self.length), self.x]  # (B, N, L)
            log_weight = self.log_p[:, None] + jnp.where(used == 1, each[:, :, None], 0).sum(-1)
            weight = jnp.exp(log_weight - log_weight.max(1, keepdims=True))
            return jnp.log(jnp.einsum("bnl,nlk->blk", weight, one_hot))

        return network


def exact_integrand(process, denoise, x0, t):
    """E[rate_term | x_0] at a time, over every x_t, for sequences x0 (N, L)."""
    return _over_noisy(process, denoise, x0, t, lambda *found: rate_term(process, *found, t))


def exact_term(process, denoise, x0, s, t):
    """E[bound_term | x_0] of a step, over every x_t."""
    return _over_noisy(process, denoise, x0, t, lambda *found: bound_term(process, *found, s, t))


def _over_noisy(process, denoise, x0, t, term):
    x_t = jnp.asarray(all_tokens(process.states, x0.shape[1]))
    n, m = len(x0), len(x_t)
    log_q = process.log_marginal(jnp.asarray(x0), t)[:, np.arange(x0.shape[1]), x_t].sum(-1)  # (N, M)
    each = jax.tree.map(lambda leaf: jnp.tile(leaf, (n, 1, 1)), denoise(x_t, t))
    found = term(each, jnp.tile(x_t, (n, 1)), jnp.repeat(jnp.asarray(x0), m, axis=0)).reshape(n, m)
    return jnp.where(log_q > -jnp.inf, jnp.exp(log_q) * found, 0).sum(1)
