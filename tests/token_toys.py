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
        self.log_p = np.log(self.p)

    def marginals(self):
        """p(x^l = k), (L, K)."""
        return np.stack([np.bincount(self.x[:, place], self.p, K) for place in range(self.length)])

    def network(self, process, predicts):
        """The exact logits of p(x_0^l | x_t), or of p(x_0^l | x_t^{−l}), by enumeration."""
        x, log_p = jnp.asarray(self.x), jnp.asarray(self.log_p, jnp.float32)

        def network(x_t, t, cond=None):
            evidence = process.log_evidence(x_t, t)  # (B, L, K)
            each = jnp.stack([evidence[:, place][:, x[:, place]] for place in range(self.length)])  # (L, B, N)
            laws = []
            for place in range(self.length):
                kept = [other for other in range(self.length) if predicts == "x0" or other != place]
                log_weight = log_p + sum((each[other] for other in kept), jnp.zeros(log_p.shape))
                weight = jnp.exp(log_weight - log_weight.max(-1, keepdims=True))
                laws.append(weight @ jax.nn.one_hot(x[:, place], K))
            return jnp.log(jnp.stack(laws, 1))

        return network


def exact_integrand(process, denoise, x0, t):
    """E[rate_term | x_0] at a time, over every x_t, for sequences x0 (N, L)."""
    return _over_noisy(process, denoise, x0, t, lambda *found: rate_term(process, *found, t))


def exact_term(process, denoise, x0, s, t):
    """E[bound_term | x_0] of a step, over every x_t."""
    return _over_noisy(process, denoise, x0, t, lambda *found: bound_term(process, *found, s, t))


def _over_noisy(process, denoise, x0, t, term):
    x_t = jnp.asarray(all_tokens(process.states, x0.shape[1]))
    prediction = denoise(x_t, t)
    log_q = process.log_marginal(jnp.asarray(x0), t)  # (N, L, S)

    def of_one(x0, log_q):
        each = sum(log_q[place, x_t[:, place]] for place in range(x0.shape[0]))
        found = term(prediction, x_t, jnp.broadcast_to(x0, x_t.shape))
        return jnp.where(each > -jnp.inf, jnp.exp(each) * found, 0).sum()

    return jax.vmap(of_one)(jnp.asarray(x0), log_q)
