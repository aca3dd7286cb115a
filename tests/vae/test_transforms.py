"""vmap of one example, compiled, is the batch, for every function of the room that treats examples alone."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ppca import PPCA

from jaxgen.distributions import Gaussian, likelihoods, pseudo_inputs, vamp_prior
from jaxgen.vae import (
    elbo,
    importance_weighted_bound,
    negative_log_likelihood,
    quantise,
    sc_vae_loss,
    sparse,
    vae_loss,
    vq_vae_loss,
)

LAW = PPCA()
X = jnp.asarray(LAW.sample(6), jnp.float32)
CODES = jnp.asarray(np.random.default_rng(1).normal(size=(5, 2)), jnp.float32)
DICTIONARY = jnp.asarray(np.random.default_rng(2).normal(size=(2, 6)), jnp.float32)


def every(keys, x):
    e, model = 2 * x[:, :2], LAW.model(shift=0.3)
    mean = lambda e: Gaussian(jnp.tile(e, 2), jnp.ones((), e.dtype))
    u = pseudo_inputs(CODES @ jnp.ones((2, 4)), -1.0, 1.0)
    vamp = model._replace(prior=vamp_prior(LAW.encode, u))
    code = lambda e: sparse.ista(e, DICTIONARY, 0.1, steps=5)
    bounds = elbo(keys, model, x, samples=2), elbo(keys, vamp, x, samples=2)
    return {
        "elbo": [(bound.value, bound.kl_terms) for bound in bounds],  # q broadcasts over the batch
        "loss": vae_loss(keys, model, x, beta=4.0),
        "bound": importance_weighted_bound(keys, model, x, samples=3),
        "likelihood": negative_log_likelihood(keys, vamp, x, samples=5, block=2),
        "quantise": quantise(e, CODES),
        "vq_vae": vq_vae_loss(lambda x: e, mean, CODES, x, likelihood=likelihoods.gaussian()),
        "sc_vae": sc_vae_loss(lambda x: e, code, DICTIONARY, mean, x, likelihood=likelihoods.gaussian()),
        "fista": sparse.fista(e, DICTIONARY, 0.1, steps=5),
        "lista": sparse.lista(sparse.init_lista(DICTIONARY, 0.1), e, steps=5),
        "sparsity": (sparse.hoyer(x), sparse.zero_fraction(x)),
    }


@pytest.mark.slow
def test_vmap_is_the_batch():
    """With a key for each example nothing depends on its neighbours; without jit the numbers are the same."""
    keys = jax.random.split(jax.random.key(0), len(X))
    one = lambda key, x: jax.tree.map(lambda leaf: leaf[0], every(key[None], x[None]))
    chex.assert_trees_all_close(jax.jit(jax.vmap(one))(keys, X), every(keys, X), rtol=2e-5, atol=2e-5)
