"""Claims of S2, the homework on variational inference, variational diffusion models and score matching."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracles import PROCESSES, siblings_slow, snap
from scipy.stats import norm

from jaxgen.diffusion import marginal, perturb, posterior, transition
from jaxgen.distributions import gaussian_kl

every_process = pytest.mark.parametrize("name", siblings_slow(PROCESSES))


def numbers(process, *times):
    """alpha and sigma² at the given times, in float64."""
    return [(np.float64(process.alpha(t)), np.float64(process.variance(t))) for t in times]


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
def test_c2_6e_c2_6f_kl_of_equal_variances_is_a_distance_of_means_and_half_the_snr_gap_times_the_error(name):
    """KL(q(x_s|x_t,x0) ‖ q(x_s|x_t,x̂0)) = ‖μ_Q − μ_θ‖²/(2σ_Q²) = ½ (SNR(s) − SNR(t)) ‖x0 − x̂0‖², SNR = a²/σ².

    With the homework's a/σ² it is not.
    """
    process = PROCESSES[name]
    s, t = snap(process, 0.3), snap(process, 0.7)
    (a_s, var_s), (a_t, var_t) = numbers(process, s, t)
    x0, x0_model, x_t = jax.random.normal(jax.random.key(0), (3, 5, 2))
    q, p = (posterior(process, x_t, of, s, t) for of in (x0, x0_model))
    kl = gaussian_kl(q, p)
    np.testing.assert_allclose(kl, np.sum((q.mean - p.mean) ** 2, -1) / (2 * q.std**2), rtol=1e-4)
    error = np.sum(np.float64(x0 - x0_model) ** 2, -1)
    np.testing.assert_allclose(kl, 0.5 * (a_s**2 / var_s - a_t**2 / var_t) * error, rtol=2e-3)
    if name not in ("ve", "edm"):  # where a = 1 the two agree
        assert np.all(np.abs(kl / (0.5 * (a_s / var_s - a_t / var_t) * error) - 1) > 0.02)
