"""C4.9 on a toy of two known factors: a larger β takes them apart, and one too large forgets them."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxgen.distributions.likelihoods import bernoulli
from jaxgen.metrics import binned_mig
from jaxgen.nets import MLPDecoder, MLPEncoder
from jaxgen.vae import VAE, elbo, vae_loss

BETAS, SEEDS, STEPS, LATENTS = (1.0, 4.0, 8.0), 8, 3000, 4
FACTORS = np.stack(np.meshgrid(np.arange(8), np.arange(8), indexing="ij"), -1).reshape(-1, 2)


def bars(centres):
    """A bar of five pixels of sixteen about each centre."""
    return np.abs(np.arange(16) - centres[:, None]) <= 2.5


@pytest.fixture(scope="module")
def trained():
    """q(z|x) of all 64 images and their KL, by β and seed."""
    # one bar travels farther than the other, so that the two factors are of unequal spread
    rows = bars(1.5 + FACTORS[:, 0] * 13 / 7), bars(4 + FACTORS[:, 1] * 8 / 7)
    x = jnp.asarray(np.concatenate(rows, axis=1), jnp.float32)
    encoder, painter = MLPEncoder(LATENTS, (32,)), MLPDecoder((32,), (32,), "tanh")
    optimizer = optax.adam(optax.cosine_decay_schedule(1e-2, STEPS))

    def model(params):
        encode, decode = (partial(net.apply, params[i]) for i, net in enumerate((encoder, painter)))
        return VAE(encode, decode, bernoulli())

    def train(beta, seed):
        *keys, key = jax.random.split(jax.random.key(seed), 3)
        params = encoder.init(keys[0], x[:1]), painter.init(keys[1], jnp.zeros((1, LATENTS)))

        def step(state, i):
            params, moments = state
            loss = lambda params: vae_loss(jax.random.fold_in(key, i), model(params), x, beta=beta)[0].mean()
            updates, moments = optimizer.update(jax.grad(loss)(params), moments)
            return (optax.apply_updates(params, updates), moments), None

        (params, _), _ = jax.lax.scan(step, (params, optimizer.init(params)), jnp.arange(STEPS))
        return model(params).encode(x).mean, elbo(key, model(params), x).kl.mean()

    every = jax.vmap(jax.vmap(train, (None, 0)), (0, None))
    means, kl = jax.jit(every)(jnp.array(BETAS), jnp.arange(SEEDS))
    return np.asarray(means), np.asarray(kl)


@pytest.mark.slow
def test_c4_9_a_larger_beta_raises_the_mutual_information_gap(trained):
    """Paired by seed, beyond four standard errors; at β = 8 the code is all but empty and no gap is left."""
    means, _ = trained
    gaps = np.array([[binned_mig(code, FACTORS, bins=8).score for code in of] for of in means])
    rise = gaps[1] - gaps[0]
    assert rise.mean() > 4 * rise.std(ddof=1) / np.sqrt(SEEDS)
    assert gaps[2].mean() < gaps[0].mean()


@pytest.mark.slow
def test_c4_9_a_larger_beta_lowers_the_kl_of_what_is_learned(trained):
    _, kl = trained
    assert np.all(np.diff(kl, axis=0) < 0)
