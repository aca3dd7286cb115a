"""Claims of S3, the seminar on diffusion models."""

from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracles import CONTINUOUS, Mixture, nightly

from jaxgen.diffusion import (
    cosine_betas,
    from_betas,
    linear_betas,
    marginal,
    perturb,
    reverse_sde,
    score,
    sde_coefficients,
    target,
    transition,
    ve,
    vp,
)


@pytest.mark.parametrize("betas", [linear_betas(200), cosine_betas(200)], ids=["linear", "cosine"])
def test_c1_1_c3_6_the_marginal(betas):
    """q(x_t|x0) = N(√ᾱ_t x0, (1−ᾱ_t) I) is all steps composed; its empirical mean and covariance at one (eq. 3-4)."""
    process, alpha_bar = from_betas(betas), np.cumprod(1 - betas)
    x0 = jnp.array([[1.5, -0.5]])
    scale, variance = 1.0, 0.0  # of x_i = √(1−β_i) x_{i−1} + √β_i ε_i
    for i, beta in enumerate(betas):
        scale, variance = np.sqrt(1 - beta) * scale, (1 - beta) * variance + beta
        np.testing.assert_allclose([scale**2, variance], [alpha_bar[i], 1 - alpha_bar[i]], rtol=1e-9)
        mean, std = marginal(process, x0, (i + 1) / 200)
        np.testing.assert_allclose(mean, scale * x0, rtol=1e-4)
        np.testing.assert_allclose(std**2, variance, rtol=1e-5)
    n = 100_000
    x = perturb(process, jnp.tile(x0, (n, 1)), 0.5, jax.random.normal(jax.random.key(0), (n, 2)))
    assert np.all(np.abs(x.mean(0) - np.sqrt(alpha_bar[99]) * x0[0]) < 5 * np.sqrt((1 - alpha_bar[99]) / n))
    covariance = np.cov(np.asarray(x).T)
    np.testing.assert_allclose(covariance, (1 - alpha_bar[99]) * np.eye(2), atol=5 * np.sqrt(2 / n))


def test_c3_10_the_ddpm_chain_tends_to_the_vp_sde():
    """With β_i = β(i/N)/N the chain's log ᾱ tends to −∫β, its error halving as N doubles."""
    errors = []
    for n in (100, 200, 400):
        chain = from_betas((0.1 + 19.9 * (np.arange(n) + 1) / n) / n)
        t = np.linspace(0.1, 1, 10)
        errors.append(np.abs(chain.log_alpha(t) - vp().log_alpha(t)).max())
    np.testing.assert_allclose(np.array(errors[:-1]) / errors[1:], 2, rtol=0.1)


def test_c3_10_the_smld_chain_tends_to_the_ve_sde():
    """The variance that a step of the ladder adds, over its length, tends to g² = d sigma²/dt."""
    process, t = ve(0.01, 50.0), 0.6
    g_squared = float(sde_coefficients(process, t).diffusion_squared)
    np.testing.assert_allclose(g_squared, (0.01 * 5000**t) ** 2 * 2 * np.log(5000), rtol=1e-4)
    with jax.enable_x64(True):
        gaps = [float(transition(process, t - h, t).variance) / h - g_squared for h in (0.02, 0.01, 0.005)]
    ratios = np.array(gaps[:-1]) / gaps[1:]
    assert np.all(np.abs(ratios - 2) < 0.2)


@nightly("name", CONTINUOUS)
def test_c3_10_the_reverse_sde_undoes_the_forward_one(name):
    """−∂q/∂t by the Fokker–Planck equation of the reverse SDE equals that of the forward one, on a mixture."""
    process, mixture, t = CONTINUOUS[name], Mixture(), 0.5
    with jax.enable_x64(True):
        x = jnp.linspace(-1.5, 1.5, 7, dtype=jnp.float64)
        density = lambda x, t: jnp.exp(mixture.log_density(process, jnp.atleast_1d(x), t))
        rate = jax.vmap(jax.grad(density, 1), (0, None))(x, t)
        for eta in (1.0, 0.5):

            def flux(x, eta=eta):
                drift, diffusion = reverse_sde(process, mixture.denoiser(process), x.reshape(1, 1), t, eta)
                # time runs backwards: −∂q/∂t = ∂(drift q)/∂x + ½ g² ∂²q/∂x²
                return drift[0, 0] * density(x, t) + 0.5 * diffusion**2 * jax.grad(density)(x, t)

            reversed_rate = jax.vmap(jax.grad(flux))(x)
            np.testing.assert_allclose(-reversed_rate, rate, rtol=1e-6, atol=1e-9)


@nightly("name", CONTINUOUS)
def test_c3_10_continuous_dsm_is_minimised_by_the_score(name):
    """The mean of the denoising target −ε/sigma over a bin of x_t is the score of q_t there, at every t."""
    process, mixture, n = CONTINUOUS[name], Mixture(), 400_000
    x0 = mixture.sample(jax.random.key(0), n)
    eps = jax.random.normal(jax.random.key(1), x0.shape)
    for t in (0.3, 0.7):
        x = np.asarray(perturb(process, x0, t, eps))[:, 0]
        targets = np.asarray(target(process, "score", x0, eps, jnp.full(n, t)))[:, 0]
        exact = np.asarray(score(process, mixture.denoiser(process)(jnp.asarray(x)[:, None], t), t))[:, 0]
        edges = np.quantile(x, np.linspace(0, 1, 21))
        for low, high in pairwise(edges):
            inside = (x >= low) & (x < high)
            gap = targets[inside] - exact[inside]
            assert abs(gap.mean()) < 5 * gap.std() / np.sqrt(inside.sum()) + 1e-5
