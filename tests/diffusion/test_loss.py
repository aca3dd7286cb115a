"""Losses and weights against closed forms on Gaussian data."""

from typing import get_args

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracles import CONTINUOUS, PROCESSES, gaussian_denoiser, nightly, siblings_slow
from refusals import refuses

from jaxgen.diffusion import (
    PredictionType,
    denoiser,
    denoising_loss,
    eps_loss_scale,
    from_betas,
    hybrid_loss,
    linear_betas,
    linear_log_snr,
    sde_coefficients,
    target,
    variational_bound,
    vdm_bound,
    vlb_loss,
    weighting,
)

STD = 0.6
N = 50_000


def at(t):
    return lambda key, n: jnp.full((n,), t)


def residual_eps_error(process, t):
    """E‖eps − E[eps|x_t]‖² per dimension for data N(0, STD²): the variance of a Gaussian conditional."""
    alpha, variance = np.float64(process.alpha(t)), np.float64(process.variance(t))
    return alpha**2 * STD**2 / (alpha**2 * STD**2 + variance)


@pytest.mark.first_by_day
@pytest.mark.parametrize("name", siblings_slow(PROCESSES))
def test_the_best_network_pays_the_conditional_variance(name):
    process, t = PROCESSES[name], 0.5
    x0 = STD * jax.random.normal(jax.random.key(0), (N, 2))
    exact = gaussian_denoiser(process, 0.0, STD)
    loss = denoising_loss(jax.random.key(1), process, lambda x, t, cond: exact(x, t).eps, x0, times=at(t))
    assert loss.shape == (N,)
    assert abs(loss.mean() - residual_eps_error(process, t)) < 4 * loss.std() / np.sqrt(N)


@nightly("name", CONTINUOUS)
def test_a_weight_means_the_same_for_every_predicts(name):
    process = CONTINUOUS[name]
    x0 = STD * jax.random.normal(jax.random.key(0), (64, 3))
    # the same wrong denoiser as a network of each prediction type
    wrong = gaussian_denoiser(process, 0.5, 1.0)
    losses = [
        denoising_loss(
            jax.random.key(1),
            process,
            lambda x, t, cond, predicts=predicts: target(process, predicts, *wrong(x, t)[:2], t),
            x0,
            predicts=predicts,
            weighting=weighting.min_snr(),
            times=lambda key, n: jax.random.uniform(key, (n,), minval=0.05, maxval=0.95),
        )
        for predicts in get_args(PredictionType)
    ]
    for predicts, loss in zip(get_args(PredictionType), losses, strict=True):
        np.testing.assert_allclose(loss, losses[0], rtol=5e-3, atol=1e-5, err_msg=predicts)


def test_weights_of_the_papers():
    """Hang et al. 2023, min-SNR of each prediction type; Karras et al. 2022, EDM's of x0."""
    process, t = PROCESSES["vp"], np.linspace(0.001, 1, 50)
    snr = np.exp(np.float64(process.log_snr(t)))
    for gamma in (2.0, 5.0):
        on_eps, least = weighting.min_snr(gamma)(process.log_snr(t)), np.minimum(snr, gamma)
        for predicts, weight in {"eps": least / snr, "x0": least, "v": least / (snr + 1)}.items():
            found = on_eps * eps_loss_scale(process, predicts, t)
            np.testing.assert_allclose(found, weight, rtol=1e-4, err_msg=predicts)
    process, t, sigma_data = PROCESSES["edm"], np.array([0.0001, 0.01, 0.5]), 0.5
    found = weighting.edm(sigma_data)(process.log_snr(t)) * eps_loss_scale(process, "x0", t)
    np.testing.assert_allclose(found, ((80 * t) ** 2 + sigma_data**2) / (80 * t * sigma_data) ** 2, rtol=1e-4)


@pytest.mark.first_by_day
@pytest.mark.parametrize("name", siblings_slow(CONTINUOUS))
def test_likelihood_weight_is_half_g_squared_on_the_score(name):
    process = CONTINUOUS[name]
    t = np.linspace(0.05, 0.95, 19)
    weight = weighting.likelihood(process)(process.log_snr(t))
    # on the score's error sigma² ‖·‖², Song et al. 2021b's weight is g²/2
    g_squared = sde_coefficients(process, t).diffusion_squared
    np.testing.assert_allclose(weight * process.variance(t), g_squared / 2, rtol=1e-3)
    sigmoid = weighting.sigmoid(process, bias=1.0)(process.log_snr(t))
    np.testing.assert_allclose(sigmoid / weight, 1 / (1 + np.exp(np.asarray(process.log_snr(t)) - 1)), rtol=1e-4)


@pytest.mark.slow
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


@pytest.mark.slow
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


@pytest.mark.parametrize("name", siblings_slow(PROCESSES))
def test_bounded_weights_are_finite_at_the_ends(name):
    options = {"weighting": weighting.min_snr(), "times": lambda key, n: jnp.array([0.0, 1.0])}
    for predicts in ("eps", "x0", "v"):
        args = jax.random.key(0), PROCESSES[name], lambda x, t, cond: x, jnp.ones((2, 3))
        assert np.all(np.isfinite(denoising_loss(*args, predicts=predicts, **options))), predicts


def test_integer_images_are_refused(unchecked):
    x0, network, key = jnp.full((4, 3), 255, jnp.uint8), lambda x, t, cond: x, jax.random.key(0)
    chain, keys = PROCESSES["cosine_table"], jax.random.split(key, 4)
    for refused in (
        lambda: denoising_loss(key, chain, network, x0),
        lambda: vlb_loss(key, chain, network, x0),
        lambda: hybrid_loss(key, chain, lambda x, t, cond: jnp.concatenate([x, x], -1), x0),
        lambda: vdm_bound(key, linear_log_snr(), network, x0),
        lambda: variational_bound(keys, chain, denoiser(chain, network), x0),
    ):
        with pytest.raises(ValueError, match=r"must be floating point, got uint8: scale it first .* x / 127.5 - 1"):
            refused()


def test_refusals():
    process, x0, identity = PROCESSES["linear"], jnp.zeros((4, 3)), lambda x, t, cond: x
    twice = lambda x, t, cond: jnp.concatenate([x, x], -1)
    loss = lambda network, **options: jax.eval_shape(
        lambda x0: denoising_loss(jax.random.key(0), process, network, x0, **options), x0
    )
    refuses(
        (r"must return x's shape \(4, 3\), got \(4, 6\)", lambda: loss(twice)),
        ("no time derivative", lambda: loss(identity, weighting=weighting.likelihood(process))),
        ("gamma must be positive", lambda: weighting.min_snr(0.0)),
        ("sigma_data must be positive", lambda: weighting.edm(-1.0)),
    )
