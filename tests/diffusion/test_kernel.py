"""Kernels against Bayes' rule in float64, at every pair of times and at the ends."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracles import PROCESSES, siblings_slow, snap

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

every_process = pytest.mark.parametrize("name", siblings_slow(PROCESSES))
ALL = np.linspace(0.03, 1.0, 98)
PAIRS = np.sort(np.random.default_rng(0).uniform(0.02, 1.0, (200, 2)))


def exact(process, t):
    """alpha and sigma² of a process, in float64 from its log-SNR: independent of how its kernels are computed."""
    alpha = np.asarray(process.alpha(t), np.float64)
    return alpha, np.asarray(process.variance(t), np.float64)


@jax.jit
def kernels(process, s, t):
    return transition(process, s, t), posterior_coefficients(process, s, t)


@every_process
def test_c2_6c_transition_of_marginal_is_marginal(name):
    """a_{t|s} = a_t/a_s and σ²_{t|s} = σ_t² − a²_{t|s} σ_s²."""
    process = PROCESSES[name]
    s, t = snap(process, PAIRS).T
    alpha, variance = (np.asarray(part, np.float64) for part in kernels(process, s, t)[0])
    (alpha_s, variance_s), (alpha_t, variance_t) = exact(process, s), exact(process, t)
    np.testing.assert_allclose(alpha * alpha_s, alpha_t, rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(alpha**2 * variance_s + variance, variance_t, rtol=2e-5)


@every_process
def test_c2_6d_posterior_is_bayes_rule(name):
    """Its precision is 1/σ_s² + a²_{t|s}/σ²_{t|s}; that of the formula's mean and variance is the same."""
    process = PROCESSES[name]
    s, t = snap(process, PAIRS[PAIRS[:, 1] - PAIRS[:, 0] > 0.03]).T
    alpha, noised = (np.asarray(part, np.float64) for part in kernels(process, s, t)[0])
    alpha_s, variance_s = exact(process, s)
    # precision-weighted product of q(x_s | x0) and q(x_t | x_s), as a function of x_s
    precision = 1 / variance_s + alpha**2 / noised
    found = kernels(process, s, t)[1]
    np.testing.assert_allclose(found.variance, 1 / precision, rtol=1e-4)
    np.testing.assert_allclose(found.coef_xt, alpha / noised / precision, rtol=1e-4, atol=1e-7)
    np.testing.assert_allclose(found.coef_x0, alpha_s / variance_s / precision, rtol=1e-4, atol=1e-7)


@pytest.mark.first_by_day
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
        towards = np.asarray(kernels(process, 0 * ALL, snap(process, ALL))[1])
        np.testing.assert_array_equal(towards.T, [[0, 1, 0]] * len(ALL))
    same = snap(process, np.append(ALL, 0.0))
    for found, exactly in zip(kernels(process, same, same), ([1, 0], [1, 0, 0]), strict=True):
        np.testing.assert_array_equal(np.asarray(found).T, [exactly] * len(same))
    # towards pure noise the posterior forgets x_t; nearer t = 1 both sides are a small difference of large numbers
    s = snap(process, ALL[ALL < 0.98])
    forward, found = kernels(process, s, np.ones_like(s))
    kept = np.float64(forward.alpha) ** 2 * np.float64(process.variance(s)) / np.float64(process.variance(1.0))
    np.testing.assert_allclose(found.variance, process.variance(s) * (1 - kept), rtol=1e-3)
    # where alpha = 0 nothing of x_t helps: the posterior is q(x_s | x0)
    if process.alpha(1.0) == 0:
        last = posterior_coefficients(process, t, 1.0)
        np.testing.assert_allclose(last.coef_xt, 0, atol=1e-7)
        np.testing.assert_allclose(last.coef_x0, process.alpha(t), rtol=1e-6)
        np.testing.assert_allclose(last.variance, process.variance(t), rtol=1e-6)


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


def test_times_outside_the_unit_interval_are_refused():
    x0, process = jnp.zeros((1, 2)), PROCESSES["vp"]
    for refused in (
        *(lambda bad=bad: perturb(process, x0, bad, x0) for bad in (-0.1, 500, np.array([0.5, 1.5]))),
        lambda: transition(process, -0.1, 0.5),
        lambda: transition(process, 0.5, 1.5),
    ):
        with pytest.raises(ValueError, match=r"times lie in \[0, 1\].*divide step indices by T"):
            refused()
    with pytest.raises(ValueError, match="s must not exceed t"):
        posterior(process, x0, x0, 0.5, 0.3)
