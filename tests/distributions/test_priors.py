"""Priors against scipy, and pseudo-inputs."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ppca import PPCA
from scipy.special import logsumexp
from scipy.stats import kstest, norm

from jaxgen.distributions import (
    Gaussian,
    diagonal_mixture,
    init_pseudo_inputs,
    pseudo_inputs,
    standard_normal,
    vamp_prior,
)
from jaxgen.vae import elbo

KEY = jax.random.key(0)
MEANS = np.random.default_rng(0).standard_normal((5, 3)) * 2
STDS = np.random.default_rng(1).uniform(0.2, 2, (5, 3))
COMPONENTS = Gaussian(jnp.asarray(MEANS, jnp.float32), jnp.asarray(STDS, jnp.float32))
WEIGHTS = np.array([0.1, 0.3, 0.2, 0.4, 0.0])
Z = jnp.asarray(np.random.default_rng(2).normal(size=(7, 3)), jnp.float32) * 3


def exact_mixture(z, weights):
    """log Σ w_k N(z; μ_k, σ_k²) of scipy."""
    with np.errstate(divide="ignore"):
        terms = norm.logpdf(np.float64(z)[:, None], MEANS, STDS).sum(-1) + np.log(weights)
    return logsumexp(terms, axis=-1)


@pytest.mark.parametrize("weights", [None, WEIGHTS, 3 * WEIGHTS])
def test_mixture_density_is_scipys(weights):
    found = diagonal_mixture(COMPONENTS, weights).log_density(Z)
    exact = exact_mixture(Z, np.full(5, 0.2) if weights is None else WEIGHTS)
    np.testing.assert_allclose(found, exact, rtol=2e-5)
    # far out only one component is left, and its digits are kept
    far = diagonal_mixture(COMPONENTS).log_density(1e4 * Z)
    np.testing.assert_allclose(far, exact_mixture(1e4 * Z, np.full(5, 0.2)), rtol=1e-5)


def test_mixture_draws_follow_the_mixture():
    draws = np.asarray(diagonal_mixture(COMPONENTS, WEIGHTS).sample(KEY, (8000, 3)))
    for i in range(3):
        law = lambda z, i=i: (WEIGHTS * norm.cdf(z[:, None], MEANS[:, i], STDS[:, i])).sum(-1)
        assert kstest(draws[:, i], law).pvalue > 1e-3
    # the dimensions of a draw come from one component
    exact = (WEIGHTS[:, None] * MEANS).T @ MEANS - np.outer(WEIGHTS @ MEANS, WEIGHTS @ MEANS)
    exact += np.diag(WEIGHTS @ STDS**2)
    np.testing.assert_allclose(np.cov(draws.T), exact, atol=0.3)


def test_a_std_of_the_components_may_broadcast_and_latents_have_any_shape():
    prior = diagonal_mixture(Gaussian(COMPONENTS.mean, jnp.float32(0.5)))
    exact = logsumexp(norm.logpdf(np.float64(Z)[:, None], MEANS, 0.5).sum(-1), axis=-1) - np.log(5)
    np.testing.assert_allclose(prior.log_density(Z), exact, rtol=2e-5)
    folded = diagonal_mixture(Gaussian(COMPONENTS.mean.reshape(5, 3, 1), COMPONENTS.std.reshape(5, 3, 1)))
    np.testing.assert_allclose(folded.log_density(Z[..., None]), exact_mixture(Z, np.full(5, 0.2)), rtol=2e-5)
    assert folded.sample(KEY, (4, 3, 1)).shape == (4, 3, 1)


@pytest.mark.slow
def test_vamp_prior_is_the_mean_of_the_posteriors_of_its_pseudo_inputs():
    law = PPCA()
    u = law.sample(5)
    prior = vamp_prior(law.encode, jnp.asarray(u, jnp.float32))
    mean, std = law.posterior(u)
    z = Z[:, :2]
    exact = logsumexp(norm.logpdf(np.float64(z)[:, None], mean, std).sum(-1), axis=-1) - np.log(5)
    np.testing.assert_allclose(prior.log_density(z), exact, rtol=2e-5)
    assert not hasattr(prior, "kl")
    x = jnp.asarray(law.sample(4), jnp.float32)
    found = elbo(KEY, law.model()._replace(prior=prior), x)
    assert found.kl_terms.shape == (4, 1)


@pytest.mark.parametrize("squash", ["sigmoid", "hardtanh"])
def test_pseudo_inputs_lie_in_the_range_and_come_back(squash):
    free = 10 * jax.random.normal(KEY, (4, 3))
    u = np.asarray(pseudo_inputs(free, -1.0, 1.0, squash))
    assert u.min() >= -1
    assert u.max() <= 1
    x = jnp.linspace(0.05, 0.95, 12).reshape(4, 3)
    np.testing.assert_allclose(pseudo_inputs(init_pseudo_inputs(x, squash=squash), squash=squash), x, atol=1e-6)
    wide = 255 * x
    np.testing.assert_allclose(
        pseudo_inputs(init_pseudo_inputs(wide, 0.0, 255.0, squash), 0.0, 255.0, squash), wide, rtol=1e-5
    )
    # binary data are moved inside, where a gradient lives
    ends = jnp.array([[0.0, 1.0]])
    free = init_pseudo_inputs(ends, squash=squash)
    np.testing.assert_allclose(pseudo_inputs(free, squash=squash), [[0.01, 0.99]], rtol=1e-4)
    assert np.all(np.asarray(jax.grad(lambda f: pseudo_inputs(f, squash=squash).sum())(free)) > 0)


@pytest.mark.slow
def test_float64_is_kept():
    with jax.enable_x64(True):
        z = jnp.asarray(Z, jnp.float64)
        components = Gaussian(jnp.asarray(MEANS), jnp.asarray(STDS))
        found = diagonal_mixture(components).log_density(z)
        np.testing.assert_allclose(found, exact_mixture(z, np.full(5, 0.2)), rtol=1e-12)
        assert standard_normal().kl(Gaussian(jnp.float32(Z), jnp.ones(()))).dtype == jnp.float32


def test_refusals(unchecked):
    prior = diagonal_mixture(COMPONENTS)
    negative = np.array([1.0, -0.1, 1, 1, 1])
    cases = {
        r"components must have shape \(K, \*d\)": [lambda: diagonal_mixture(Gaussian(jnp.zeros(3), jnp.ones(3)))],
        "one entry for each of 5 components": [
            lambda bad=bad: diagonal_mixture(COMPONENTS, bad) for bad in (np.ones(4), np.ones((5, 1)))
        ],
        "not be negative, nor all 0": [
            lambda bad=bad: diagonal_mixture(COMPONENTS, bad) for bad in (negative, np.zeros(5), np.full(5, np.nan))
        ],
        r"the components have shape \(3,\)": [
            lambda: prior.log_density(jnp.zeros((4, 2))), lambda: prior.sample(KEY, (4, 2))
        ],
        "low < high": [lambda: pseudo_inputs(Z, 1.0, 1.0), lambda: init_pseudo_inputs(Z, 1.0, 1.0)],
        "unknown squash 'tanh'": [
            lambda: pseudo_inputs(Z, squash="tanh"), lambda: init_pseudo_inputs(Z, squash="tanh")
        ],
        r"margin must lie in \(0, 1/2\)": [lambda: init_pseudo_inputs(Z, margin=0.0)],
    }  # fmt: skip
    for message, refused in cases.items():
        for refuse in refused:
            with pytest.raises(ValueError, match=message):
                refuse()
