"""Schedules against quadrature, published constants and their own limits."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracles import CONTINUOUS, DISCRETE, PROCESSES, siblings_slow
from refusals import refuses
from scipy.integrate import quad

from jaxgen.diffusion import (
    GaussianProcess,
    cosine,
    cosine_betas,
    edm,
    from_betas,
    linear_betas,
    sde_coefficients,
    sub_vp,
    value_and_derivative,
    ve,
    vp,
    zero_terminal_snr,
)

INSIDE = np.linspace(0.02, 0.98, 25)


@jax.jit
def functions(process, t):
    log_snr = process.log_snr(t)
    return process.alpha(t), process.sigma(t), log_snr, process.time_at_log_snr(log_snr)


@jax.jit
def inverses(process, log_snr):
    return process.time_at_log_snr(log_snr), GaussianProcess.time_at_log_snr(process, log_snr)


def beta(t):
    return 0.1 + t * (20 - 0.1)


def test_vp_is_the_integral_of_beta():
    t = np.array([1e-4, 0.3, 1.0])
    integral = np.array([quad(beta, 0, u)[0] for u in t])
    alpha, sigma, *_ = functions(vp(), t)
    np.testing.assert_allclose(alpha, np.exp(-integral / 2), rtol=2e-6)
    np.testing.assert_allclose(sigma, np.sqrt(-np.expm1(-integral)), rtol=2e-6)
    np.testing.assert_allclose(functions(sub_vp(), t)[1], -np.expm1(-integral), rtol=2e-6)


def test_cosine_keeps_its_digits_at_both_ends():
    t = np.array([1e-6, 1e-3, 0.5, 1.0])
    phase = (np.longdouble(t) + 0.008) / 1.008 * np.pi / 2
    exact = np.cos(phase) / np.cos(np.longdouble(0.008) / 1.008 * np.pi / 2)
    alpha, sigma, *_ = functions(cosine(), t)
    np.testing.assert_allclose(alpha, np.float64(exact), rtol=1e-6, atol=1e-15)
    np.testing.assert_allclose(np.float64(sigma) ** 2, np.float64(1 - exact**2), rtol=1e-5)


def test_published_tables():
    linear = from_betas(linear_betas(1000))
    np.testing.assert_allclose(linear.alpha(1.0) ** 2, 4.03583e-5, rtol=2e-6)
    betas = cosine_betas(1000)
    np.testing.assert_allclose(betas[0], 4.12842e-5, rtol=2e-6)
    np.testing.assert_allclose(from_betas(betas).alpha(1.0) ** 2, 2.42877e-9, rtol=1e-5)
    assert np.flatnonzero(betas >= 0.999).tolist() == [999]


def test_a_table_is_its_betas():
    betas, t = linear_betas(500), np.arange(501) / 500
    process, alpha_bar = from_betas(betas), np.append(1, np.cumprod(1 - betas))
    alpha, sigma, log_snr, _ = functions(process, t)
    np.testing.assert_allclose(alpha, np.sqrt(alpha_bar), rtol=1e-6)
    np.testing.assert_allclose(sigma, np.sqrt(1 - alpha_bar), rtol=1e-6)
    assert process.steps == 500
    assert (alpha[0], sigma[0], log_snr[0]) == (1, 0, np.inf)
    # other times are rounded to the nearest step
    np.testing.assert_array_equal(functions(process, np.clip(t + 0.0009, 0, 1))[0], alpha)


def test_zero_terminal_snr():
    betas = zero_terminal_snr(linear_betas(100))
    assert betas[-1] == 1
    np.testing.assert_allclose(betas[0], linear_betas(100)[0], rtol=1e-10)
    process = from_betas(betas)
    assert process.alpha(1.0) == 0
    assert process.sigma(1.0) == 1
    assert process.log_snr(1.0) == -np.inf
    # one affine map of the original roots, by the definition of the method
    root, old = np.sqrt(np.cumprod(1 - betas)), np.sqrt(np.cumprod(1 - linear_betas(100)))
    np.testing.assert_allclose(np.diff(root) / np.diff(old), (root[0] - root[-1]) / (old[0] - old[-1]), rtol=1e-9)


@pytest.mark.parametrize("name", PROCESSES)
def test_ends(name):
    process = PROCESSES[name]
    assert process.alpha(0.0) == 1
    assert not np.signbit(process.sigma(0.0))
    if name == "ve":  # the paper's: clean means noise of sigma_min
        np.testing.assert_allclose(process.sigma(0.0), 0.01, rtol=1e-6)
    else:
        assert process.sigma(0.0) == 0
        assert process.log_snr(0.0) == np.inf
    if name in ("cosine", "rectified_flow", "zero_snr"):
        assert process.alpha(1.0) == 0
        assert process.log_snr(1.0) == -np.inf
    if name in ("ve", "edm"):
        np.testing.assert_allclose(process.sigma(1.0), process.prior_std, rtol=1e-6)
    else:
        # the prior is N(0, I): what is left of unit-variance data and noise has variance 1 to a percent
        assert process.prior_std == 1
        np.testing.assert_allclose(process.alpha(1.0) ** 2 + process.sigma(1.0) ** 2, 1, atol=0.01)


@pytest.mark.parametrize("name", siblings_slow(CONTINUOUS))
def test_log_snr_and_its_inverses(name):
    process = CONTINUOUS[name]
    alpha, sigma, log_snr, _ = map(np.float64, functions(process, INSIDE))
    np.testing.assert_allclose(log_snr, 2 * np.log(alpha / sigma), atol=2e-4)
    assert np.all(np.diff(log_snr) < 0)
    for found in inverses(process, np.append(log_snr, [np.inf, 1e4, -1e4, -np.inf])):
        np.testing.assert_allclose(found, [*INSIDE, 0, 0, 1, 1], atol=2e-6)


@pytest.mark.parametrize("name", siblings_slow(DISCRETE))
def test_inverse_of_a_table_is_its_step(name):
    t = np.arange(DISCRETE[name].steps + 1) / DISCRETE[name].steps
    np.testing.assert_allclose(functions(DISCRETE[name], t)[3], t, atol=1e-7)


def test_sde_coefficients_are_the_papers():
    t = np.concatenate([[0.0], INSIDE])
    b, integral = beta(t), np.asarray([quad(beta, 0, u)[0] for u in t])
    ratio = 50 / 0.01
    published = {
        "vp": (-b / 2, b),
        # the paper's sub-VP diffusion is the one its marginals imply
        "sub_vp": (-b / 2, b * -np.expm1(-2 * integral)),
        "ve": (0 * t, 0.01**2 * ratio ** (2 * t) * 2 * np.log(ratio)),
        "edm": (0 * t, 2 * 80**2 * t),
        "rectified_flow": (-1 / (1 - t), 2 * t / (1 - t)),
    }
    for name, (drift, diffusion_squared) in published.items():
        found = jax.jit(sde_coefficients)(CONTINUOUS[name], t)
        np.testing.assert_allclose(found.drift, drift, rtol=1e-5, atol=1e-7, err_msg=name)
        np.testing.assert_allclose(found.diffusion_squared, diffusion_squared, rtol=2e-4, atol=1e-5, err_msg=name)
    phase = (t + 0.008) / 1.008 * np.pi / 2
    found = jax.jit(sde_coefficients)(cosine(), t)
    np.testing.assert_allclose(found.drift, -np.tan(phase) * np.pi / 2 / 1.008, rtol=1e-5)
    np.testing.assert_allclose(found.diffusion_squared, 2 * np.tan(phase) * np.pi / 2 / 1.008, rtol=1e-5)


def test_sde_coefficients_diverge_where_alpha_vanishes():
    found = sde_coefficients(cosine(), 1.0)
    assert found.drift == -np.inf
    assert found.diffusion_squared == np.inf


def test_a_process_of_ones_own_is_two_functions():
    class Trigonometric(GaussianProcess):
        speed: jax.Array

        def alpha(self, t):
            return jnp.cos(self.speed * jnp.pi / 2 * t)

        def sigma(self, t):
            return jnp.sin(self.speed * jnp.pi / 2 * t)

    process = Trigonometric(jnp.asarray(0.9))
    c = 0.45 * np.pi
    found = jax.jit(sde_coefficients)(process, INSIDE)
    np.testing.assert_allclose(found.drift, -c * np.tan(c * INSIDE), rtol=1e-5)
    np.testing.assert_allclose(found.diffusion_squared, 2 * c * np.tan(c * INSIDE), rtol=1e-4)
    np.testing.assert_allclose(functions(process, INSIDE)[3], INSIDE, atol=1e-6)
    assert jax.tree.leaves(process) == [process.speed]
    with pytest.raises(NotImplementedError, match="must define alpha"):
        GaussianProcess().alpha(0.5)


def test_hyper_parameters_are_leaves():
    sweep = jax.vmap(vp)(jnp.array([0.1, 0.2]), jnp.array([10.0, 20.0]))
    alphas = jax.jit(jax.vmap(lambda process: process.alpha(0.5)))(sweep)
    np.testing.assert_allclose(alphas, [vp(0.1, 10.0).alpha(0.5), vp(0.2, 20.0).alpha(0.5)], rtol=1e-6)
    tables = jax.jit(jax.vmap(from_betas))(jnp.stack([linear_betas(10), linear_betas(10, end=0.5)]))
    assert tables.steps == 10
    last = jax.jit(jax.vmap(lambda process: process.alpha(1.0)))(tables)
    np.testing.assert_allclose(last[1], from_betas(linear_betas(10, end=0.5)).alpha(1.0), rtol=1e-5)

    @jax.jit
    @chex.assert_max_traces(n=1)
    def snr(process, t):
        return process.log_snr(t)

    for beta_max in (10.0, 15.0, 20.0):
        snr(vp(beta_max=beta_max), 0.5)


@pytest.mark.parametrize("name", siblings_slow(PROCESSES))
def test_bfloat16_times_do_not_lower_the_schedule(name):
    process = PROCESSES[name]
    t = jnp.asarray(0.5, jnp.bfloat16)
    for function in (process.alpha, process.sigma, process.log_snr):
        assert function(t).dtype == jnp.float32
        assert function(t) == function(0.5)


def test_refusals():
    refuses(
        (r"need finite 0 < beta_min <= beta_max, got beta_min=20.0, beta_max=0.1", lambda: vp(20.0, 0.1)),
        ("sigma_min", lambda: ve(0.0, 1.0)),
        ("sigma_max", lambda: edm(float("nan"))),
        ("s must be positive", lambda: cosine(-1.0)),
        (r"betas must lie in \(0, 1\)", lambda: from_betas(np.array([0.1, 1.2]))),
        (r"shape \(T,\)", lambda: from_betas(np.array([[0.1]]))),
        ("steps must be at least 1", lambda: linear_betas(0)),
        ("start <= end", lambda: linear_betas(10, 0.5, 0.1)),
        ("max_beta", lambda: cosine_betas(10, max_beta=2.0)),
        ("T >= 2", lambda: zero_terminal_snr(np.array([0.5]))),
        (
            "no time derivative: use a",
            lambda: value_and_derivative(DISCRETE["linear"], DISCRETE["linear"].log_snr, 0.5),
        ),
    )
