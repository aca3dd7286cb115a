"""Every kind of prediction says the same thing in other words."""

from typing import get_args

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import PROCESSES, snap

from jaxgen.diffusion import (
    Prediction,
    PredictionType,
    eps_loss_scale,
    from_betas,
    linear_betas,
    perturb,
    score,
    target,
    to_x0_eps,
)

# a table has no velocity
PAIRS = [(n, k) for n in PROCESSES for k in get_args(PredictionType) if not (k == "velocity" and PROCESSES[n].steps)]
every_pair = pytest.mark.parametrize(("name", "kind"), PAIRS)


@every_pair
@settings(deadline=None, max_examples=20)
@given(time=st.floats(0.05, 0.95), seed=st.integers(0, 2**31 - 1))
def test_round_trip(name, kind, time, seed):
    process = PROCESSES[name]
    t = snap(process, time)
    x0, eps = jax.random.normal(jax.random.key(seed), (2, 3, 5))
    x_t = perturb(process, x0, t, eps)
    found = to_x0_eps(process, kind, target(process, kind, x0, eps, t), x_t, t)
    # round-off is amplified by the noise-to-signal ratio, and by its inverse
    ratio = float(process.sigma(t) / process.alpha(t))
    np.testing.assert_allclose(found.x0, x0, atol=3e-5 * (1 + ratio))
    np.testing.assert_allclose(found.eps, eps, atol=3e-5 * (1 + 1 / ratio))


@every_pair
def test_ends_are_finite_and_as_stated(name, kind):
    process = PROCESSES[name]
    x, output = jax.random.normal(jax.random.key(0), (2, 4, 3))
    for t in (0.0, 1.0):
        found = to_x0_eps(process, kind, output, x, t)
        assert np.all(np.isfinite(found.x0))
        assert np.all(np.isfinite(found.eps))
        if process.sigma(t) == 0 and kind != "x0":
            np.testing.assert_allclose(found.x0, x, rtol=1e-6)
        if process.sigma(t) == 0 and kind == "x0":
            np.testing.assert_array_equal(found.eps, 0)
        if process.alpha(t) == 0 and kind in ("eps", "score"):
            np.testing.assert_array_equal(found.x0, 0)
        if process.alpha(t) == 0 and kind == "v":
            np.testing.assert_allclose(found.x0, -output, rtol=1e-6)
            np.testing.assert_allclose(found.eps, x, rtol=1e-6)

    def total(output):
        return sum(jnp.sum(part) for part in to_x0_eps(process, kind, output, x, jnp.array([0.0, 0.5, 0.5, 1.0]))[:2])

    assert np.all(np.isfinite(jax.grad(total)(output)))


@every_pair
def test_error_ratio_is_the_error_made(name, kind):
    process = PROCESSES[name]
    for t in snap(process, np.array([0.1, 0.5, 0.9])):
        x, output = jnp.array([[0.3]]), jnp.array([[-0.7]])
        moved = to_x0_eps(process, kind, output + 0.5, x, t).eps - to_x0_eps(process, kind, output, x, t).eps
        np.testing.assert_allclose(eps_loss_scale(process, kind, t), (moved[0, 0] / 0.5) ** 2, rtol=2e-3)


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
    np.testing.assert_allclose(
        target(PROCESSES["rectified_flow"], "velocity", x0, eps, jnp.array([0.7])), eps - x0, rtol=1e-6
    )


def test_score_does_not_pass_through_x0():
    process = PROCESSES["cosine"]
    prediction = Prediction(jnp.full((1, 2), jnp.nan), jnp.ones((1, 2)))
    np.testing.assert_array_equal(score(process, prediction, 1.0), -np.ones((1, 2)))


@pytest.mark.usefixtures("unchecked")
def test_refusals():
    table = from_betas(linear_betas(10))
    x = jnp.zeros((1, 2))
    with pytest.raises(ValueError, match="no time derivative"):
        target(table, "velocity", x, x, 0.5)
    with pytest.raises(ValueError, match="no time derivative"):
        to_x0_eps(table, "velocity", x, x, 0.5)
    for refuse in (target, to_x0_eps):
        with pytest.raises(ValueError, match="unknown prediction 'noise': choose one of eps, x0, v, score, velocity"):
            refuse(table, "noise", x, x, 0.5)
