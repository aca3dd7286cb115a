"""Kernels against Bayes' rule in float64, at every pair of times and at the ends."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from oracles import PROCESSES, snap

from jaxgen.diffusion import (
    GaussianProcess,
    from_betas,
    marginal,
    perturb,
    posterior,
    posterior_coefficients,
    sde_coefficients,
    transition,
)
from jaxgen.distributions import Gaussian, gaussian_kl

every_process = pytest.mark.parametrize("name", PROCESSES)
pairs = st.tuples(st.floats(0.02, 1.0), st.floats(0.02, 1.0))


def exact(process, t):
    """alpha and sigma² of a process, in float64 from its log-SNR: independent of how its kernels are computed."""
    alpha = np.asarray(process.alpha(t), np.float64)
    return alpha, np.asarray(process.variance(t), np.float64)


@every_process
@settings(deadline=None, max_examples=30)
@given(times=pairs)
def test_transition_of_marginal_is_marginal(name, times):
    process = PROCESSES[name]
    s, t = snap(process, min(times)), snap(process, max(times))
    alpha, variance = (np.asarray(part, np.float64) for part in transition(process, s, t))
    (alpha_s, variance_s), (alpha_t, variance_t) = exact(process, s), exact(process, t)
    np.testing.assert_allclose(alpha * alpha_s, alpha_t, rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(alpha**2 * variance_s + variance, variance_t, rtol=2e-5)


@every_process
@settings(deadline=None, max_examples=30)
@given(times=pairs)
def test_posterior_is_bayes_rule(name, times):
    process = PROCESSES[name]
    s, t = snap(process, min(times)), snap(process, max(times))
    assume(t - s > 1e-3)
    alpha, noised = (np.asarray(part, np.float64) for part in transition(process, s, t))
    alpha_s, variance_s = exact(process, s)
    # precision-weighted product of q(x_s | x0) and q(x_t | x_s), as a function of x_s
    precision = 1 / variance_s + alpha**2 / noised
    found = posterior_coefficients(process, s, t)
    np.testing.assert_allclose(found.variance, 1 / precision, rtol=1e-4)
    np.testing.assert_allclose(found.coef_xt, alpha / noised / precision, rtol=1e-4, atol=1e-7)
    np.testing.assert_allclose(found.coef_x0, alpha_s / variance_s / precision, rtol=1e-4, atol=1e-7)


@every_process
def test_ends_of_the_kernels(name):
    process = PROCESSES[name]
    t = snap(process, 0.4)
    starts_clean = name != "ve"
    # from clean data a transition is the marginal, and the posterior at s = 0 is the datum itself
    if starts_clean:
        from_data = transition(process, 0.0, t)
        np.testing.assert_allclose(from_data.alpha, process.alpha(t), rtol=1e-6)
        np.testing.assert_allclose(from_data.variance, process.variance(t), rtol=1e-6)
        np.testing.assert_array_equal(np.asarray(posterior_coefficients(process, 0.0, t)), [0, 1, 0])
    for end in (0.0, 1.0):
        np.testing.assert_array_equal(np.asarray(transition(process, end, end)), [1, 0])
        np.testing.assert_array_equal(np.asarray(posterior_coefficients(process, end, end)), [1, 0, 0])
    # where alpha = 0 nothing of x_t helps: the posterior is q(x_s | x0)
    if process.alpha(1.0) == 0:
        last = posterior_coefficients(process, t, 1.0)
        np.testing.assert_allclose(last.coef_xt, 0, atol=1e-7)
        np.testing.assert_allclose(last.coef_x0, process.alpha(t), rtol=1e-6)
        np.testing.assert_allclose(last.variance, process.variance(t), rtol=1e-6)


@every_process
@settings(deadline=None, max_examples=20)
@given(time=st.floats(0.03, 1.0))
def test_posterior_at_the_ends_of_every_step(name, time):
    process = PROCESSES[name]
    t = snap(process, time)
    np.testing.assert_array_equal(np.asarray(posterior_coefficients(process, t, t)), [1, 0, 0])
    if process.sigma(0.0) == 0:
        np.testing.assert_array_equal(np.asarray(posterior_coefficients(process, 0.0, t)), [0, 1, 0])
    if t < 0.98:  # nearer, both sides are a small difference of large numbers
        found, forward = posterior_coefficients(process, t, 1.0), transition(process, t, 1.0)
        # towards pure noise the posterior forgets x_t and becomes the marginal at s
        kept = float(forward.alpha**2 * process.variance(t) / process.variance(1.0))
        np.testing.assert_allclose(found.variance, process.variance(t) * (1 - kept), rtol=1e-3)


def test_a_steep_chain_keeps_its_noise_where_nothing_is_left_of_the_data():
    process = from_betas(np.full(400, 0.3))  # its log-SNR goes down to −143, where e^{−λ} is infinite in float32
    i = np.arange(1, 401)
    np.testing.assert_allclose(transition(process, (i - 1) / 400, i / 400).variance, 0.3, rtol=1e-4)


def test_plain_python_processes_are_enough():
    class Straight(GaussianProcess):
        def alpha(self, t):
            return 1 - t

        def sigma(self, t):
            return t

    class Growing(GaussianProcess):
        def alpha(self, t):
            return 1.0

        def sigma(self, t):
            return 3 * t

    x = jnp.ones((2, 3))
    np.testing.assert_allclose(perturb(Straight(), x, 0.25, 2 * x), 1.25)
    np.testing.assert_allclose(perturb(Growing(), x, jnp.array([0.25, 0.5]), x)[:, 0], [1.75, 2.5])
    np.testing.assert_allclose(sde_coefficients(Growing(), jnp.array([0.5])).diffusion_squared, [9.0], rtol=1e-6)
    for process in (Straight(), Growing()):
        assert marginal(process, x, jnp.asarray(0.25, jnp.bfloat16)).std.dtype == jnp.float32
        np.testing.assert_allclose(transition(process, 0.25, 0.5).alpha, process.alpha(0.5) / process.alpha(0.25))


def test_neighbouring_steps_keep_their_digits():
    process = PROCESSES["linear"]
    betas = np.linspace(1e-4, 0.02, 1000)
    i = np.arange(2, 1001)
    variance = transition(process, (i - 1) / 1000, i / 1000).variance
    np.testing.assert_allclose(variance, betas[1:], rtol=2e-4)
    np.testing.assert_allclose(posterior_coefficients(process, 1 / 1000, 2 / 1000).variance, 5.45319e-5, rtol=1e-5)


def test_perturb_and_posterior_broadcast_over_the_batch():
    process = PROCESSES["vp"]
    x0, eps = jax.random.normal(jax.random.key(0), (2, 3, 4, 4, 1))
    t = jnp.array([0.1, 0.5, 1.0])
    x_t = perturb(process, x0, t, eps)
    for b in range(3):
        np.testing.assert_allclose(x_t[b], process.alpha(t[b]) * x0[b] + process.sigma(t[b]) * eps[b], rtol=1e-6)
    mean, std = posterior(process, x_t, x0, t / 2, t)
    one = posterior(process, x_t[1:2], x0[1:2], t[1] / 2, t[1])
    np.testing.assert_allclose(mean[1:2], one.mean, rtol=1e-6)
    np.testing.assert_allclose(std[1].squeeze(), one.std, rtol=1e-6)
    assert marginal(process, x0, 0.3).std.shape == ()


def test_gaussian_kl_against_monte_carlo():
    p = Gaussian(jnp.array([[0.3, -1.0]]), jnp.array([[0.5, 2.0]]))
    q = Gaussian(jnp.array([[0.0, 0.4]]), jnp.array(1.5))
    x = p.mean + p.std * jax.random.normal(jax.random.key(1), (200_000, 2))
    log_ratio = -jnp.log(p.std / q.std) - ((x - p.mean) / p.std) ** 2 / 2 + ((x - q.mean) / q.std) ** 2 / 2
    estimate = log_ratio.sum(-1)
    assert abs(gaussian_kl(p, q)[0] - estimate.mean()) < 4 * estimate.std() / np.sqrt(len(x))
    np.testing.assert_array_equal(gaussian_kl(p, p), [0.0])


def test_times_outside_the_unit_interval_are_refused():
    x0 = jnp.zeros((1, 2))
    for bad in (-0.1, 500, np.array([0.5, 1.5])):
        with pytest.raises(ValueError, match="divide step indices by T"):
            perturb(PROCESSES["vp"], x0, bad, x0)
    with pytest.raises(ValueError, match=r"times lie in \[0, 1\]"):
        transition(PROCESSES["vp"], -0.1, 0.5)
    with pytest.raises(ValueError, match=r"times lie in \[0, 1\]"):
        transition(PROCESSES["vp"], 0.5, 1.5)
    with pytest.raises(ValueError, match="s must not exceed t"):
        posterior(PROCESSES["vp"], x0, x0, 0.5, 0.3)
