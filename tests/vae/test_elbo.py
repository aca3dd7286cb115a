"""The bound against probabilistic PCA, where every term of it is known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ppca import PPCA
from scipy.stats import norm

from jaxgen.distributions import Gaussian, diagonal_mixture, likelihoods
from jaxgen.vae import VAE, elbo

KEY = jax.random.key(0)
LAW = PPCA()
X = jnp.asarray(LAW.sample(6), jnp.float32)


def many(x, n):
    """x (dims,) n times over: a batch whose rows draw their own noise."""
    return jnp.broadcast_to(x, (n, *x.shape))


def mean_and_error(values):
    values = np.asarray(values, np.float64)
    return values.mean(), values.std() / np.sqrt(len(values))


@pytest.mark.slow
def test_samples_are_averaged_and_differ():
    model = LAW.model(shift=0.4)
    one, four = (elbo(KEY, model, many(X[0], 5000), kl="monte_carlo", samples=n) for n in (1, 4))
    for field in ("reconstruction", "kl"):
        variances = [np.var(np.asarray(getattr(found, field))) for found in (one, four)]
        # the variance of a variance of n draws is about 2/n of it, and of heavy-tailed squares a few times more
        np.testing.assert_allclose(variances[0] / variances[1], 4, rtol=0.25)


@pytest.mark.slow
def test_the_prior_chooses_between_closed_form_and_monte_carlo():
    mixture = diagonal_mixture(Gaussian(jnp.zeros((1, 2)), jnp.ones(())))
    model = LAW.model(shift=0.4)
    assert elbo(KEY, model, X).kl_terms.shape == (6, 2)
    found = elbo(KEY, model._replace(prior=mixture), X)
    assert found.kl_terms.shape == (6, 1)
    # a mixture of one N(0, I) is N(0, I)
    np.testing.assert_allclose(found.kl, elbo(KEY, model, X, kl="monte_carlo").kl, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_latents_of_any_shape():
    """A latent of shape (2, 3) is one of 6 dimensions."""
    encode = lambda x: Gaussian(jnp.stack([x, -x], 1), jnp.full((len(x), 2, 3), 0.5))
    model = VAE(encode, lambda z: z[:, 0], likelihoods.bernoulli())
    x = jnp.round(jax.random.uniform(KEY, (4, 3)))
    found = elbo(KEY, model, x, samples=2)
    assert found.kl_terms.shape == (4, 2, 3)
    per_dim = 0.5 * (np.asarray(x) ** 2 + 0.25 - 1 - np.log(0.25))
    np.testing.assert_allclose(found.kl, 2 * per_dim.sum(-1), rtol=1e-6)
    sampled = elbo(KEY, model, jnp.broadcast_to(x[0], (5000, 3)), kl="monte_carlo")
    centre, spread = mean_and_error(sampled.kl)
    assert abs(centre - 2 * per_dim[0].sum()) < 4 * spread


def test_the_terms_are_the_expectations_that_they_claim():
    """E_q −log p(x|z) of a Gaussian likelihood in closed form; that of the KL is C2.4."""
    q = LAW.encode(np.float64(X[:1]), shift=0.4, stretch=1.3)
    mean, std = np.float64(q.mean[0]), np.float64(q.std)
    error = np.float64(X[0]) - LAW.weight @ mean - LAW.mean
    square = (error @ error + ((LAW.weight * std) ** 2).sum()) / LAW.noise**2
    reconstruction = 0.5 * (square + len(error) * np.log(2 * np.pi * LAW.noise**2))
    found = elbo(KEY, LAW.model(shift=0.4, stretch=1.3), many(X[0], 20_000))
    centre, spread = mean_and_error(found.reconstruction)
    assert abs(centre - reconstruction) < 4 * spread
    kl_terms = 0.5 * (mean**2 + std**2 - 1 - np.log(std**2))
    np.testing.assert_allclose(found.kl_terms, np.broadcast_to(kl_terms, found.kl_terms.shape), rtol=1e-5)
    np.testing.assert_allclose(found.value, -found.reconstruction - found.kl, rtol=1e-6)


def test_the_default_prior_is_standard_normal():
    model = VAE(LAW.encode, LAW.decode, likelihoods.gaussian())
    z = jax.random.normal(KEY, (5, 3))
    np.testing.assert_allclose(model.prior.log_density(z), norm.logpdf(z).sum(-1), rtol=1e-5)


@pytest.mark.slow
def test_at_the_exact_posterior_every_draw_is_log_p_and_float64_is_kept():
    """log p(x|z) + log p(z) − log p(z|x) = log p(x) whatever z is."""
    with jax.enable_x64(True):
        x = jnp.asarray(LAW.sample(6), jnp.float64)
        found = elbo(jax.random.key(0), LAW.model(), x, kl="monte_carlo")
        assert found.value.dtype == jnp.float64
        np.testing.assert_allclose(found.value, LAW.log_p(x), rtol=1e-12)
        assert elbo(jax.random.key(0), LAW.model(), x).kl.dtype == jnp.float64


class OwnPrior:
    """All that a prior needs; it has no closed form of the KL."""

    def sample(self, key, shape):
        return jnp.zeros(shape)

    def log_density(self, z):
        return z.sum(-1)


def test_refusals(unchecked):
    model = LAW.model()
    for changes, options, message in (
        ({}, {"kl": "exact"}, "unknown kl 'exact'"),
        ({"prior": OwnPrior()}, {"kl": "analytic"}, "no closed form"),
        ({}, {"samples": 0}, "samples must be at least 1"),
        ({"encode": lambda x: Gaussian(x[:, 0], x[:, 0] ** 2)}, {}, r"Gaussian of shape \(6, \*d\), got \(6,\)"),
        ({"likelihood": lambda x, params: params.mean.sum()}, {}, r"one value per example, \(6,\), got \(\)"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=message):
            elbo(KEY, model._replace(**changes), X, **options)
    assert elbo(KEY, model._replace(prior=OwnPrior()), X).kl_terms.shape == (6, 1)
