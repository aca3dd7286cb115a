"""Diagonal Gaussians against scipy: draws, densities, divergences."""

import jax
import jax.numpy as jnp
import numpy as np
from scipy.stats import kstest, norm

from jaxgen.distributions import Gaussian, gaussian_kl, gaussian_kl_terms

MEAN, LOG_STD, X = np.random.default_rng(0).normal(size=(3, 5, 4, 2)).astype(np.float32)
STD = jnp.asarray(np.exp(LOG_STD))
MEAN, LOG_STD, X = map(jnp.asarray, (MEAN, LOG_STD, X))


def test_log_density_is_scipys_summed_over_the_event():
    for std in (STD, jnp.float32(0.3), STD[:, :1, :1]):  # a std that broadcasts counts once for every dimension
        found = Gaussian(MEAN, std).log_density(X)
        np.testing.assert_allclose(found, norm.logpdf(X, MEAN, std).reshape(5, -1).sum(-1), rtol=1e-5)


def test_c2_4_kl_of_every_dimension_against_quadrature():
    p, q = Gaussian(MEAN[:, 0], STD[:, 0]), Gaussian(X[:, 0], STD[:, 1])
    found = gaussian_kl_terms(p, q)
    np.testing.assert_allclose(gaussian_kl(p, q), np.asarray(found).sum(-1), rtol=1e-6)
    for index in np.ndindex(found.shape):
        mean, std = float(p.mean[index]), float(p.std[index])
        x = np.linspace(mean - 12 * std, mean + 12 * std, 20_001)
        log_p, log_q = norm.logpdf(x, mean, std), norm.logpdf(x, float(q.mean[index]), float(q.std[index]))
        exact = np.sum(np.exp(log_p) * (log_p - log_q)) * (x[1] - x[0])
        np.testing.assert_allclose(found[index], exact, rtol=2e-4)


def test_c4_7_kl_is_never_negative_and_0_for_equals():
    """From equal to far apart, the stds over ten orders of magnitude."""
    mean_p, log_p, mean_q, log_q = np.random.default_rng(0).uniform(-6, 6, (4, 500, 1)).astype(np.float32)
    p, q = Gaussian(jnp.asarray(mean_p), jnp.exp(log_p)), Gaussian(jnp.asarray(mean_q), jnp.exp(log_q))
    near = Gaussian(p.mean * (1 + 1e-7), p.std * (1 + 1e-7))
    assert np.all(gaussian_kl(p, q) >= 0)
    assert np.all(gaussian_kl(p, near) >= 0)
    np.testing.assert_array_equal(gaussian_kl(p, p), 0)


def test_draws_follow_the_law_they_are_drawn_from():
    """From a batch of Gaussians, and from one Gaussian of which a shape is asked."""
    mean, std, n = np.array([0.3, -2.0]), np.array([0.5, 3.0]), 20_000
    one = Gaussian(jnp.asarray(mean, jnp.float32), jnp.asarray(std, jnp.float32))
    draws = Gaussian(jnp.broadcast_to(one.mean, (n, 2)), one.std).sample(jax.random.key(0))
    np.testing.assert_array_equal(one.sample(jax.random.key(0), (n, 2)), draws)
    for i in range(2):
        assert kstest(np.asarray(draws[:, i]), norm(mean[i], std[i]).cdf).pvalue > 1e-3
    assert abs(np.corrcoef(draws.T)[0, 1]) < 4 / np.sqrt(n)


def test_with_a_key_each_a_row_depends_on_its_key_alone():
    keys = jax.random.split(jax.random.key(1), 5)
    whole = Gaussian(MEAN, STD).sample(keys)
    order = jnp.array([3, 0])
    np.testing.assert_array_equal(Gaussian(MEAN[order], STD[order]).sample(keys[order]), whole[order])
    eps = np.asarray((whole - MEAN) / STD)
    assert len(np.unique(np.round(eps, 4))) == eps.size  # and no two rows share their noise


def test_draws_are_reparameterised():
    """dz/dμ = 1 and dz/dσ = ε = (z − μ)/σ."""
    draw = lambda m, s: Gaussian(m, s).sample(jax.random.key(2))
    ones, zeros = jnp.ones_like(MEAN), jnp.zeros_like(MEAN)
    z, push = jax.jvp(draw, (MEAN, STD), (ones, zeros))
    np.testing.assert_array_equal(push, ones)
    np.testing.assert_allclose(jax.jvp(draw, (MEAN, STD), (zeros, ones))[1], (z - MEAN) / STD, rtol=2e-3, atol=1e-5)


def test_dtypes():
    half = Gaussian(MEAN.astype(jnp.bfloat16), STD)
    assert half.sample(jax.random.key(0)).dtype == half.log_density(X).dtype == jnp.float32
    with jax.enable_x64(True):
        double, x = Gaussian(jnp.float64(MEAN), jnp.asarray(0.1)), np.float64(X)
        assert double.sample(jax.random.key(0)).dtype == jnp.float64
        exact = norm.logpdf(x, np.float64(MEAN), 0.1).reshape(5, -1).sum(-1)
        np.testing.assert_allclose(double.log_density(jnp.asarray(x)), exact, rtol=1e-12)
