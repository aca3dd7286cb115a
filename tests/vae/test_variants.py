"""Every function of the room: without jit, jitted, on a device and pmapped, to the same numbers; and as vmap of one."""

import chex
import jax
import jax.numpy as jnp
import pytest
from absl.testing import parameterized
from ppca import PPCA

from jaxgen.distributions import Gaussian, likelihoods, pseudo_inputs, vamp_prior
from jaxgen.vae import (
    codebook,
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
CODES = jax.random.normal(jax.random.key(1), (5, 2))
DICTIONARY = jax.random.normal(jax.random.key(2), (2, 6))
BOOK = codebook.create(CODES)


def keys(x):
    """A key for each example, which its own values choose."""
    return jax.vmap(lambda first: jax.random.fold_in(jax.random.key(0), (1e4 * first).astype(int)))(x[:, 0])


def mean(e):
    return Gaussian(jnp.tile(e, 2), jnp.ones((), e.dtype))


def encode(x):
    return x[:, :2] * 2


def vamp(x):
    u = pseudo_inputs(CODES @ jnp.ones((2, 4)), -1.0, 1.0)
    return LAW.model(shift=0.3)._replace(prior=vamp_prior(LAW.encode, u))


def quantised(x):
    losses, _, found = vq_vae_loss(encode, mean, CODES, x, likelihood=likelihoods.gaussian())
    return losses, found


def sparse_coded(x):
    code = lambda e: sparse.ista(e, DICTIONARY, 0.1, steps=5)
    return sc_vae_loss(encode, code, DICTIONARY, mean, x, likelihood=likelihoods.gaussian())


PER_EXAMPLE = {
    "elbo": lambda x: elbo(keys(x), LAW.model(shift=0.3), x, samples=2),
    "elbo_monte_carlo": lambda x: elbo(keys(x), vamp(x), x, samples=2),
    "loss": lambda x: vae_loss(keys(x), LAW.model(shift=0.3), x, beta=4.0),
    "bound": lambda x: importance_weighted_bound(keys(x), LAW.model(shift=0.3), x, samples=3),
    "likelihood": lambda x: negative_log_likelihood(keys(x), vamp(x), x, samples=5, block=2),
    "quantise": lambda x: quantise(encode(x), CODES),
    "vq_vae": quantised,
    "sc_vae": sparse_coded,
    "ista": lambda x: sparse.ista(encode(x), DICTIONARY, 0.1, steps=5),
    "fista": lambda x: sparse.fista(encode(x), DICTIONARY, 0.1, steps=5),
    "lista": lambda x: sparse.lista(sparse.init_lista(DICTIONARY, 0.1), encode(x), steps=5),
    "hoyer": lambda x: (sparse.hoyer(x), sparse.zero_fraction(x)),
}
OF_THE_BATCH = {
    "free_bits": lambda x: vae_loss(keys(x), LAW.model(shift=0.3), x, free_bits=0.6),
    "capacity": lambda x: vae_loss(keys(x), LAW.model(shift=0.3), x, capacity=3.0, beta=10.0),
    "prior_sample": lambda x: vamp(x).prior.sample(jax.random.key(0), (4, 2)),
    "update": lambda x: codebook.update(BOOK, encode(x), quantise(encode(x), CODES).indices),
    "reset": lambda x: codebook.reset_dead(jax.random.key(0), BOOK._replace(counts=jnp.arange(5.0)), encode(x)),
    "perplexity": lambda x: codebook.perplexity(codebook.count(quantise(encode(x), CODES).indices, 5)),
    "unit_atoms": lambda x: (sparse.unit_atoms(x), sparse.lipschitz(x)),
}
FUNCTIONS = PER_EXAMPLE | OF_THE_BATCH


class VariantsTest(chex.TestCase):
    @chex.variants(with_jit=True, without_jit=True, with_device=True, with_pmap=True)
    @parameterized.named_parameters((name, name) for name in FUNCTIONS)
    def test_same_numbers(self, name):
        found = self.variant(FUNCTIONS[name])(X)
        chex.assert_trees_all_close(found, jax.jit(FUNCTIONS[name])(X), rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("name", PER_EXAMPLE)
def test_vmap_is_the_batch(name):
    """With a key for each example nothing depends on its neighbours."""

    def function(x):
        found = PER_EXAMPLE[name](x)
        return (found.value, found.kl_terms) if name.startswith("elbo") else found  # its q broadcasts over the batch

    alone = jax.jit(jax.vmap(lambda x: jax.tree.map(lambda leaf: leaf[0], function(x[None]))))(X)
    chex.assert_trees_all_close(alone, jax.jit(function)(X), rtol=2e-5, atol=2e-5)
