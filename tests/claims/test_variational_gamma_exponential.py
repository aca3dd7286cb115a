"""Claims of S4 on the Gamma–exponential toy: the exact posterior lies in the family, at θ* = x + 1."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from oracles import nightly, slow
from scipy import optimize, stats

from jaxgen.distributions import Family, GammaParams, gamma
from jaxgen.variational import (
    doubly_reparameterised,
    gamma_exponential,
    importance_weighted,
    maximise,
    reparameterised,
    score_function,
)

X = [slow(0.2), 1.0, slow(4.5)]


@pytest.fixture(autouse=True)
def x64():
    with jax.enable_x64(True):
        yield


@pytest.mark.parametrize("x", X)
def test_c4_6_the_posterior_is_gamma_2_x_plus_1(x):
    """prior × likelihood over its sum on a grid, with scipy, is the density of Gamma(2, x + 1)."""
    z = np.linspace(1e-6, 60, 2_000_001)
    joint = stats.expon.pdf(z) * stats.expon(scale=1 / z).pdf(x)
    grid = joint[1000::100_000] / (joint.sum() * (z[1] - z[0]))
    np.testing.assert_allclose(stats.gamma(2, scale=1 / (x + 1)).pdf(z[1000::100_000]), grid, rtol=1e-5, atol=1e-12)
    assert gamma_exponential.posterior(x) == (2, x + 1)
    np.testing.assert_allclose(gamma_exponential.log_joint(x, z[1::200_000]), np.log(joint[1::200_000]), rtol=1e-9)


@pytest.mark.parametrize("x", X)
def test_c4_6_theta_star_is_x_plus_1_and_exact(x):
    """scipy's maximum of the ELBO over θ is x + 1; there KL = 0 and the bound is the evidence 1/(1 + x)²."""
    found = optimize.minimize_scalar(
        lambda log_theta: -float(gamma_exponential.elbo(x, gamma_exponential.Gamma(2.0, np.exp(log_theta)))),
        bounds=(-3, 4), method="bounded", options={"xatol": 1e-10},
    )  # fmt: skip
    np.testing.assert_allclose(np.exp(found.x), x + 1, rtol=1e-6)
    np.testing.assert_allclose(gamma_exponential.optimal_rate(x), x + 1, rtol=1e-12)
    q = gamma_exponential.Gamma(2.0, x + 1)
    np.testing.assert_allclose(gamma_exponential.elbo(x, q), -2 * np.log(1 + x), atol=1e-12)
    np.testing.assert_allclose(gamma_exponential.kl(q, gamma_exponential.posterior(x)), 0, atol=1e-14)
    for theta in (x + 0.9, x + 1.1, 0.5 * (x + 1), 2 * (x + 1)):
        assert gamma_exponential.kl(gamma_exponential.Gamma(2.0, theta), gamma_exponential.posterior(x)) > 1e-4


@pytest.mark.parametrize("shape", [slow(1.0), 3.5])
def test_c4_6_another_shape_is_not_exact(shape):
    """Of q = Gamma(shape, θ) with shape ≠ 2 the best θ is shape (x + 1)/2, by scipy, and its KL is above 0."""
    x = 1.7
    found = optimize.minimize_scalar(
        lambda theta: -float(gamma_exponential.elbo(x, gamma_exponential.Gamma(shape, theta))), bounds=(0.1, 20),
        method="bounded", options={"xatol": 1e-10},
    )  # fmt: skip
    np.testing.assert_allclose(found.x, shape * (x + 1) / 2, rtol=1e-6)
    np.testing.assert_allclose(gamma_exponential.optimal_rate(x, shape), found.x, rtol=1e-6)
    q = gamma_exponential.Gamma(shape, found.x)
    assert gamma_exponential.kl(q, gamma_exponential.posterior(x)) > 0.05


def test_c4_6_the_gradient_of_the_elbo_is_that_of_a_page():
    """In θ −2/θ + s(x + 1)/θ², in the shape s (2 − s) ψ′(s) − (x + 1)/θ + 1."""
    x, shape, theta = 1.7, 1.3, 0.8
    found = jax.grad(lambda q: gamma_exponential.elbo(x, q))(gamma_exponential.Gamma(shape, theta))
    np.testing.assert_allclose(found.rate, -2 / theta + shape * (x + 1) / theta**2, rtol=1e-10)
    trigamma = float(jax.scipy.special.polygamma(1, shape))
    np.testing.assert_allclose(found.shape, (2 - shape) * trigamma - (x + 1) / theta + 1, rtol=1e-9)


ESTIMATORS = {
    "score function": (score_function, {"leave_one_out": False}),
    "leave one out": (score_function, {}),
    "implicit reparameterisation": (reparameterised, {}),
    "sticking the landing": (reparameterised, {"sticking_the_landing": True}),
}


@nightly("name", ESTIMATORS)
def test_c4_6_every_estimators_gradient_is_that_of_the_closed_form(name):
    """In log shape and log rate; the first through the implicit derivative of a Gamma's draws."""
    estimator, options = ESTIMATORS[name]
    x, params = 1.7, GammaParams(jnp.log(1.3), jnp.log(0.8))
    keys = jax.random.split(jax.random.key(0), 60_000)

    def bound(p, key):
        return estimator(key, lambda z: gamma_exponential.log_joint(x, z), gamma(), p, samples=2, **options)

    def exact(p):
        return gamma_exponential.elbo(x, gamma_exponential.Gamma(jnp.exp(p.log_shape), jnp.exp(p.log_rate)))

    draws = jax.jit(jax.vmap(jax.grad(bound), (None, 0)))(params, keys)
    for found, wanted in zip(draws, jax.grad(exact)(params), strict=True):
        found = np.asarray(found)
        assert abs(found.mean() - wanted) < 4.5 * found.std() / np.sqrt(len(found))


@nightly("name", ["leave one out", "sticking the landing"])
def test_c4_6_stochastic_ascent_finds_the_posterior(name):
    """Shape and rate from (1, 1) to (2, x + 1), exactly: both gradients lose their noise there."""
    estimator, options = ESTIMATORS[name]
    x = 1.7

    def bound(key, p):
        return estimator(key, lambda z: gamma_exponential.log_joint(x, z), gamma(), p, samples=8, **options)

    start = GammaParams(jnp.array(0.0), jnp.array(0.0))
    found = jax.jit(lambda: maximise(jax.random.key(0), bound, start, optax.adam(0.02), 2000))().params
    np.testing.assert_allclose(np.exp(found), [2, x + 1], rtol=1e-3)


@pytest.mark.slow
def test_c4_6_the_bounds_of_many_draws_are_exact_there_too():
    """At the posterior every weight is p(x): all bounds are log p(x) for every key."""
    x, q = 0.6, GammaParams(jnp.log(2.0), jnp.log(1.6))
    for estimator in (reparameterised, importance_weighted, doubly_reparameterised, score_function):
        for seed in range(3):
            value = estimator(jax.random.key(seed), lambda z: gamma_exponential.log_joint(x, z), gamma(), q, samples=3)
            np.testing.assert_allclose(value, gamma_exponential.log_evidence(x), rtol=1e-10)


@pytest.mark.slow
def test_c4_6_the_rate_alone_is_a_scale():
    """Of q = Gamma(2, θ), z = g/θ with g ~ Gamma(2, 1) fixed: a family of two lines, the same optimum."""
    x = 2.3
    scaled = Family(
        lambda key, log_rate: jax.random.gamma(key, 2.0) * jnp.exp(-log_rate),
        lambda log_rate, z: 2 * log_rate + jnp.log(z) - z * jnp.exp(log_rate),
    )

    def bound(key, log_rate):
        return reparameterised(
            key, lambda z: gamma_exponential.log_joint(x, z), scaled, log_rate, samples=8, sticking_the_landing=True
        )

    found = jax.jit(lambda: maximise(jax.random.key(0), bound, jnp.array(0.0), optax.adam(0.02), 1000))().params
    np.testing.assert_allclose(jnp.exp(found), x + 1, rtol=1e-4)
