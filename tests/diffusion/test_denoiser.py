"""Denoisers: what is bounded, what is derived again, and EDM's preconditioning against the paper's table."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracles import PROCESSES, gaussian_denoiser, snap

from jaxgen.diffusion import denoiser, dynamic_threshold, edm_preconditioning, from_betas, linear_betas, perturb
from jaxgen.diffusion.denoisers._denoiser import static_clip

X = jax.random.normal(jax.random.key(0), (3, 4, 4, 2))


def test_clip_and_rederived_eps():
    process = PROCESSES["linear"]
    network = lambda x, t, cond: -3 * jnp.ones_like(x)
    alpha, sigma = process.alpha(0.5), process.sigma(0.5)
    free = denoiser(process, network)(X, 0.5)
    np.testing.assert_allclose(free.x0, (X + 3 * sigma) / alpha, rtol=1e-5)
    assert np.max(np.abs(free.x0)) > 1
    bounded = denoiser(process, network, clip=1.0)(X, 0.5)
    np.testing.assert_allclose(bounded.x0, np.clip(free.x0, -1, 1), rtol=1e-6)
    np.testing.assert_allclose(alpha * bounded.x0 + sigma * bounded.eps, X, atol=1e-5)
    kept = denoiser(process, network, clip=1.0, recompute_eps=False)(X, 0.5)
    np.testing.assert_array_equal(kept.eps, free.eps)


def test_dynamic_threshold_is_each_examples_own_quantile():
    x0 = np.asarray(jax.random.normal(jax.random.key(1), (3, 1000))) * np.array([[0.1], [2.0], [5.0]])
    bounded = dynamic_threshold(0.9)(jnp.asarray(x0))
    np.testing.assert_allclose(bounded[0], x0[0], rtol=1e-6)  # within [−1, 1] nothing happens
    for b in (1, 2):
        limit = np.quantile(np.abs(x0[b]), 0.9)
        np.testing.assert_allclose(bounded[b], np.clip(x0[b], -limit, limit) / limit, rtol=1e-5)


def test_dynamic_threshold_scales_to_its_bound():
    x0 = jnp.array([[0.0, 4.0, -4.0, 1.0], [0.5, 1.9, 0.0, -1.0]])
    np.testing.assert_allclose(dynamic_threshold(1.0, 2.0)(x0), [[0, 2, -2, 0.5], [0.5, 1.9, 0, -1]], rtol=1e-6)


def test_learned_variance_is_the_second_half():
    network = lambda x, t, cond: jnp.concatenate([x, jnp.full_like(x, 0.5)], -1)
    prediction = denoiser(PROCESSES["vp"], network, predicts="x0", learned_variance=True)(X, 0.5)
    np.testing.assert_array_equal(prediction.x0, X)
    np.testing.assert_array_equal(prediction.variance_interpolation, np.full(X.shape, 0.75))
    assert denoiser(PROCESSES["vp"], lambda x, t, cond: x)(X, 0.5).variance_interpolation is None


def test_network_sees_a_time_per_example_and_the_condition():
    seen = {}

    def network(x, t, cond):
        seen.update(t=t, cond=cond)
        return x

    denoise = denoiser(PROCESSES["vp"], network, cond="bound")
    denoise(X, 0.5)
    assert seen["t"].shape == (3,)
    assert seen["cond"] == "bound"
    denoise(X, 0.5, "given")
    assert seen["cond"] == "given"


@pytest.mark.parametrize("name", PROCESSES)
def test_edm_preconditioning(name):
    process, sigma_data = PROCESSES[name], 0.7
    t = snap(process, 0.6)
    alpha, sigma = np.float64(process.alpha(t)), np.float64(process.sigma(t))
    noise = sigma / alpha
    total = np.sqrt(noise**2 + sigma_data**2)
    seen = {}

    def network(x, c_noise, cond):
        seen.update(x=x, c_noise=c_noise)
        return jnp.sin(x)

    found = edm_preconditioning(process, network, sigma_data)(X, jnp.full(3, t), None)
    scaled = np.asarray(X, np.float64) / alpha
    np.testing.assert_allclose(seen["c_noise"], np.log(noise) / 4, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(seen["x"], scaled / total, rtol=1e-4)
    expected = sigma_data**2 / total**2 * scaled + noise * sigma_data / total * np.sin(scaled / total)
    np.testing.assert_allclose(found, expected, rtol=2e-4, atol=1e-4)
    for end in (0.0, 1.0):
        at_end = edm_preconditioning(process, network, sigma_data)(X, jnp.full(3, end), None)
        assert np.all(np.isfinite(at_end))
        assert np.all(np.abs(seen["c_noise"]) <= 10)
        if process.sigma(end) == 0:
            np.testing.assert_allclose(at_end, X, rtol=1e-6)


@pytest.mark.parametrize("name", ["vp", "edm", "rectified_flow"])
def test_edm_preconditioning_asks_for_unit_variance(name):
    """On Gaussian data of std sigma_data, c_in x has variance 1 and so has F's target (the paper's two conditions)."""
    process, sigma_data = PROCESSES[name], 0.5
    x0, eps = jax.random.normal(jax.random.key(2), (2, 100_000, 1)) * jnp.array([sigma_data, 1.0])[:, None, None]
    for t in (0.05, 0.5, 0.95):
        x_t = perturb(process, x0, t, eps)
        times = jnp.full(len(x0), t)
        inputs = {}

        def network(x, c_noise, cond, inputs=inputs):
            inputs["x"] = x
            return jnp.zeros_like(x)

        skip = edm_preconditioning(process, network, sigma_data)(x_t, times, None)
        unit = edm_preconditioning(process, lambda x, c, cond: jnp.ones_like(x), sigma_data)(x_t, times, None) - skip
        wanted = (x0 - skip) / unit
        standard_error = np.sqrt(2 / len(x0))
        np.testing.assert_allclose(np.var(inputs["x"]), 1, atol=5 * standard_error)
        np.testing.assert_allclose(np.var(wanted), 1, atol=5 * standard_error)


@pytest.mark.parametrize("name", PROCESSES)
def test_the_exact_network_of_every_kind_gives_the_exact_denoiser(name):
    from typing import get_args

    from jaxgen.diffusion import PredictionType, target

    process = PROCESSES[name]
    t = snap(process, 0.5)
    exact = gaussian_denoiser(process, 0.3, 0.8)
    kinds = [kind for kind in get_args(PredictionType) if kind != "velocity" or process.steps is None]
    for kind in kinds:
        network = lambda x, t, cond, kind=kind: target(process, kind, *exact(x, t)[:2], t)
        found = denoiser(process, network, predicts=kind)(X, t)
        np.testing.assert_allclose(found.x0, exact(X, t).x0, atol=2e-4, err_msg=kind)
        np.testing.assert_allclose(found.eps, exact(X, t).eps, atol=2e-4, err_msg=kind)


def test_refusals():
    process = from_betas(linear_betas(10))
    with pytest.raises(ValueError, match="clip must be positive"):
        denoiser(process, lambda x, t, cond: x, clip=-1.0)
    with pytest.raises(ValueError, match="clip must be positive"):
        static_clip(0.0)
    with pytest.raises(ValueError, match=r"must return shape \(3, 4, 4, 2\).*got \(3, 4, 4, 4\)"):
        denoiser(process, lambda x, t, cond: jnp.concatenate([x, x], -1))(X, 0.5)
    with pytest.raises(ValueError, match=r"must return shape \(3, 4, 4, 4\)"):
        denoiser(process, lambda x, t, cond: x, learned_variance=True)(X, 0.5)
    with pytest.raises(ValueError, match=r"times lie in \[0, 1\]"):
        denoiser(process, lambda x, t, cond: x)(X, 500.0)
    with pytest.raises(ValueError, match="quantile"):
        dynamic_threshold(1.5)
    with pytest.raises(ValueError, match="sigma_data must be positive"):
        edm_preconditioning(process, lambda x, t, cond: x, 0.0)
