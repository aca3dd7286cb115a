"""The prediction types carry the same information."""

import itertools
from functools import partial
from typing import get_args

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracles import PROCESSES, slow, snap

from jaxgen import diffusion
from jaxgen.diffusion import Prediction, PredictionType, eps_loss_scale, perturb, score, target, to_x0_eps

every_process = pytest.mark.parametrize("name", [n if n in ("vp", "zero_snr") else slow(n) for n in PROCESSES])


def types(process):
    """All prediction types that the process has: a table has no velocity."""
    return [predicts for predicts in get_args(PredictionType) if predicts != "velocity" or process.steps is None]


@every_process
def test_round_trip(name):
    process = PROCESSES[name]
    t = jnp.asarray(snap(process, np.linspace(0.05, 0.95, 37)))
    x0, eps = jax.random.normal(jax.random.key(0), (2, 37, 5))

    @jax.jit
    def run(x0, eps):
        x_t = perturb(process, x0, t, eps)
        return {k: to_x0_eps(process, k, target(process, k, x0, eps, t), x_t, t)[:2] for k in types(process)}

    # round-off is amplified by the noise-to-signal ratio, and by its inverse
    ratio = np.asarray(process.sigma(t) / process.alpha(t))[:, None]
    for predicts, found in run(x0, eps).items():
        assert np.all(np.abs(found[0] - x0) < 3e-5 * (1 + ratio)), predicts
        assert np.all(np.abs(found[1] - eps) < 3e-5 * (1 + 1 / ratio)), predicts


@pytest.mark.first_by_day
@every_process
def test_ends_are_finite_and_as_stated(name):
    process = PROCESSES[name]
    x, output = jax.random.normal(jax.random.key(0), (2, 4, 3))

    @jax.jit
    def run(x, output, t):
        every = lambda output: {k: to_x0_eps(process, k, output, x, t)[:2] for k in types(process)}
        return every(output), jax.grad(lambda output: sum(map(jnp.sum, jax.tree.leaves(every(output)))))(output)

    for t in (0.0, 1.0):
        found, slope = run(x, output, jnp.array([t, 0.5, 0.5, t]))
        assert np.all(np.isfinite(slope))
        for predicts, parts in found.items():
            assert np.all(np.isfinite(parts))
            x0, eps = (part[jnp.array([0, 3])] for part in parts)
            if process.sigma(t) == 0 and predicts != "x0":
                np.testing.assert_allclose(x0, x[::3], rtol=1e-6)
            if process.sigma(t) == 0 and predicts == "x0":
                np.testing.assert_array_equal(eps, 0)
            if process.alpha(t) == 0 and predicts in ("eps", "score"):
                np.testing.assert_array_equal(x0, 0)
            if process.alpha(t) == 0 and predicts == "v":
                np.testing.assert_allclose(x0, -output[::3], rtol=1e-6)
                np.testing.assert_allclose(eps, x[::3], rtol=1e-6)


@every_process
def test_the_loss_scale_is_the_error_made_in_eps(name):
    process = PROCESSES[name]
    t = jnp.asarray(snap(process, np.array([0.1, 0.5, 0.9])))

    @jax.jit
    def run(x, output):
        eps = lambda k, output: to_x0_eps(process, k, output, x, t).eps
        return [(eps_loss_scale(process, k, t), (eps(k, output + 0.5) - eps(k, output)) / 0.5) for k in types(process)]

    for scale, moved in run(jnp.full((3, 1), 0.3), jnp.full((3, 1), -0.7)):
        np.testing.assert_allclose(scale, moved[:, 0] ** 2, rtol=2e-3)


def test_targets_are_the_papers():
    process = PROCESSES["cosine"]
    x0, eps, t = jnp.array([[2.0]]), jnp.array([[3.0]]), 0.4
    alpha, sigma = process.alpha(t), process.sigma(t)
    np.testing.assert_allclose(target(process, "v", x0, eps, t), [[alpha * 3 - sigma * 2]], rtol=1e-6)
    np.testing.assert_allclose(target(process, "score", x0, eps, t), [[-3 / sigma]], rtol=1e-6)
    # velocity is d x_t/dt: compare with a finite difference of the path
    h = 1e-3
    path = (perturb(process, x0, t + h, eps) - perturb(process, x0, t - h, eps)) / (2 * h)
    np.testing.assert_allclose(target(process, "velocity", x0, eps, t), path, rtol=1e-3)
    straight = target(PROCESSES["rectified_flow"], "velocity", x0, eps, jnp.array([0.7]))
    np.testing.assert_allclose(straight, eps - x0, rtol=1e-6)


def test_score_does_not_pass_through_x0():
    prediction = Prediction(jnp.full((1, 2), jnp.nan), jnp.ones((1, 2)))
    np.testing.assert_array_equal(score(PROCESSES["cosine"], prediction, 1.0), -np.ones((1, 2)))


def test_refusals(unchecked):
    table, x = diffusion.from_betas(diffusion.linear_betas(10)), jnp.zeros((1, 2))
    for refuse in (target, to_x0_eps):
        with pytest.raises(ValueError, match="no time derivative"):
            refuse(table, "velocity", x, x, 0.5)
        with pytest.raises(ValueError, match="unknown prediction 'noise': choose one of eps, x0, v, score, velocity"):
            refuse(table, "noise", x, x, 0.5)


def test_a_bare_network_in_place_of_a_denoiser_is_refused(unchecked):
    process, x, y = diffusion.vp(), jnp.ones((2, 3)), jnp.zeros(3)
    operator = lambda x: x
    for network, use in itertools.product(
        (lambda x, t, cond=None: x, lambda x, t, cond: x),
        (
            lambda network: diffusion.probability_flow(process, network, x, 0.5),
            lambda network: diffusion.reverse_sde(process, network, x, 0.5),
            lambda network: diffusion.log_likelihood(process, network, x),
            lambda network: diffusion.guidance.classifier_free(process, network, jnp.zeros(2), 1.0, 2.0)(x, 0.5),
            lambda network: diffusion.guidance.classifier(process, network, lambda x, t: x.sum(-1))(x, 0.5),
            lambda network: diffusion.inverse.pigdm(process, network, operator, y)(x, 0.5),
            lambda network: diffusion.inverse.dps(process, network, operator, y, noise_std=1.0)(x, 0.5),
            lambda network: diffusion.variational_bound(
                jax.random.split(jax.random.key(0), 2), process, network, x, grid=diffusion.uniform_grid(2)
            ),
        ),
    ):
        with pytest.raises(TypeError, match=r"need a denoiser.*diffusion\.denoiser\(process, network"):
            jax.eval_shape(partial(use, network))
