"""Each kind of autoencoder through the house's train step, on data of which the best that it can do is known."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from oracles import nightly
from ppca import PPCA
from scipy.special import logsumexp
from scipy.stats import norm
from sklearn.decomposition import PCA

from jaxgen import training
from jaxgen.distributions import Gaussian, likelihoods, pseudo_inputs, standard_normal, vamp_prior
from jaxgen.vae import VAE, codebook, elbo, negative_log_likelihood, vae_loss, vq_vae_loss

KEY = jax.random.key(0)


def train(loss, params, batch, steps, rate, carry=None, **options):
    """The state after so many steps of Adam on batch(n), and the last metrics."""
    optimizer = optax.adam(optax.cosine_decay_schedule(rate, steps))
    state = training.create_state(KEY, params, optimizer, carry)
    step = training.make_train_step(loss, optimizer, ema=None, **options)
    for n in range(steps):
        state, metrics = step(state, batch(n))
    return state, metrics


def linear_vae(params, prior=None, squash=lambda mean: mean):
    """Everything linear, with one std for each latent and one for all data."""

    def encode(x):
        return Gaussian(squash(x @ params["read"] + params["offset"]), jnp.exp(params["log_std"]))

    def decode(z):
        return Gaussian(z @ params["write"] + params["mean"], jnp.exp(params["log_noise"]))

    return VAE(encode, decode, likelihoods.gaussian(), standard_normal() if prior is None else prior(encode, params))


def linear_params(dims, latents):
    read, write = jax.random.normal(KEY, (dims, latents)), jax.random.normal(jax.random.key(1), (latents, dims))
    zeros = {"offset": (latents,), "log_std": (latents,), "mean": (dims,), "log_noise": ()}
    return {"read": 0.5 * read, "write": 0.5 * write, **{name: jnp.zeros(shape) for name, shape in zeros.items()}}


@pytest.mark.slow
def test_a_linear_vae_learns_probabilistic_pca():
    """To the likelihood that scikit-learn's closed form has, where the ELBO is tight."""
    x = PPCA(dims=4, latents=2).sample(400)
    best = PCA(2, svd_solver="full").fit(x).score(x)
    x = jnp.asarray(x, jnp.float32)
    loss = lambda key, params, x: vae_loss(key, linear_vae(params), x)
    state, metrics = train(loss, linear_params(4, 2), lambda n: x, 1200, 0.03)
    assert metrics.keys() == {"loss", "grad_norm", "reconstruction", "kl"}
    np.testing.assert_allclose(metrics["loss"], metrics["reconstruction"] + metrics["kl"], rtol=1e-5)
    model = linear_vae(state.params)
    value = elbo(KEY, model, x, kl="monte_carlo", samples=20).value.mean()
    likelihood = -negative_log_likelihood(KEY, model, x, samples=500).mean()
    np.testing.assert_allclose([value, likelihood], best, atol=0.02)
    assert value < likelihood + 1e-3


@nightly("kind", ["normal", "vamp"])
def test_a_vamp_prior_learns_what_a_normal_one_cannot(kind):
    """Two far kinds of one number: a linear likelihood of N(0, 1) is a Gaussian, of two pseudo-inputs the mixture."""
    rng = np.random.default_rng(0)
    x = rng.choice([0.2, 0.8], 1000) + 0.05 * rng.standard_normal(1000)
    mixture = logsumexp(norm.logpdf(x[:, None], [0.2, 0.8], 0.05), axis=-1).mean() - np.log(2)
    gaussian = norm.logpdf(x, x.mean(), x.std()).mean()

    def prior(encode, params):
        return vamp_prior(encode, pseudo_inputs(params["u"])) if kind == "vamp" else standard_normal()

    # the mean of q may saturate, so that a kind's members can be coded alike, and begins by telling the kinds apart
    model = lambda params: linear_vae(params, prior, jnp.tanh)
    start = {"read": [[4.0]], "offset": [-2.0], "write": [[0.2]], "mean": [0.5], "log_std": [-1.0], "log_noise": -2.0}
    params = {name: jnp.array(value) for name, value in start.items()} | {"u": jnp.array([[-0.5], [0.5]])}
    x = jnp.asarray(x[:, None], jnp.float32)
    state, _ = train(lambda key, params, x: vae_loss(key, model(params), x), params, lambda n: x, 1000, 0.03)
    found = -negative_log_likelihood(KEY, model(state.params), x, samples=500).mean()
    assert mixture - gaussian > 0.8
    np.testing.assert_allclose(found, mixture if kind == "vamp" else gaussian, atol=0.05)


@nightly("accumulate", [1, 2])
def test_a_vq_vae_whose_codebook_is_carried_tells_kinds_apart(accumulate):
    """Four kinds in the plane: each gets codes of its own, and is drawn by its mean."""
    rng = np.random.default_rng(0)
    kinds = np.array([[1.0, 1], [-1, 1], [-1, -1], [1, -1]])
    labels = rng.integers(0, 4, 512)
    x = jnp.asarray(kinds[labels] + 0.1 * rng.standard_normal((512, 2)), jnp.float32)
    encode = lambda params: lambda x: (x @ params["read"])[:, None]  # one place
    decode = lambda params: lambda e: Gaussian(e[:, 0] @ params["write"], jnp.asarray(0.3))

    def loss(key, params, x, book):
        losses, metrics, found = vq_vae_loss(
            encode(params), decode(params), book.codes, x, likelihood=likelihoods.gaussian(), codebook_weight=0.0
        )
        book = codebook.update(book, found.encodings, found.indices, decay=0.95)
        return losses, metrics, {"book": codebook.reset_dead(key, book, found.encodings)}

    params = {"read": jnp.eye(2), "write": 0.3 * jnp.eye(2)}
    book = codebook.from_encodings(KEY, encode(params)(x), 8)
    batch = lambda n: x[(64 * n) % 512 : (64 * n) % 512 + 64]
    state, metrics = train(loss, params, batch, 300, 0.01, {"book": book}, accumulate=accumulate)
    assert {"reconstruction", "commitment"} <= metrics.keys()
    _, _, found = vq_vae_loss(
        encode(state.params), decode(state.params), state.carry["book"].codes, x, likelihood=likelihoods.gaussian()
    )
    drawn = decode(state.params)(found.codes).mean
    assert np.square(drawn - x).mean() < 1.3 * 0.1**2
    indices = np.asarray(found.indices[:, 0])
    assert all(len({*labels[indices == k]}) == 1 for k in np.unique(indices))
    assert codebook.perplexity(codebook.count(found.indices, 8)) > 3.9
