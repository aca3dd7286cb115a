"""Losses and weights against closed forms on Gaussian data."""

from typing import get_args

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracles import CONTINUOUS, PROCESSES, gaussian_denoiser

from jaxgen.diffusion import (
    PredictionType,
    denoising_loss,
    eps_loss_scale,
    from_betas,
    linear_betas,
    sde_coefficients,
    target,
    weighting,
)

STD = 0.6
N = 50_000


def exact_network(process, kind):
    exact = gaussian_denoiser(process, 0.0, STD)
    return lambda x, t, cond: target(process, kind, *exact(x, t)[:2], t)


def at(t):
    return lambda key, n: jnp.full((n,), t)


def residual_eps_error(process, t):
    """E‖eps − E[eps|x_t]‖² per dimension for data N(0, STD²): the variance of a Gaussian conditional."""
    alpha, variance = np.float64(process.alpha(t)), np.float64(process.variance(t))
    return alpha**2 * STD**2 / (alpha**2 * STD**2 + variance)


@pytest.mark.parametrize("name", PROCESSES)
def test_the_best_network_pays_the_conditional_variance(name):
    process, t = PROCESSES[name], 0.5
    x0 = STD * jax.random.normal(jax.random.key(0), (N, 2))
    loss = denoising_loss(jax.random.key(1), process, exact_network(process, "eps"), x0, times=at(t))
    assert loss.shape == (N,)
    assert abs(loss.mean() - residual_eps_error(process, t)) < 4 * loss.std() / np.sqrt(N)


@pytest.mark.parametrize("name", CONTINUOUS)
def test_a_weight_means_the_same_for_every_kind(name):
    process = CONTINUOUS[name]
    x0 = STD * jax.random.normal(jax.random.key(0), (64, 3))
    # a wrong network, the same denoiser in five languages
    wrong = gaussian_denoiser(process, 0.5, 1.0)
    losses = [
        denoising_loss(
            jax.random.key(1),
            process,
            lambda x, t, cond, kind=kind: target(process, kind, *wrong(x, t)[:2], t),
            x0,
            predicts=kind,
            weighting=weighting.min_snr(),
            times=lambda key, n: jax.random.uniform(key, (n,), minval=0.05, maxval=0.95),
        )
        for kind in get_args(PredictionType)
    ]
    for kind, loss in zip(get_args(PredictionType), losses, strict=True):
        np.testing.assert_allclose(loss, losses[0], rtol=5e-3, atol=1e-5, err_msg=kind)


@pytest.mark.parametrize("gamma", [2.0, 5.0])
def test_min_snr_weights_of_the_paper(gamma):
    process = PROCESSES["vp"]
    t = np.linspace(0.001, 1, 50)
    snr = np.exp(np.float64(process.log_snr(t)))
    on_eps = weighting.min_snr(gamma)(process.log_snr(t))
    published = {
        "eps": np.minimum(snr, gamma) / snr,
        "x0": np.minimum(snr, gamma),
        "v": np.minimum(snr, gamma) / (snr + 1),
    }
    for kind, weight in published.items():
        np.testing.assert_allclose(on_eps * eps_loss_scale(process, kind, t), weight, rtol=1e-4, err_msg=kind)


def test_edm_weight_of_the_paper():
    process, sigma_data = PROCESSES["edm"], 0.5
    t = np.array([0.0001, 0.01, 0.5])
    sigma = 80 * t
    found = weighting.edm(sigma_data)(process.log_snr(t)) * eps_loss_scale(process, "x0", t)
    np.testing.assert_allclose(found, (sigma**2 + sigma_data**2) / (sigma * sigma_data) ** 2, rtol=1e-4)


@pytest.mark.parametrize("name", CONTINUOUS)
def test_likelihood_weight_is_half_g_squared_on_the_score(name):
    process = CONTINUOUS[name]
    t = np.linspace(0.05, 0.95, 19)
    weight = weighting.likelihood(process)(process.log_snr(t))
    # on the score's error sigma² ‖·‖², Song et al. 2021b's weight is g²/2
    g_squared = sde_coefficients(process, t).diffusion_squared
    np.testing.assert_allclose(weight * process.variance(t), g_squared / 2, rtol=1e-3)
    sigmoid = weighting.sigmoid(process, bias=1.0)(process.log_snr(t))
    np.testing.assert_allclose(sigmoid / weight, 1 / (1 + np.exp(np.asarray(process.log_snr(t)) - 1)), rtol=1e-4)


def test_the_network_sees_cond_and_the_process_own_times():
    process, seen = PROCESSES["cosine_table"], {}

    def network(x, t, cond):
        seen.update(x=x, t=t, cond=cond)
        return jnp.zeros_like(x)

    labels = jnp.arange(4000)
    x0 = jnp.zeros((4000, 1))
    denoising_loss(jax.random.key(0), process, network, x0, cond=labels)
    np.testing.assert_array_equal(seen["cond"], labels)
    steps = np.asarray(seen["t"]) * process.steps
    np.testing.assert_allclose(steps, np.round(steps), atol=1e-4)
    assert set(np.round(steps)) == set(range(1, process.steps + 1))
    # time and noise are drawn apart: their correlation is 0 to within four standard errors
    eps = np.asarray(seen["x"])[:, 0] / np.asarray(process.sigma(seen["t"]))
    assert abs(np.corrcoef(seen["t"], eps)[0, 1]) < 4 / np.sqrt(4000)


def test_weights_reach_far_into_the_clean_end():
    process = PROCESSES["vp"]
    x0 = jax.random.normal(jax.random.key(0), (8, 3))
    draw = [
        denoising_loss(jax.random.key(1), process, lambda x, t, cond: x, x0, weighting=weight, times=at(1e-4))
        for weight in (None, weighting.min_snr())
    ]
    np.testing.assert_allclose(draw[1] / draw[0], 5 / np.exp(np.float64(process.log_snr(1e-4))), rtol=1e-3)


def test_half_precision_data_give_a_float32_loss_and_x64_tables_do_not_widen_it():
    x0 = jnp.ones((4, 3), jnp.bfloat16)
    assert denoising_loss(jax.random.key(0), PROCESSES["vp"], lambda x, t, cond: x, x0).dtype == jnp.float32
    with jax.enable_x64(True):
        seen = {}

        def network(x, t, cond):
            seen["x"] = x
            return x

        process = from_betas(linear_betas(10))
        denoising_loss(jax.random.key(0), process, network, jnp.ones((4, 3), jnp.float32))
        assert seen["x"].dtype == jnp.float32


def test_simple_is_the_plain_eps_error():
    process = PROCESSES["linear"]
    x0 = jax.random.normal(jax.random.key(0), (8, 4, 4, 1))
    network = lambda x, t, cond: 0.1 * x
    plain = denoising_loss(jax.random.key(1), process, network, x0)
    simple = denoising_loss(jax.random.key(1), process, network, x0, weighting=weighting.simple())
    np.testing.assert_array_equal(plain, simple)


@pytest.mark.parametrize("name", PROCESSES)
@pytest.mark.parametrize("t", [0.0, 1.0])
def test_bounded_weights_are_finite_at_the_ends(name, t):
    process = PROCESSES[name]
    x0 = jnp.ones((4, 3))
    for kind in ("eps", "x0", "v"):
        loss = denoising_loss(
            jax.random.key(0),
            process,
            lambda x, t, cond: x,
            x0,
            predicts=kind,
            weighting=weighting.min_snr(),
            times=at(t),
        )
        assert np.all(np.isfinite(loss)), kind


def test_refusals():
    process = PROCESSES["linear"]
    x0 = jnp.zeros((4, 3))
    with pytest.raises(ValueError, match=r"must return x's shape \(4, 3\), got \(4, 6\)"):
        denoising_loss(jax.random.key(0), process, lambda x, t, cond: jnp.concatenate([x, x], -1), x0)
    with pytest.raises(ValueError, match="no time derivative"):
        denoising_loss(jax.random.key(0), process, lambda x, t, cond: x, x0, weighting=weighting.likelihood(process))
    with pytest.raises(ValueError, match="gamma must be positive"):
        weighting.min_snr(0.0)
    with pytest.raises(ValueError, match="sigma_data must be positive"):
        weighting.edm(-1.0)
