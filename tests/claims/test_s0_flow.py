"""Claim of S0: the likelihood of a normalising flow is exact."""

import jax
import jax.numpy as jnp
import numpy as np
from scipy.stats import norm

from jaxgen import distributions, flows


def bend(x):
    """z = (x₁, x₂ − x₁²), of determinant 1."""
    return jnp.stack([x[:, 0], x[:, 1] - x[:, 0] ** 2], -1), jnp.zeros(len(x))


def unbend(z):
    return jnp.stack([z[:, 0], z[:, 1] + z[:, 0] ** 2], -1), jnp.zeros(len(z))


LAYERS = [flows.Bijection(bend, unbend), flows.scale_and_shift(np.array([0.5, 2.0]), np.array([0.0, 1.0]))]
FLOW = flows.Flow(flows.chain(LAYERS), distributions.standard_normal())


def test_c0_1_the_flows_density_is_the_closed_form():
    """x₁ ~ N(0, 4) and x₂ given x₁ ~ N(x₁² − ½, ¼), by scipy."""
    x = np.random.default_rng(0).uniform(-2, 2, (20, 2))
    exact = norm.logpdf(x[:, 0], 0, 2) + norm.logpdf(x[:, 1], x[:, 0] ** 2 - 0.5, 0.5)
    np.testing.assert_allclose(FLOW.log_density(jnp.asarray(x, jnp.float32)), exact, rtol=1e-4)


def test_c0_1_the_change_of_variables_needs_the_determinant():
    """Without log|det ∂f/∂x| the log-density is off by its value, here log ½ of the first scale."""
    x = jnp.asarray(np.random.default_rng(0).uniform(-2, 2, (20, 2)), jnp.float32)
    half = flows.chain([LAYERS[0], flows.scale_and_shift(np.array([0.5, 1.0]))])
    z, log_det = half.forward(x)
    jacobian = jax.vmap(jax.jacfwd(lambda x: half.forward(x[None])[0][0]))(x)
    np.testing.assert_allclose(log_det, np.linalg.slogdet(jacobian)[1], atol=1e-5)
    np.testing.assert_allclose(log_det, np.log(0.5), rtol=1e-5)
    base = distributions.standard_normal()
    np.testing.assert_allclose(base.log_density(z) - flows.Flow(half, base).log_density(x), np.log(2), rtol=1e-4)


def test_c0_1_no_bound_is_left_the_draws_have_the_entropy_of_the_density():
    """−E log p of its own draws is the entropy 2·½ log(2πe) of z, plus log 2 and log ½ of the scales."""
    x, log_p = FLOW.sample_with_log_density(jax.random.key(0), (20_000, 2))
    np.testing.assert_allclose(log_p, FLOW.log_density(x), atol=2e-2)
    error = np.std(log_p) / np.sqrt(len(log_p))
    assert abs(-np.mean(log_p) - np.log(2 * np.pi * np.e)) < 4 * error
