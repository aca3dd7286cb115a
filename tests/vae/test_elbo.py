"""The bound against probabilistic PCA, where every term of it is known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ppca import PPCA
from scipy.stats import norm

from jaxgen.distributions import Gaussian, Prior, diagonal_mixture, likelihoods, standard_normal
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


def test_at_the_exact_posterior_every_draw_is_log_p():
    """log p(x|z) + log p(z) − log p(z|x) = log p(x) whatever z is."""
    found = elbo(KEY, LAW.model(), X, kl="monte_carlo")
    np.testing.assert_allclose(found.value, LAW.log_p(X), rtol=2e-5)


@pytest.mark.parametrize("kl", ["analytic", "monte_carlo"])
def test_the_terms_are_the_expectations_that_they_claim(kl):
    """E_q −log p(x|z) of a Gaussian likelihood, and KL(q ‖ N(0, I)), both in closed form."""
    q = LAW.encode(np.float64(X[:1]), shift=0.4, stretch=1.3)
    mean, std = np.float64(q.mean[0]), np.float64(q.std)
    error = np.float64(X[0]) - LAW.weight @ mean - LAW.mean
    square = (error @ error + ((LAW.weight * std) ** 2).sum()) / LAW.noise**2
    reconstruction = 0.5 * (square + len(error) * np.log(2 * np.pi * LAW.noise**2))
    kl_terms = 0.5 * (mean**2 + std**2 - 1 - np.log(std**2))
    found = elbo(KEY, LAW.model(shift=0.4, stretch=1.3), many(X[0], 20_000), kl=kl)
    centre, spread = mean_and_error(found.reconstruction)
    assert abs(centre - reconstruction) < 4 * spread
    if kl == "analytic":
        np.testing.assert_allclose(found.kl_terms, np.broadcast_to(kl_terms, found.kl_terms.shape), rtol=1e-5)
        np.testing.assert_allclose(found.kl, np.full(20_000, kl_terms.sum()), rtol=1e-5)
    else:
        assert found.kl_terms.shape == (20_000, 1)
        centre, spread = mean_and_error(found.kl)
        assert abs(centre - kl_terms.sum()) < 4 * spread
    np.testing.assert_allclose(found.value, -found.reconstruction - found.kl, rtol=1e-6)


def test_samples_are_averaged_and_differ():
    model = LAW.model(shift=0.4)
    one, four = (elbo(KEY, model, many(X[0], 5000), kl="monte_carlo", samples=n) for n in (1, 4))
    for field in ("reconstruction", "kl"):
        variances = [np.var(np.asarray(getattr(found, field))) for found in (one, four)]
        # the variance of a variance of n draws is about 2/n of it, and of heavy-tailed squares a few times more
        np.testing.assert_allclose(variances[0] / variances[1], 4, rtol=0.25)


def test_with_a_key_each_a_row_depends_on_its_key_alone():
    keys = jax.random.split(KEY, len(X))
    whole = elbo(keys, LAW.model(shift=0.4), X, kl="monte_carlo", samples=3)
    part = elbo(keys[2:4], LAW.model(shift=0.4), X[2:4], kl="monte_carlo", samples=3)
    np.testing.assert_allclose(part.value, whole.value[2:4], rtol=1e-6)
    other = elbo(keys[::-1], LAW.model(shift=0.4), X, kl="monte_carlo", samples=3)
    assert np.all(np.abs(np.asarray(other.value - whole.value))[[0, 5]] > 1e-4)


def test_the_prior_chooses_between_closed_form_and_monte_carlo():
    mixture = diagonal_mixture(Gaussian(jnp.zeros((1, 2)), jnp.ones(())))
    model = LAW.model(shift=0.4)
    assert elbo(KEY, model, X).kl_terms.shape == (6, 2)
    found = elbo(KEY, model._replace(prior=mixture), X)
    assert found.kl_terms.shape == (6, 1)
    # a mixture of one N(0, I) is N(0, I)
    np.testing.assert_allclose(found.kl, elbo(KEY, model, X, kl="monte_carlo").kl, rtol=1e-4, atol=1e-5)


def test_the_reparameterised_gradient_is_that_of_the_expectation():
    """d/dm and d/ds of E_q log p(x|z) − KL for q = N(m, s²) in one dimension, by hand."""
    weight, noise, x, m, s, n = 1.5, 0.7, 0.8, 0.3, 0.9, 40_000

    def value(params, key):
        q = Gaussian(jnp.full((1, 1), params[0]), params[1])
        model = VAE(lambda x: q, lambda z: Gaussian(weight * z, jnp.asarray(noise, z.dtype)), likelihoods.gaussian())
        return elbo(key, model, jnp.full((1, 1), x)).value[0]

    gradients = np.asarray(jax.vmap(jax.grad(value), (None, 0))(jnp.array([m, s]), jax.random.split(KEY, n)))
    exact = [weight * (x - weight * m) / noise**2 - m, -(weight**2) * s / noise**2 - s + 1 / s]
    assert np.all(np.abs(gradients.mean(0) - exact) < 4 * gradients.std(0) / np.sqrt(n))


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


def test_the_default_prior_is_standard_normal():
    model = VAE(LAW.encode, LAW.decode, likelihoods.gaussian())
    z = jax.random.normal(KEY, (5, 3))
    np.testing.assert_allclose(model.prior.log_density(z), norm.logpdf(z).sum(-1), rtol=1e-5)
    draws = np.asarray(standard_normal().sample(KEY, (4000, 2)))
    assert abs(draws.mean()) < 4 / np.sqrt(8000)
    assert abs(draws.var() - 1) < 4 * np.sqrt(2 / 8000)


def test_float64_is_kept():
    with jax.enable_x64(True):
        x = jnp.asarray(LAW.sample(6), jnp.float64)
        found = elbo(jax.random.key(0), LAW.model(), x, kl="monte_carlo")
        assert found.value.dtype == jnp.float64
        np.testing.assert_allclose(found.value, LAW.log_p(x), rtol=1e-12)
        assert elbo(jax.random.key(0), LAW.model(), x).kl.dtype == jnp.float64


@pytest.mark.usefixtures("unchecked")
def test_refusals():
    model = LAW.model()
    with pytest.raises(ValueError, match="unknown kl 'exact'"):
        elbo(KEY, model, X, kl="exact")
    with pytest.raises(ValueError, match="no closed form"):
        elbo(
            KEY, model._replace(prior=Prior(lambda z: z.sum(-1), lambda key, shape: jnp.zeros(shape))), X, kl="analytic"
        )
    with pytest.raises(ValueError, match="at least one sample"):
        elbo(KEY, model, X, samples=0)
    with pytest.raises(ValueError, match=r"encode must return a Gaussian of shape \(6, \*d\), got \(6,\)"):
        elbo(KEY, model._replace(encode=lambda x: Gaussian(x[:, 0], x[:, 0] ** 2)), X)
    with pytest.raises(ValueError, match=r"one value per example, \(6,\), got \(\)"):
        elbo(KEY, model._replace(likelihood=lambda x, params: params.mean.sum()), X)
