"""Diagonal Gaussians against scipy: draws, densities, divergences."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from absl.testing import parameterized
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import kstest, norm

from jaxgen.distributions import Gaussian, gaussian_kl, gaussian_kl_terms

MEAN, LOG_STD, X = jax.random.normal(jax.random.key(0), (3, 5, 4, 2))
STD = jnp.exp(LOG_STD)


def test_log_density_is_scipys_summed_over_the_event():
    found = Gaussian(MEAN, STD).log_density(X)
    np.testing.assert_allclose(found, norm.logpdf(X, MEAN, STD).reshape(5, -1).sum(-1), rtol=1e-5)
    for std in (jnp.float32(0.3), STD[:, :1, :1]):  # a std that broadcasts counts once for every dimension
        found = Gaussian(MEAN, std).log_density(X)
        np.testing.assert_allclose(found, norm.logpdf(X, MEAN, std).reshape(5, -1).sum(-1), rtol=1e-5)


def test_kl_of_every_dimension_against_quadrature():
    p, q = Gaussian(MEAN[:, 0], STD[:, 0]), Gaussian(X[:, 0], STD[:, 1])
    found = gaussian_kl_terms(p, q)
    np.testing.assert_allclose(gaussian_kl(p, q), np.asarray(found).sum(-1), rtol=1e-6)
    for index in np.ndindex(found.shape):
        mean, std = float(p.mean[index]), float(p.std[index])
        x = np.linspace(mean - 12 * std, mean + 12 * std, 20_001)
        log_p, log_q = norm.logpdf(x, mean, std), norm.logpdf(x, float(q.mean[index]), float(q.std[index]))
        exact = np.sum(np.exp(log_p) * (log_p - log_q)) * (x[1] - x[0])
        np.testing.assert_allclose(found[index], exact, rtol=2e-4)


@settings(deadline=None, max_examples=60)
@given(st.floats(-5, 5), st.floats(-6, 6), st.floats(-5, 5), st.floats(-6, 6))
def test_kl_is_never_negative_and_0_for_equals(mean_p, log_p, mean_q, log_q):
    p, q = (Gaussian(jnp.full((1, 1), m), jnp.exp(jnp.full((1, 1), s))) for m, s in ((mean_p, log_p), (mean_q, log_q)))
    assert gaussian_kl(p, q)[0] >= 0
    assert gaussian_kl(p, p)[0] == 0


def test_draws_follow_the_law_they_are_drawn_from():
    mean, std, n = np.array([0.3, -2.0]), np.array([0.5, 3.0]), 20_000
    draws = Gaussian(jnp.broadcast_to(mean, (n, 2)), jnp.asarray(std, jnp.float32)).sample(jax.random.key(0))
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
    key = jax.random.key(2)
    z, push = jax.jvp(lambda m, s: Gaussian(m, s).sample(key), (MEAN, STD), (jnp.ones_like(MEAN), jnp.zeros_like(STD)))
    np.testing.assert_array_equal(push, jnp.ones_like(z))
    _, push = jax.jvp(lambda m, s: Gaussian(m, s).sample(key), (MEAN, STD), (jnp.zeros_like(MEAN), jnp.ones_like(STD)))
    np.testing.assert_allclose(push, (z - MEAN) / STD, rtol=2e-3, atol=1e-5)


def test_dtypes():
    half = Gaussian(MEAN.astype(jnp.bfloat16), STD)
    assert half.sample(jax.random.key(0)).dtype == half.log_density(X).dtype == jnp.float32
    with jax.enable_x64(True):
        double = Gaussian(jnp.float64(MEAN), jnp.asarray(0.1))
        assert double.sample(jax.random.key(0)).dtype == double.log_density(jnp.float64(X)).dtype == jnp.float64
        np.testing.assert_allclose(
            double.log_density(jnp.float64(X)),
            norm.logpdf(np.float64(X), np.float64(MEAN), 0.1).reshape(5, -1).sum(-1),
            rtol=1e-12,
        )


FUNCTIONS = {
    "sample": lambda mean, std, x: Gaussian(mean, std).sample(jax.random.key(0)),
    "sample_keys": lambda mean, std, x: Gaussian(mean, std).sample(jax.random.split(jax.random.key(0), len(mean))),
    "log_density": lambda mean, std, x: Gaussian(mean, std).log_density(x),
    "kl_terms": lambda mean, std, x: gaussian_kl_terms(Gaussian(mean, std), Gaussian(x, std + 1)),
}


class VariantsTest(chex.TestCase):
    @chex.variants(with_jit=True, without_jit=True, with_device=True, with_pmap=True)
    @parameterized.named_parameters((name, name) for name in FUNCTIONS)
    def test_same_numbers(self, name):
        found = self.variant(FUNCTIONS[name])(MEAN, STD, X)
        np.testing.assert_allclose(found, FUNCTIONS[name](MEAN, STD, X), rtol=2e-5, atol=1e-6)


@pytest.mark.parametrize("name", ["log_density", "kl_terms"])
def test_vmap_is_the_batch(name):
    alone = jax.vmap(lambda *args: FUNCTIONS[name](*(arg[None] for arg in args))[0])(MEAN, STD, X)
    np.testing.assert_allclose(alone, FUNCTIONS[name](MEAN, STD, X), rtol=1e-5)
