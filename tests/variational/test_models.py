"""The conjugate models against scipy's densities and quadrature: posteriors, evidences, bounds."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracles import nightly
from scipy import stats

from jaxgen.variational import bayesian_mixture, gamma_exponential, linear_gaussian, normal_gamma

RNG = np.random.default_rng(0)
PRIOR = normal_gamma.NormalGamma(0.3, 0.7, 1.5, 0.8)
NUMBERS = RNG.normal(1.0, 0.7, 5)
MODEL = linear_gaussian.LinearGaussian(RNG.normal(size=(4, 2)), RNG.normal(size=4), 0.6)
ROWS = RNG.normal(size=(3, 4))
Q = normal_gamma.Factors(0.4, 3.0, 2.5, 1.2)


@pytest.fixture(autouse=True)
def x64():
    with jax.enable_x64(True):
        yield


def normal_gamma_log(law, mu, tau):
    """scipy's."""
    return stats.norm(law.mean, 1 / np.sqrt(law.strength * tau)).logpdf(mu) + stats.gamma(
        law.shape, scale=1 / law.rate
    ).logpdf(tau)


def test_normal_gamma_posterior_and_evidence_are_bayes_rule():
    """prior × likelihood = posterior × evidence, at any (μ, τ); evidence and ELBO themselves are C2.1."""
    x = jnp.asarray(NUMBERS)
    posterior, evidence = normal_gamma.posterior(PRIOR, x), normal_gamma.log_evidence(PRIOR, x)
    for mu, tau in ((0.2, 0.5), (-1.0, 2.0), (1.3, 4.0)):
        joint = normal_gamma_log(PRIOR, mu, tau) + stats.norm(mu, 1 / np.sqrt(tau)).logpdf(NUMBERS).sum()
        np.testing.assert_allclose(normal_gamma_log(posterior, mu, tau) + evidence, joint, rtol=1e-10)
        np.testing.assert_allclose(
            normal_gamma.log_density(PRIOR, mu, tau) + normal_gamma.log_likelihood(x, mu, tau).sum(), joint, rtol=1e-12
        )


def test_linear_gaussian_densities_are_scipys():
    evidence = stats.multivariate_normal(MODEL.offset, MODEL.weight @ MODEL.weight.T + MODEL.std**2 * np.eye(4))
    np.testing.assert_allclose(
        linear_gaussian.log_evidence(MODEL, jnp.asarray(ROWS)), evidence.logpdf(ROWS), rtol=1e-10
    )
    mean, covariance = linear_gaussian.posterior(MODEL, jnp.asarray(ROWS))
    for i, x in enumerate(ROWS):
        z = RNG.normal(size=2)
        joint = stats.norm().logpdf(z).sum() + stats.norm(MODEL.offset + MODEL.weight @ z, MODEL.std).logpdf(x).sum()
        np.testing.assert_allclose(linear_gaussian.log_joint(MODEL, jnp.asarray(x), jnp.asarray(z)), joint, rtol=1e-10)
        bayes = stats.multivariate_normal(mean[i], covariance).logpdf(z) + evidence.logpdf(x)
        np.testing.assert_allclose(bayes, joint, rtol=1e-9)


@pytest.mark.slow
def test_the_evidence_keeps_its_digits_in_float32_with_little_noise():
    """x on the model's plane, std = 1e-3: ‖x‖²/std² is 1e6 times what is left of it."""
    model = MODEL._replace(std=1e-3)
    x = MODEL.offset + MODEL.weight @ np.array([0.7, -0.4])
    exact = linear_gaussian.log_evidence(model, jnp.asarray(x[None]))
    narrow = jax.tree.map(jnp.float32, model)
    found = linear_gaussian.log_evidence(narrow, jnp.asarray(x[None], jnp.float32))
    np.testing.assert_allclose(found, exact, atol=0.05)


def test_the_mean_field_of_a_gaussian_keeps_means_and_loses_variance():
    """Its variances are 1/Λ_ii, below the posterior's where that correlates; nothing else of its kind is better."""
    x = jnp.asarray(ROWS)
    exact, best = linear_gaussian.posterior(MODEL, x), linear_gaussian.mean_field(MODEL, x)
    np.testing.assert_allclose(best.mean, exact.mean)
    inverse = np.linalg.inv(exact.covariance)
    np.testing.assert_allclose(best.covariance, np.diag(1 / np.diag(inverse)), rtol=1e-10)
    assert np.all(np.diag(best.covariance) < np.diag(exact.covariance) - 1e-4)
    each = jnp.stack([best.covariance, 2 * best.covariance, exact.covariance])  # one for all data, or one each
    np.testing.assert_allclose(
        linear_gaussian.elbo(MODEL, x, exact.mean, each),
        [linear_gaussian.elbo(MODEL, x, exact.mean, one)[i] for i, one in enumerate(each)], rtol=1e-12,
    )  # fmt: skip
    value = linear_gaussian.elbo(MODEL, x, best.mean, best.covariance)
    gap = 0.5 * (np.log(np.diag(inverse)).sum() - np.linalg.slogdet(inverse)[1])
    np.testing.assert_allclose(linear_gaussian.log_evidence(MODEL, x) - value, gap, rtol=1e-8)
    for _ in range(20):
        mean, scale = best.mean + 0.1 * RNG.normal(size=(3, 2)), np.exp(0.2 * RNG.normal(size=2))
        assert np.all(linear_gaussian.elbo(MODEL, x, mean, scale * best.covariance) < value)


CASES = {
    "normal_gamma": (
        lambda x, q: (
            normal_gamma.elbo(PRIOR, x, q), normal_gamma.log_evidence(PRIOR, x),
            normal_gamma.update_mean(PRIOR, x, q), normal_gamma.update_precision(PRIOR, x, q),
        ),
        NUMBERS, Q,
    ),
    "mixture": (
        lambda x, q: (
            bayesian_mixture.elbo(4.0, x, q), bayesian_mixture.update_assignments(x, q),
            bayesian_mixture.update_means(4.0, x, q), bayesian_mixture.natural_target(
                4.0, x, 10, bayesian_mixture.natural(q)),
        ),
        ROWS,
        bayesian_mixture.Factors(RNG.normal(size=(2, 4)), np.array([0.3, 0.5]), np.full((3, 2), 0.5)),
    ),
    "linear_gaussian": (
        lambda x, model: (
            linear_gaussian.log_evidence(model, x), linear_gaussian.posterior(model, x),
            linear_gaussian.elbo(model, x, *linear_gaussian.mean_field(model, x)),
        ),
        ROWS, MODEL,
    ),
    "gamma_exponential": (
        lambda x, q: (
            gamma_exponential.elbo(x, q), gamma_exponential.kl(q, gamma_exponential.posterior(x)),
            gamma_exponential.log_evidence(x), gamma_exponential.optimal_rate(x),
        ),
        np.array([0.5, 2.0]), gamma_exponential.Gamma(np.array([1.5, 3.0]), np.array([0.5, 2.0])),
    ),
}  # fmt: skip


@nightly("name", CASES)
def test_vmap_is_the_loop_and_float32_stays(name):
    """Over models and factors alike."""
    function, x, q = CASES[name]
    many = jax.tree.map(lambda leaf: jnp.stack([jnp.asarray(leaf), 1.1 * jnp.asarray(leaf)]), q)
    together = jax.jit(jax.vmap(function, (None, 0)))(jnp.asarray(x), many)
    alone = function(jnp.asarray(x), jax.tree.map(lambda leaf: leaf[1], many))
    chex.assert_trees_all_close(jax.tree.map(lambda leaf: leaf[1], together), alone, rtol=1e-9)
    with jax.enable_x64(False):
        narrow = jax.eval_shape(function, *jax.tree.map(jnp.float32, (x, q)))
    assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(narrow))
