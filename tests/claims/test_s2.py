"""Claims of S2, the homework on variational inference, variational diffusion models and score matching."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracles import PROCESSES, siblings_slow, snap
from scipy.stats import norm

from jaxgen.diffusion import edm, marginal, perturb, posterior, transition
from jaxgen.distributions import Gaussian, gaussian_kl

every_process = pytest.mark.parametrize("name", siblings_slow(PROCESSES))


def numbers(process, *times):
    """alpha and sigma² at the given times, in float64."""
    return [(np.float64(process.alpha(t)), np.float64(process.variance(t))) for t in times]


def test_c2_4_gaussian_kl_closed_form():
    """KL(N(μ,σ²) ‖ N(0,1)) = ½ Σ (μ² + σ² − 1 − log σ²), against quadrature of p log p/q."""
    mean, std = 0.7, 0.4
    x = np.linspace(mean - 12 * std, mean + 12 * std, 100_001)
    p = norm(mean, std)
    quadrature = np.sum(p.pdf(x) * (p.logpdf(x) - norm.logpdf(x))) * (x[1] - x[0])
    found = gaussian_kl(Gaussian(jnp.full((1, 1), mean), jnp.asarray(std)), Gaussian(jnp.zeros(()), jnp.ones(())))
    np.testing.assert_allclose(found, quadrature, rtol=1e-5)
    np.testing.assert_allclose(quadrature, 0.5 * (mean**2 + std**2 - 1 - np.log(std**2)), rtol=1e-8)


def test_c2_4_reparameterised_gradient_is_unbiased():
    """∇_{μ,σ} E f(μ+σε) for f = z⁴: E z⁴ = μ⁴ + 6μ²σ² + 3σ⁴, so the gradient is (4μ³+12μσ², 12μ²σ+12σ³)."""
    mean, std, n = 0.6, 0.5, 400_000
    # EDM's process with sigma_max = 1 has alpha = 1 and sigma(t) = t: perturb is the reparameterisation μ + σε
    process = edm(1.0)
    eps = jax.random.normal(jax.random.key(0), (n,))

    def value(parameters, e):
        return perturb(process, parameters[:1, None], parameters[1], e.reshape(1, 1))[0, 0] ** 4

    per_draw = jax.vmap(jax.grad(value), (None, 0))
    gradients = np.asarray(per_draw(jnp.array([mean, std]), eps))
    exact = np.array([4 * mean**3 + 12 * mean * std**2, 12 * mean**2 * std + 12 * std**3])
    assert np.all(np.abs(gradients.mean(0) - exact) < 4 * gradients.std(0) / np.sqrt(n))


@pytest.mark.parametrize("name", siblings_slow(["vp", "cosine", "linear", "cosine_table", "zero_snr"]))
def test_c2_6a_variance_is_preserved(name):
    """a² + σ² = 1 at every t, so data of unit variance keep it."""
    process = PROCESSES[name]
    t = snap(process, np.linspace(0, 1, 41))
    np.testing.assert_allclose(process.alpha(t) ** 2 + process.variance(t), 1, atol=1e-6)
    n = 100_000
    x0, eps = jax.random.normal(jax.random.key(0), (2, n, 1))
    assert abs(perturb(process, x0, t[20], eps).var() - 1) < 5 * np.sqrt(2 / n)


@every_process
def test_c2_6b_markov_factorisation(name):
    """q(x_s|x0) q(x_t|x_s) = q(x_t|x0) q(x_s|x_t,x0), as densities at random points."""
    process = PROCESSES[name]
    s, t = snap(process, 0.3), snap(process, 0.7)
    x0, eps, z = jax.random.normal(jax.random.key(0), (3, 20, 1))
    x_s = perturb(process, x0, s, eps)
    scale, variance = transition(process, s, t)
    x_t = scale * x_s + jnp.sqrt(variance) * z

    def log_pdf(x, mean, std):
        return norm.logpdf(np.float64(x), np.float64(mean), np.float64(std))

    forward = log_pdf(x_s, *marginal(process, x0, s)) + log_pdf(x_t, scale * x_s, jnp.sqrt(variance))
    backward = log_pdf(x_t, *marginal(process, x0, t)) + log_pdf(x_s, *posterior(process, x_t, x0, s, t))
    np.testing.assert_allclose(forward, backward, rtol=1e-3, atol=2e-3)


@every_process
def test_c2_6c_transition(name):
    """a_{t|s} = a_t/a_s and σ²_{t|s} = σ_t² − a²_{t|s} σ_s²."""
    process = PROCESSES[name]
    s, t = snap(process, 0.3), snap(process, 0.7)
    (a_s, var_s), (a_t, var_t) = numbers(process, s, t)
    found = transition(process, s, t)
    np.testing.assert_allclose(found.alpha, a_t / a_s, rtol=1e-5)
    np.testing.assert_allclose(found.variance, var_t - (a_t / a_s) ** 2 * var_s, rtol=1e-5)


@every_process
def test_c2_6d_posterior(name):
    """σ_Q² = σ²_{t|s} σ_s²/σ_t² and μ_Q = a_{t|s} σ_s²/σ_t² x_t + a_s σ²_{t|s}/σ_t² x0."""
    process = PROCESSES[name]
    s, t = snap(process, 0.3), snap(process, 0.7)
    (a_s, var_s), (a_t, var_t) = numbers(process, s, t)
    ratio = a_t / a_s
    step = var_t - ratio**2 * var_s
    x0, x_t = jax.random.normal(jax.random.key(0), (2, 5, 2))
    mean, std = posterior(process, x_t, x0, s, t)
    expected = ratio * var_s / var_t * x_t + a_s * step / var_t * x0
    np.testing.assert_allclose(mean, expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(std**2, step * var_s / var_t, rtol=1e-4)


def model_kl(process, s, t, x0, x0_model, x_t):
    """KL(q(x_s|x_t,x0) ‖ q(x_s|x_t,x̂0)): the diffusion term of the bound, and its two Gaussians."""
    q, p = posterior(process, x_t, x0, s, t), posterior(process, x_t, x0_model, s, t)
    return gaussian_kl(q, p), q, p


@every_process
def test_c2_6e_kl_of_equal_variances_is_the_distance_of_means(name):
    """KL = ‖μ_Q − μ_θ‖²/(2σ_Q²)."""
    process = PROCESSES[name]
    x0, x0_model, x_t = jax.random.normal(jax.random.key(0), (3, 5, 2))
    kl, q, p = model_kl(process, snap(process, 0.3), snap(process, 0.7), x0, x0_model, x_t)
    np.testing.assert_allclose(kl, np.sum((q.mean - p.mean) ** 2, -1) / (2 * q.std**2), rtol=1e-4)


@every_process
def test_c2_6f_kl_is_half_the_snr_gap_times_the_error(name):
    """KL = ½ (SNR(s) − SNR(t)) ‖x0 − x̂0‖² with SNR = a²/σ²; with the homework's a/σ² it is not."""
    process = PROCESSES[name]
    s, t = snap(process, 0.3), snap(process, 0.7)
    (a_s, var_s), (a_t, var_t) = numbers(process, s, t)
    x0, x0_model, x_t = jax.random.normal(jax.random.key(0), (3, 5, 2))
    kl, *_ = model_kl(process, s, t, x0, x0_model, x_t)
    error = np.sum(np.float64(x0 - x0_model) ** 2, -1)
    np.testing.assert_allclose(kl, 0.5 * (a_s**2 / var_s - a_t**2 / var_t) * error, rtol=2e-3)
    if name not in ("ve", "edm"):  # where a = 1 the two agree
        assert np.all(np.abs(kl / (0.5 * (a_s / var_s - a_t / var_t) * error) - 1) > 0.02)
