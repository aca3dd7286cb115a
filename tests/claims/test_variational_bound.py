"""Claims of S2 on variational inference: the bound, its mini-batches, its gradients, and amortisation."""

import itertools
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracles import nightly
from scipy import stats

from jaxgen.distributions import MeanFieldParams, mean_field_gaussian
from jaxgen.variational import (
    amortised,
    bayesian_mixture,
    gamma_exponential,
    inference_gaps,
    linear_gaussian,
    minibatch,
    normal_gamma,
    reparameterised,
)

RNG = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def x64():
    with jax.enable_x64(True):
        yield


# -- C2.1: log p(x) = ELBO(q) + KL(q ‖ p(z | x)), whatever q -----------------------------------------------------------


def test_c2_1_evidence_is_elbo_plus_kl_in_the_linear_gaussian_model():
    """KL by scipy-free linear algebra: ½(tr Λ S + (m − m*)ᵀ Λ (m − m*) − d + log det S* − log det S)."""
    model = linear_gaussian.LinearGaussian(RNG.normal(size=(4, 2)), RNG.normal(size=4), 0.6)
    x, mean = jnp.asarray(RNG.normal(size=(3, 4))), RNG.normal(size=(3, 2))
    covariance = np.array([[0.7, 0.3], [0.3, 0.4]])
    # the posterior from the joint Gaussian of (z, x): conditioning, with no Λ
    joint = model.weight @ model.weight.T + model.std**2 * np.eye(4)
    gain = model.weight.T @ np.linalg.inv(joint)
    exact, spread = (np.asarray(x) - model.offset) @ gain.T, np.eye(2) - gain @ model.weight
    precision, off = np.linalg.inv(spread), mean - exact
    kl = 0.5 * (
        np.trace(precision @ covariance) + np.einsum("bi,ij,bj->b", off, precision, off) - 2
        + np.linalg.slogdet(spread)[1] - np.linalg.slogdet(covariance)[1]
    )  # fmt: skip
    elbo = linear_gaussian.elbo(model, x, jnp.asarray(mean), jnp.asarray(covariance))
    evidence = stats.multivariate_normal(model.offset, joint).logpdf(x)
    np.testing.assert_allclose(elbo + kl, evidence, rtol=1e-10)
    np.testing.assert_allclose(linear_gaussian.log_evidence(model, x), evidence, rtol=1e-10)


def test_c2_1_evidence_is_elbo_plus_kl_for_the_normal_gamma():
    """KL of q(μ) q(τ) from the exact posterior, by quadrature of scipy's densities; the evidence is a Student's."""
    prior, q = normal_gamma.NormalGamma(0.3, 0.7, 1.5, 0.8), normal_gamma.Factors(0.9, 8.0, 4.0, 1.5)
    x = RNG.normal(1.0, 0.7, 6)
    n = len(x)
    student = stats.multivariate_t(np.full(n, 0.3), 0.8 / 1.5 * (np.eye(n) + 1 / 0.7), df=3.0).logpdf(x)

    mu = np.linspace(0.9 - 9 / np.sqrt(8), 0.9 + 9 / np.sqrt(8), 801)
    tau = np.exp(np.linspace(-7, 4, 1601))
    mesh_mu, mesh_tau = np.meshgrid(mu, tau, indexing="ij")
    cell = (mu[1] - mu[0]) * np.gradient(np.log(tau)) * tau
    log_q = stats.norm(0.9, 8**-0.5).logpdf(mesh_mu) + stats.gamma(4.0, scale=1 / 1.5).logpdf(mesh_tau)
    log_joint = stats.norm(0.3, 1 / np.sqrt(0.7 * mesh_tau)).logpdf(mesh_mu) + stats.gamma(1.5, scale=1 / 0.8).logpdf(
        mesh_tau
    )
    for datum in x:
        log_joint += stats.norm(mesh_mu, 1 / np.sqrt(mesh_tau)).logpdf(datum)
    np.testing.assert_allclose(np.sum(np.exp(log_q) * cell), 1, rtol=1e-6)
    kl = np.sum(np.exp(log_q) * (log_q - (log_joint - student)) * cell)
    np.testing.assert_allclose(normal_gamma.elbo(prior, jnp.asarray(x), q) + kl, student, atol=1e-5)
    np.testing.assert_allclose(normal_gamma.log_evidence(prior, jnp.asarray(x)), student, rtol=1e-10)
    assert kl > 0.01


def mixture_log_joint(x, c, means, prior_variance):
    """log p(x, c, μ) of one assignment c, with scipy; the means may have leading axes."""
    total = stats.norm(0, np.sqrt(prior_variance)).logpdf(means).sum((-1, -2)) - len(x) * np.log(means.shape[-2])
    for row, k in zip(x, c, strict=True):
        total = total + stats.norm(means[..., k, :], 1).logpdf(row).sum(-1)
    return total


def mixture_log_evidence(x, components, prior_variance):
    """By enumeration of all assignments: within a component the data are jointly Gaussian, I + σ² 1 1ᵀ."""
    terms = []
    for c in itertools.product(range(components), repeat=len(x)):
        total = -len(x) * np.log(components)
        for k in range(components):
            rows = x[np.array(c) == k]
            if len(rows):
                law = stats.multivariate_normal(np.zeros(len(rows)), np.eye(len(rows)) + prior_variance)
                total += sum(law.logpdf(column) for column in rows.T)
        terms.append(total)
    return np.logaddexp.reduce(terms)


@pytest.mark.slow
def test_c2_1_evidence_is_elbo_plus_kl_for_the_mixture():
    """By enumeration of assignments and, for the means, Gauss–Hermite, which is exact for quadratics."""
    x, prior_variance = np.array([[-1.2], [0.4], [2.5], [1.9]]), 4.0
    phi = RNG.dirichlet([1.0, 1.0], 4)
    q = bayesian_mixture.Factors(np.array([[-0.5], [1.7]]), np.array([0.4, 0.2]), phi)
    evidence = mixture_log_evidence(x, 2, prior_variance)
    nodes, weights = np.polynomial.hermite_e.hermegauss(4)
    grid = np.stack(np.meshgrid(nodes, nodes, indexing="ij"), -1).reshape(-1, 2)
    weights = np.outer(weights, weights).ravel() / (2 * np.pi)
    means = (q.means[:, 0] + grid * np.sqrt(q.variances))[..., None]
    log_q_means = stats.norm(q.means[:, 0], np.sqrt(q.variances)).logpdf(means[..., 0]).sum(-1)
    kl = 0.0
    for c in itertools.product(range(2), repeat=4):
        share = phi[np.arange(4), c]
        posterior = mixture_log_joint(x, c, means, prior_variance) - evidence
        kl += share.prod() * (weights @ (log_q_means + np.log(share).sum() - posterior))
    found = bayesian_mixture.elbo(prior_variance, jnp.asarray(x), jax.tree.map(jnp.asarray, q))
    np.testing.assert_allclose(found + kl, evidence, rtol=1e-10)
    # and the density that sums the assignments out has that evidence too
    grid = np.linspace(-14, 14, 561)
    mesh = np.stack(np.meshgrid(grid, grid, indexing="ij"), -1).reshape(-1, 2, 1)
    joint = minibatch(
        partial(bayesian_mixture.log_prior, prior_variance), bayesian_mixture.log_likelihood, jnp.asarray(x), 4
    )
    log_p = np.asarray(jax.vmap(joint)(jnp.asarray(mesh)))
    np.testing.assert_allclose(np.logaddexp.reduce(log_p) + 2 * np.log(grid[1] - grid[0]), evidence, rtol=1e-8)


def test_c2_1_evidence_is_elbo_plus_kl_for_the_gamma_exponential():
    """KL between Gamma laws by quadrature; the evidence is a Lomax density, and the prior any Gamma."""
    for prior, x in ((gamma_exponential.PRIOR, 0.7), (gamma_exponential.Gamma(2.5, 0.6), 3.0)):
        q = gamma_exponential.Gamma(1.7, 0.9)
        evidence = stats.lomax(prior.shape, scale=prior.rate).logpdf(x)
        z = np.exp(np.linspace(-25, 5, 60_001))
        of_q, posterior = stats.gamma(1.7, scale=1 / 0.9), stats.gamma(prior.shape + 1, scale=1 / (prior.rate + x))
        kl = np.sum(of_q.pdf(z) * (of_q.logpdf(z) - posterior.logpdf(z)) * z) * 30 / 60_000
        np.testing.assert_allclose(gamma_exponential.elbo(x, q, prior) + kl, evidence, rtol=1e-7)
        np.testing.assert_allclose(gamma_exponential.log_evidence(x, prior), evidence, rtol=1e-12)
        np.testing.assert_allclose(gamma_exponential.kl(q, gamma_exponential.posterior(x, prior)), kl, rtol=1e-7)


# -- C2.3: the N/B estimate is unbiased; the amortisation gap is not negative ------------------------------------------


@nightly("size", [1, 3])
def test_c2_3_scaled_batches_have_the_elbo_as_their_mean(size):
    """Over all batches of the data, exactly; the unscaled sum over a batch has not."""
    x, n = jnp.asarray(RNG.normal(1.0, 0.8, 5)), 5
    prior = normal_gamma.NormalGamma(0.0, 1.0, 2.0, 2.0)
    params, key = MeanFieldParams(jnp.array([0.8, 0.1]), jnp.array([-0.5, -0.7])), jax.random.key(0)

    def bound(batch, total):
        def log_prior(z):  # z: μ and log τ, whose density has the Jacobian τ
            return normal_gamma.log_density(prior, z[0], jnp.exp(z[1])) + z[1]

        joint = minibatch(log_prior, lambda z, x: normal_gamma.log_likelihood(x, z[0], jnp.exp(z[1])), batch, total)
        return reparameterised(key, joint, mean_field_gaussian(), params, samples=4)

    batches = [x[jnp.array(chosen)] for chosen in itertools.combinations(range(n), size)]
    np.testing.assert_allclose(np.mean([bound(batch, n) for batch in batches]), bound(x, n), rtol=1e-12)
    assert abs(np.mean([bound(batch, size) for batch in batches]) - bound(x, n)) > 0.5


def test_c2_3_the_amortisation_gap_is_not_negative_and_zero_only_at_the_optimum():
    """E_x max_q ELBO ≥ max_φ E_x ELBO(q_φ(x)), where the homework prints =: equal for an encoder that holds all optima.

    Linear encoders m(x) = A (x − b) hold them; those of rank one do not, and lose ½ of the smaller squared singular
    value of Λ^½ G C^½, G the best encoder and C the data's second moment: a weighted Eckart–Young problem.
    """
    model = linear_gaussian.LinearGaussian(RNG.normal(size=(4, 2)), RNG.normal(size=4), 0.6)
    x = jnp.asarray(model.offset + RNG.normal(size=(50, 2)) @ model.weight.T + 0.6 * RNG.normal(size=(50, 4)))
    off = np.asarray(x) - model.offset
    best = linear_gaussian.mean_field(model, x)
    optimum = linear_gaussian.elbo(model, x, *best)
    exact = np.linalg.lstsq(off, np.asarray(best.mean), rcond=None)[0].T  # the encoder that gives every optimal mean

    def gaps(encoder, spread=best.covariance):
        encoded = linear_gaussian.elbo(model, x, jnp.asarray(off @ encoder.T), spread)
        return inference_gaps(linear_gaussian.log_evidence(model, x), optimum, encoded)

    np.testing.assert_allclose(gaps(exact).amortisation, 0, atol=1e-10)
    for _ in range(30):
        other = gaps(exact + 0.2 * RNG.normal(size=exact.shape), best.covariance * np.exp(0.3 * RNG.normal()))
        assert np.all(other.amortisation > 0)
        np.testing.assert_allclose(other.approximation, gaps(exact).approximation)

    precision = np.linalg.inv(linear_gaussian.posterior(model, x).covariance)
    root, moment = np.linalg.cholesky(precision).T, np.linalg.cholesky(off.T @ off / len(off))
    left, values, right = np.linalg.svd(root @ exact @ moment, full_matrices=False)
    limited = np.linalg.inv(root) @ (values[0] * np.outer(left[:, 0], right[0])) @ np.linalg.inv(moment)
    np.testing.assert_allclose(gaps(limited).amortisation.mean(), values[1] ** 2 / 2, rtol=1e-8)
    assert values[1] ** 2 / 2 > 0.05
    for _ in range(30):  # and no encoder of rank one does better
        u, v = np.linalg.svd(limited)[0][:, :1], np.linalg.svd(limited)[2][:1]
        scale = np.linalg.norm(limited, 2)
        worse = scale * (u + 0.1 * RNG.normal(size=u.shape)) @ (v + 0.1 * RNG.normal(size=v.shape))
        assert gaps(worse).amortisation.mean() > values[1] ** 2 / 2


@pytest.mark.slow
def test_c2_3_an_amortised_bound_is_each_datums_own():
    """With the same keys: the sum over data of bounds by an encoder is the sum of bounds with what it encodes."""
    model = linear_gaussian.LinearGaussian(RNG.normal(size=(3, 2)), RNG.normal(size=3), 0.5)
    x, keys = jnp.asarray(RNG.normal(size=(4, 3))), jax.random.split(jax.random.key(1), 4)
    encode = lambda x: MeanFieldParams(0.3 * x[:, :2], -0.1 * x[:, 1:] ** 2)
    found = amortised(keys, partial(linear_gaussian.log_joint, model), mean_field_gaussian(), encode, x, samples=3)
    for i in range(4):
        params = jax.tree.map(lambda leaf, i=i: leaf[i], encode(x))
        joint = partial(linear_gaussian.log_joint, model, x[i])
        own = reparameterised(keys[i], joint, mean_field_gaussian(), params, samples=3)
        np.testing.assert_allclose(found[i], own, rtol=1e-12)


# -- C2.4: the reparameterised gradient --------------------------------------------------------------------------------


def test_c2_4_the_reparameterised_gradient_of_the_elbo_is_unbiased():
    """Against the gradient of the closed form, which is −∇KL(q ‖ posterior), in every mean and every log-std."""
    model = linear_gaussian.LinearGaussian(RNG.normal(size=(4, 2)), RNG.normal(size=4), 0.8)
    x = jnp.asarray(RNG.normal(size=4))
    params = MeanFieldParams(jnp.array([0.5, -0.4]), jnp.array([-0.7, 0.2]))
    joint = partial(linear_gaussian.log_joint, model, x)
    keys = jax.random.split(jax.random.key(0), 50_000)
    draws = jax.jit(
        jax.vmap(jax.grad(lambda p, key: reparameterised(key, joint, mean_field_gaussian(), p)), (None, 0))
    )(params, keys)

    precision = np.eye(2) + model.weight.T @ model.weight / model.std**2
    exact = np.linalg.solve(precision, model.weight.T @ (np.asarray(x) - model.offset)) / model.std**2
    of_mean = -precision @ (np.asarray(params.mean) - exact)
    of_log_std = 1 - np.diag(precision) * np.exp(2 * np.asarray(params.log_std))
    for found, wanted in ((draws.mean, of_mean), (draws.log_std, of_log_std)):
        found = np.asarray(found)
        assert np.all(np.abs(found.mean(0) - wanted) < 4.5 * found.std(0) / np.sqrt(len(found)))
