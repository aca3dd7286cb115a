"""Claims of S3 on variational autoencoders and GANs: the bound (5-1) and the minimax optimum (5-2)."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ppca import PPCA
from scipy.optimize import minimize
from scipy.special import expit
from scipy.stats import norm

from jaxgen.gan import minimax
from jaxgen.vae import elbo

LAW = PPCA()
JSD, BCE = 0.11142, 0.58173  # of N(0, 1) and N(1, 1), in nats


@pytest.mark.slow
def test_c3_12_the_elbo_is_a_lower_bound_that_the_posterior_reaches():
    """(5-1): E_q log p(x|z) − KL(q ‖ p(z)) ≤ log p(x), with equality at q = p(z|x)."""
    x = jnp.asarray(LAW.sample(3), jnp.float32)
    n = 4000
    for shape in ({}, {"shift": 0.4}):
        values = np.asarray(elbo(jax.random.key(0), LAW.model(**shape), jnp.repeat(x, n, axis=0)).value, np.float64)
        values = values.reshape(3, n)
        error = values.std(1) / np.sqrt(n)
        gap = LAW.log_p(x) - values.mean(1)
        assert (gap > -4 * error).all()
        assert (np.abs(gap) < 4 * error).all() == (not shape)


def test_c3_12_the_best_critic_is_a_ratio_of_densities():
    """(5-2): −log D(x) − log(1 − D(y)) is least at D* = p/(p + q), where it is log 4 − 2 JSD(p, q)."""
    n = 20_000
    rng = np.random.default_rng(0)
    real, fake = jnp.asarray(rng.normal(size=n), jnp.float32), jnp.asarray(1 + rng.normal(size=n), jnp.float32)
    loss = jax.jit(lambda w: minimax().critic(w[0] + w[1] * real, w[0] + w[1] * fake).mean())
    w = np.asarray(minimize(jax.value_and_grad(loss), np.zeros(2), jac=True, method="BFGS", options={"gtol": 1e-4}).x)
    grid = np.linspace(-4, 5, 901)
    optimum = norm.pdf(grid) / (norm.pdf(grid) + norm.pdf(grid, 1))
    assert np.abs(expit(w[0] + w[1] * grid) - optimum).max() < 0.02

    fresh = jnp.asarray(rng.normal(size=n), jnp.float32), jnp.asarray(1 + rng.normal(size=n), jnp.float32)
    losses = np.asarray(minimax().critic(*(w[0] + w[1] * x for x in fresh)), np.float64)
    error = losses.std() / np.sqrt(n)
    assert error < 0.01
    assert abs(losses.mean() / 2 - BCE) < 4 * error / 2
    assert abs(np.log(2) - losses.mean() / 2 - JSD) < 4 * error / 2
    # the constants, by quadrature
    x = np.linspace(-10, 11, 100_001)
    p, q = norm.pdf(x), norm.pdf(x, 1)
    cross_entropy = -(p * np.log(p / (p + q)) + q * np.log(q / (p + q))).sum() * (x[1] - x[0]) / 2
    np.testing.assert_allclose([cross_entropy, np.log(2) - cross_entropy], [BCE, JSD], atol=1e-5)


def test_c3_12_the_generators_best_answer_is_the_data():
    """At D* the critic's loss is log 4 − 2 JSD, so that it is greatest, log 4, where q = p."""
    x = np.linspace(-12, 12, 20_001)
    p = norm.pdf(x)
    values = []
    for shift in (0.0, 0.5, 1.0, 2.0):
        logit = jnp.asarray(norm.logpdf(x) - norm.logpdf(x, shift), jnp.float32)
        on_real, on_fake = (
            minimax().critic(logit, jnp.full_like(logit, -1e4)),
            minimax().critic(-logit * 0 + 1e4, logit),
        )
        weighted = p * np.float64(on_real) + norm.pdf(x, shift) * np.float64(on_fake)
        values.append(weighted.sum() * (x[1] - x[0]))
    np.testing.assert_allclose(values[0], np.log(4), rtol=1e-5)
    np.testing.assert_allclose(values[2], np.log(4) - 2 * JSD, atol=1e-4)
    assert (np.diff(values) < 0).all()
