"""Claims of S3, the seminar on diffusion models."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.diffusion import cosine_betas, discrete, linear_betas, marginal, perturb


@pytest.mark.parametrize("betas", [linear_betas(200), cosine_betas(200)], ids=["linear", "cosine"])
def test_c3_6_the_marginal(betas):
    """q(x_t|x0) = N(√ᾱ_t x0, (1−ᾱ_t) I) at every t, its empirical mean and covariance at one (eq. 3-4)."""
    process, alpha_bar = discrete(betas), np.cumprod(1 - betas)
    x0 = jnp.array([[1.5, -0.5]])
    for i in (0, 1, 100, 198, 199):
        mean, std = marginal(process, x0, (i + 1) / 200)
        np.testing.assert_allclose(mean, np.sqrt(alpha_bar[i]) * x0, rtol=1e-4)
        np.testing.assert_allclose(std, np.sqrt(1 - alpha_bar[i]), rtol=1e-5)
    n = 100_000
    x = perturb(process, jnp.tile(x0, (n, 1)), 0.5, jax.random.normal(jax.random.key(0), (n, 2)))
    assert np.all(np.abs(x.mean(0) - np.sqrt(alpha_bar[99]) * x0[0]) < 5 * np.sqrt((1 - alpha_bar[99]) / n))
    covariance = np.cov(np.asarray(x).T)
    np.testing.assert_allclose(covariance, (1 - alpha_bar[99]) * np.eye(2), atol=5 * np.sqrt(2 / n))
