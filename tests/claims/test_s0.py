"""Claims of S0, the exam on generative models."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracles import PROCESSES, Mixture, nightly, snap

from jaxgen.core import noise
from jaxgen.diffusion import (
    edm,
    from_betas,
    linear_betas,
    noise_grid,
    perturb,
    posterior,
    posterior_coefficients,
    score,
    ve,
)
from jaxgen.distributions import Gaussian, gaussian_kl
from jaxgen.samplers import annealed_langevin, euler_maruyama, sample

T = 100
MIXTURE = Mixture()
BETAS = linear_betas(T, 1e-3, 0.1)
CHAIN = from_betas(BETAS)
ALPHA_BAR = np.cumprod(1 - BETAS)


@nightly("name", PROCESSES)
def test_c0_6b_the_score_is_minus_eps_over_sigma(name):
    """σ ∇log q_t(x) by automatic differentiation of the density = −E[ε|x], on a mixture."""
    process, mixture = PROCESSES[name], Mixture()
    t = snap(process, 0.3)
    x = jnp.linspace(-1.5, 1.5, 31)[:, None] * jnp.sqrt(process.alpha(t) ** 2 + process.variance(t))
    gradient = jax.vmap(jax.grad(lambda x: mixture.log_density(process, x, t)))(x)
    prediction = mixture.denoiser(process)(x, t)
    np.testing.assert_allclose(process.sigma(t) * gradient, -prediction.eps, atol=3e-4)
    np.testing.assert_allclose(score(process, prediction, t), gradient, rtol=1e-3, atol=3e-4 / process.sigma(t))


def test_c0_8a_forward_posterior_and_its_variance():
    """μ̃ = (√ᾱ_{t−1} β_t x0 + √α_t (1−ᾱ_{t−1}) x_t)/(1−ᾱ_t) and β̃ = (1−ᾱ_{t−1})/(1−ᾱ_t) β_t.

    The exam misprints both roots.
    """
    x0, x_t = np.random.default_rng(0).normal(size=(2, T - 1, 3))
    i = np.arange(1, T)
    beta, bar, before = BETAS[i, None], ALPHA_BAR[i, None], ALPHA_BAR[i - 1, None]
    mean = (np.sqrt(before) * beta * x0 + np.sqrt(1 - beta) * (1 - before) * x_t) / (1 - bar)
    variance = (1 - before) / (1 - bar) * beta
    found = posterior(CHAIN, jnp.asarray(x_t), jnp.asarray(x0), i / T, (i + 1) / T)
    np.testing.assert_allclose(found.mean, mean, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found.std**2, variance, rtol=1e-4)
    # without the roots, or with the two exchanged, it is another number
    bare = (before * beta * x0 + (1 - beta) * (1 - before) * x_t) / (1 - bar)
    exchanged = (np.sqrt(1 - beta) * beta * x0 + np.sqrt(before) * (1 - before) * x_t) / (1 - bar)
    for printed in (bare, exchanged):
        assert np.abs(found.mean - printed).max() > 0.01


def kl_to_model(i, x0, x_t, model_mean, model_std):
    q = posterior(CHAIN, x_t, x0, i / T, (i + 1) / T)
    return gaussian_kl(q, Gaussian(model_mean, jnp.asarray(model_std))), q


@pytest.mark.parametrize("i", [1, 30, 99])
def test_c0_8b_the_kl_is_a_squared_distance_of_means(i):
    """KL(q(x_{t−1}|x_t,x0) ‖ N(μ_θ, σ²I)) = ‖μ̃−μ_θ‖²/2σ² + C, with C = d/2 (β̃/σ² − 1 − log β̃/σ²)."""
    x0, x_t, model_mean = jax.random.normal(jax.random.key(i), (3, 5, 4))
    std = np.sqrt(BETAS[i])
    kl, q = kl_to_model(i, x0, x_t, model_mean, std)
    ratio = float(q.std) ** 2 / std**2
    constant = 4 / 2 * (ratio - 1 - np.log(ratio))
    distance = np.sum((q.mean - model_mean) ** 2, -1) / (2 * std**2)
    np.testing.assert_allclose(kl, distance + constant, rtol=1e-4)


@pytest.mark.parametrize("i", [1, 30, 99])
def test_c0_8c_weight_of_the_eps_form(i):
    """‖μ̃−μ_θ‖²/2σ² = β_t²/(2σ²α_t(1−ᾱ_t)) ‖ε−ε_θ‖² when μ_θ is μ̃ at the x0 that ε_θ means."""
    x0, eps, model_eps = jax.random.normal(jax.random.key(i), (3, 5, 4))
    x_t = perturb(CHAIN, x0, (i + 1) / T, eps)
    model_mean = (x_t - BETAS[i] / np.sqrt(1 - ALPHA_BAR[i]) * model_eps) / np.sqrt(1 - BETAS[i])
    std = np.sqrt(float(posterior_coefficients(CHAIN, i / T, (i + 1) / T).variance))
    kl, _ = kl_to_model(i, x0, x_t, model_mean, std)
    weight = BETAS[i] ** 2 / (2 * std**2 * (1 - BETAS[i]) * (1 - ALPHA_BAR[i]))
    np.testing.assert_allclose(kl, weight * np.sum((eps - model_eps) ** 2, -1), rtol=2e-3)


@pytest.mark.slow
def test_c0_3_noise_levels_must_be_close_enough_to_overlap():
    """Annealed Langevin through ten levels finds the modes' weights; through two, of equal cost, it does not.

    Between distant levels the samples do not begin in the bulk of the next law, and there is no time to move between
    modes any more: what is left is the share that the first, nearly structureless level put on each side.
    """
    process, n, last = edm(20.0), 2000, 0.1
    keys = jax.random.split(jax.random.key(0), n)
    shares = {}
    for levels in (10, 2):
        times = noise_grid(process, np.geomspace(20, last, levels))
        sampler = annealed_langevin(0.1 * last**2, last, 1000 // levels)
        x = sample(keys, process, MIXTURE.denoiser(process), sampler, times, (1,))
        shares[levels] = float((np.asarray(x) > -0.2).mean())
    error = np.sqrt(0.21 / n)
    assert abs(shares[10] - 0.7) < 5 * error + 0.01
    assert abs(shares[2] - 0.7) > 8 * error


@nightly(("t", "s"), [(1.0, 0.95), (0.5, 0.4)])
def test_c0_5_eulers_step_of_the_reverse_ve_sde_has_a_negative_dt(t, s):
    """x ← x − g² score Δt + g √|Δt| z with Δt = s − t < 0 and g² = d sigma²/dt."""
    process = ve(0.01, 10.0)
    keys = jax.random.split(jax.random.key(0), 9)
    x = jnp.linspace(-8, 8, 9)[:, None]
    denoise = MIXTURE.denoiser(process)
    found, _ = euler_maruyama().step(keys, process, denoise, jnp.asarray(t), jnp.asarray(s), x, None)
    g_squared = 2 * np.log(1000.0) * (0.01 * 1000.0**t) ** 2
    dt = s - t
    gradient = jax.vmap(jax.grad(lambda x: MIXTURE.log_density(process, x, t)))(x)
    expected = x - g_squared * gradient * dt + np.sqrt(g_squared * abs(dt)) * noise(keys, (1,))
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-3)
