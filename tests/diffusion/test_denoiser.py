"""Denoisers: clipping, recomputed eps, learned variance, and EDM's preconditioning against the paper's table."""

from typing import get_args

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracles import PROCESSES, gaussian_denoiser, slow, snap
from refusals import refuses

from jaxgen import diffusion
from jaxgen.diffusion import PredictionType, denoiser, dynamic_threshold, edm_preconditioning, perturb, target

X = jnp.asarray(np.random.default_rng(0).normal(size=(3, 4, 4, 2)), jnp.float32)
every_process = pytest.mark.parametrize("name", [n if n in ("vp", "zero_snr") else slow(n) for n in PROCESSES])


def test_clip_and_recomputed_eps():
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
    x0 = jnp.array([[0.0, 4.0, -4.0, 1.0], [0.5, 1.9, 0.0, -1.0]])
    np.testing.assert_allclose(dynamic_threshold(1.0, 2.0)(x0), [[0, 2, -2, 0.5], [0.5, 1.9, 0, -1]], rtol=1e-6)


def test_learned_variance_is_the_second_half():
    network = lambda x, t, cond: jnp.concatenate([x, jnp.full_like(x, 0.5)], -1)
    prediction = denoiser(PROCESSES["vp"], network, predicts="x0", learned_variance=True)(X, 0.5)
    np.testing.assert_array_equal(prediction.x0, X)
    np.testing.assert_array_equal(prediction.variance_interpolation, np.full(X.shape, 0.75))
    assert denoiser(PROCESSES["vp"], lambda x, t, cond: x)(X, 0.5).variance_interpolation is None


def test_network_sees_a_time_per_example_and_the_condition():
    seen = []
    denoise = denoiser(PROCESSES["vp"], lambda x, t, cond: seen.append((t.shape, cond)) or x, cond="bound")
    denoise(X, 0.5)
    denoise(X, 0.5, "given")
    assert seen == [((3,), "bound"), ((3,), "given")]


@every_process
def test_edm_preconditioning(name):
    process, sigma_data = PROCESSES[name], 0.7
    t = snap(process, 0.6)
    alpha, sigma = np.float64(process.alpha(t)), np.float64(process.sigma(t))
    noise = sigma / alpha
    total = np.sqrt(noise**2 + sigma_data**2)

    @jax.jit
    def run(x, t):
        seen = []
        network = lambda x, c_noise, cond: seen.append((x, c_noise)) or jnp.sin(x)
        return edm_preconditioning(process, network, sigma_data)(x, t, None), *seen[0]

    found, scaled_x, c_noise = run(X, jnp.full(3, t))
    scaled = np.asarray(X, np.float64) / alpha
    np.testing.assert_allclose(c_noise, np.log(noise) / 4, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(scaled_x, scaled / total, rtol=1e-4)
    expected = sigma_data**2 / total**2 * scaled + noise * sigma_data / total * np.sin(scaled / total)
    np.testing.assert_allclose(found, expected, rtol=2e-4, atol=1e-4)
    for end in (0.0, 1.0):
        at_end, _, c_noise = run(X, jnp.full(3, end))
        assert np.all(np.isfinite(at_end))
        assert np.all(np.abs(c_noise) <= 10)
        if process.sigma(end) == 0:
            np.testing.assert_allclose(at_end, X, rtol=1e-6)


@pytest.mark.parametrize("name", ["edm", slow("vp"), slow("rectified_flow")])
def test_edm_preconditioning_asks_for_unit_variance(name):
    """On Gaussian data of std sigma_data, c_in x has variance 1 and so has F's target (the paper's two conditions)."""
    process, sigma_data, n = PROCESSES[name], 0.5, 100_000
    x0, eps = jax.random.normal(jax.random.key(2), (2, n, 1)) * jnp.array([sigma_data, 1.0])[:, None, None]

    @jax.jit
    def run(t):
        x_t, times, inputs = perturb(process, x0, t, eps), jnp.full(n, t), []
        zero = lambda x, c_noise, cond: inputs.append(x) or jnp.zeros_like(x)
        skip = edm_preconditioning(process, zero, sigma_data)(x_t, times, None)
        unit = edm_preconditioning(process, lambda x, c, cond: jnp.ones_like(x), sigma_data)(x_t, times, None) - skip
        return jnp.var(inputs[0]), jnp.var((x0 - skip) / unit)

    for t in (0.05, 0.5, 0.95):
        np.testing.assert_allclose(run(t), 1, atol=5 * np.sqrt(2 / n))


@every_process
def test_the_exact_network_of_every_type_gives_the_exact_denoiser(name):
    process = PROCESSES[name]
    t = snap(process, 0.5)
    exact = gaussian_denoiser(process, 0.3, 0.8)
    types = [predicts for predicts in get_args(PredictionType) if predicts != "velocity" or process.steps is None]

    @jax.jit
    def run(x):
        network = lambda predicts: lambda x, t, cond: target(process, predicts, *exact(x, t)[:2], t)
        return [denoiser(process, network(predicts), predicts=predicts)(x, t)[:2] for predicts in types]

    for predicts, found in zip(types, run(X), strict=True):
        np.testing.assert_allclose(found, exact(X, t)[:2], atol=2e-4, err_msg=predicts)


def test_refusals():
    process, identity = diffusion.from_betas(diffusion.linear_betas(10)), lambda x, t, cond: x
    refuses(
        ("clip must be positive and finite, got -1.0", lambda: denoiser(process, identity, clip=-1.0)),
        ("clip must be positive and finite, got 0", lambda: denoiser(process, identity, clip=0.0)),
        (
            r"must return shape \(3, 4, 4, 2\).*got \(3, 4, 4, 4\)",
            lambda: denoiser(process, lambda x, t, cond: jnp.concatenate([x, x], -1))(X, 0.5),
        ),
        (r"must return shape \(3, 4, 4, 4\)", lambda: denoiser(process, identity, learned_variance=True)(X, 0.5)),
        (r"times lie in \[0, 1\]", lambda: denoiser(process, identity)(X, 500.0)),
        ("quantile", lambda: dynamic_threshold(1.5)),
        ("sigma_data must be positive", lambda: edm_preconditioning(process, identity, 0.0)),
    )


def test_a_network_that_says_what_it_predicts_is_refused_as_anything_else():
    process, key = diffusion.vp(), jax.random.key(0)
    by_x0 = edm_preconditioning(process, lambda x, t, cond: x)
    by_score = diffusion.ncsn.sigma_scaled_score(process, lambda x, t, cond: x)
    for network, known in ((by_x0, "x0"), (by_score, "score")):
        denoiser(process, network, predicts=known)
        diffusion.denoising_loss(key, process, network, X, predicts=known)
        for refused in (
            lambda network=network: denoiser(process, network),
            lambda network=network: diffusion.denoising_loss(key, process, network, X, predicts="v"),
            lambda network=network: diffusion.vdm_bound(key, process, network, X, t_min=1e-3),
        ):
            with pytest.raises(ValueError, match=f"this network predicts {known}, not .*: pass predicts='{known}'"):
                refused()
