"""The conjugate models against scipy's densities and quadrature: posteriors, evidences, bounds."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from absl.testing import parameterized
from scipy import integrate, stats

from jaxgen.variational import bayesian_mixture, gamma_exponential, linear_gaussian, normal_gamma

RNG = np.random.default_rng(0)
PRIOR = normal_gamma.NormalGamma(0.3, 0.7, 1.5, 0.8)
NUMBERS = RNG.normal(1.0, 0.7, 5)
MODEL = linear_gaussian.LinearGaussian(RNG.normal(size=(4, 2)), RNG.normal(size=4), 0.6)
ROWS = RNG.normal(size=(3, 4))
Q = normal_gamma.Factors(0.4, 3.0, 2.5, 1.2)


@pytest.fixture(autouse=True)
def x64(request):
    """Float64 but for the variants, which are about what users run."""
    with jax.enable_x64(request.cls is None):
        yield


def normal_gamma_log(law, mu, tau):
    """scipy's."""
    return stats.norm(law.mean, 1 / np.sqrt(law.strength * tau)).logpdf(mu) + stats.gamma(
        law.shape, scale=1 / law.rate
    ).logpdf(tau)


def test_normal_gamma_densities_are_scipys():
    mu, tau = RNG.normal(size=7), RNG.gamma(2, size=7)
    np.testing.assert_allclose(normal_gamma.log_density(PRIOR, mu, tau), normal_gamma_log(PRIOR, mu, tau), rtol=1e-12)
    np.testing.assert_allclose(
        normal_gamma.log_likelihood(mu, 0.3, tau), stats.norm(0.3, 1 / np.sqrt(tau)).logpdf(mu), rtol=1e-12
    )


def test_normal_gamma_posterior_and_evidence_are_bayes_rule():
    """prior × likelihood = posterior × evidence, at any (μ, τ); the evidence is a multivariate Student density."""
    x = jnp.asarray(NUMBERS)
    posterior, evidence = normal_gamma.posterior(PRIOR, x), normal_gamma.log_evidence(PRIOR, x)
    for mu, tau in ((0.2, 0.5), (-1.0, 2.0), (1.3, 4.0)):
        joint = normal_gamma_log(PRIOR, mu, tau) + stats.norm(mu, 1 / np.sqrt(tau)).logpdf(NUMBERS).sum()
        np.testing.assert_allclose(normal_gamma_log(posterior, mu, tau) + evidence, joint, rtol=1e-10)
    n = len(NUMBERS)
    student = stats.multivariate_t(
        np.full(n, PRIOR.mean), PRIOR.rate / PRIOR.shape * (np.eye(n) + 1 / PRIOR.strength), df=2 * PRIOR.shape
    )
    np.testing.assert_allclose(evidence, student.logpdf(NUMBERS), rtol=1e-10)


def test_normal_gamma_elbo_is_the_expectation_of_its_parts():
    """E_q of log prior + log likelihood − log q by quadrature in μ and τ."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(20)
    mu, weights = Q.mean + nodes / np.sqrt(Q.precision), weights / np.sqrt(2 * np.pi)
    of_tau, of_mu = stats.gamma(Q.shape, scale=1 / Q.rate), stats.norm(Q.mean, 1 / np.sqrt(Q.precision))

    def integrand(tau):
        log_p = normal_gamma_log(PRIOR, mu, tau)
        log_p += stats.norm(mu[:, None], 1 / np.sqrt(tau)).logpdf(NUMBERS).sum(-1)
        return of_tau.pdf(tau) * (weights @ (log_p - of_mu.logpdf(mu)) - of_tau.logpdf(tau))

    exact, _ = integrate.quad(integrand, 0, 40, limit=400)
    np.testing.assert_allclose(normal_gamma.elbo(PRIOR, jnp.asarray(NUMBERS), Q), exact, rtol=1e-7)


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


def test_the_evidence_keeps_its_digits_in_float32_with_little_noise():
    """x on the model's plane, std = 1e-3: ‖x‖²/std² is 1e6 times what is left of it."""
    model = MODEL._replace(std=1e-3)
    x = MODEL.offset + MODEL.weight @ np.array([0.7, -0.4])
    exact = linear_gaussian.log_evidence(model, jnp.asarray(x[None]))
    narrow = jax.tree.map(jnp.float32, model)
    found = linear_gaussian.log_evidence(narrow, jnp.asarray(x[None], jnp.float32))
    np.testing.assert_allclose(found, exact, atol=0.05)


def test_linear_gaussian_elbo_is_the_expectation_of_its_parts():
    """By the product rule of Gauss–Hermite, exact for a quadratic; one covariance for all data, or one each."""
    factors = np.linalg.cholesky(np.array([[[0.5, 0.2], [0.2, 0.4]], [[1.0, -0.3], [-0.3, 0.2]], [[0.1, 0], [0, 2.0]]]))
    means = RNG.normal(size=(3, 2))
    nodes, weights = np.polynomial.hermite_e.hermegauss(3)
    grid = np.stack(np.meshgrid(nodes, nodes), -1).reshape(-1, 2)
    weights = np.outer(weights, weights).ravel() / (2 * np.pi)
    exact = []
    for x, mean, factor in zip(ROWS, means, factors, strict=True):
        z = mean + grid @ factor.T
        log_p = stats.norm().logpdf(z).sum(-1)
        log_p += stats.norm(MODEL.offset + z @ MODEL.weight.T, MODEL.std).logpdf(x).sum(-1)
        exact.append(weights @ (log_p - stats.multivariate_normal(mean, factor @ factor.T).logpdf(z)))
    covariances = factors @ np.swapaxes(factors, -1, -2)
    found = linear_gaussian.elbo(MODEL, jnp.asarray(ROWS), jnp.asarray(means), jnp.asarray(covariances))
    np.testing.assert_allclose(found, exact, rtol=1e-10)
    shared = linear_gaussian.elbo(MODEL, jnp.asarray(ROWS), jnp.asarray(means), jnp.asarray(covariances[0]))
    np.testing.assert_allclose(shared[0], exact[0], rtol=1e-10)


def test_the_mean_field_of_a_gaussian_keeps_means_and_loses_variance():
    """Its variances are 1/Λ_ii, below the posterior's where that correlates; nothing else of its kind is better."""
    x = jnp.asarray(ROWS)
    exact, best = linear_gaussian.posterior(MODEL, x), linear_gaussian.mean_field(MODEL, x)
    np.testing.assert_allclose(best.mean, exact.mean)
    inverse = np.linalg.inv(exact.covariance)
    np.testing.assert_allclose(best.covariance, np.diag(1 / np.diag(inverse)), rtol=1e-10)
    assert np.all(np.diag(best.covariance) < np.diag(exact.covariance) - 1e-4)
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


class VariantsTest(chex.TestCase):
    @chex.variants(with_jit=True, without_jit=True, with_device=True, with_pmap=True)
    @parameterized.named_parameters([(f"_{name}", *case) for name, case in CASES.items()])
    def test_same_numbers(self, function, x, q):
        x, q = jax.tree.map(jnp.float32, (x, q))
        found = self.variant(function)(x, q)
        assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(found))
        chex.assert_trees_all_close(found, function(x, q), rtol=2e-5, atol=1e-5)


@pytest.mark.parametrize("name", CASES)
def test_vmap_is_the_loop(name):
    """Over models and factors alike."""
    function, x, q = CASES[name]
    many = jax.tree.map(lambda leaf: jnp.stack([jnp.asarray(leaf), 1.1 * jnp.asarray(leaf)]), q)
    together = jax.vmap(function, (None, 0))(jnp.asarray(x), many)
    for i in range(2):
        alone = function(jnp.asarray(x), jax.tree.map(lambda leaf, i=i: leaf[i], many))
        chex.assert_trees_all_close(jax.tree.map(lambda leaf, i=i: leaf[i], together), alone, rtol=1e-9)
