"""Importance-sampled times: against the exact variance, and a ring that agrees with Python's own."""

from collections import deque

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracles import nightly, slow
from scipy.stats import chisquare

from jaxgen.diffusion import from_betas, importance, linear_betas, vlb_loss

T = 20
LEVELS = 0.1 + 5.0 * np.exp(-np.arange(T) / 2)  # mean loss of each step: large near the data, as those of the bound are
SPREAD = 0.3 * LEVELS  # and its standard deviation


def loss_at(key, t):
    """Losses with these means and spreads."""
    index = jnp.round(t * T).astype(int) - 1
    return jnp.asarray(LEVELS)[index] + jnp.asarray(SPREAD)[index] * jax.random.normal(key, t.shape)


def filled(window=10):
    """A history in which every step has seen √E[L²] exactly."""
    second = LEVELS**2 + SPREAD**2
    return importance.loss_history(T, window).replace(
        squares=jnp.tile(jnp.asarray(second, jnp.float32)[:, None], (1, window)), counts=jnp.full(T, window)
    )


def exact_probabilities(share=0.001):
    root = np.sqrt(LEVELS**2 + SPREAD**2)
    return (1 - share) * root / root.sum() + share / T


def test_times_follow_their_probabilities():
    for history, p in ((importance.loss_history(T), np.full(T, 1 / T)), (filled(), exact_probabilities())):
        np.testing.assert_allclose(importance.probabilities(history), p, rtol=1e-5)
        t, weights = importance.draw(jax.random.key(0), history, 50_000)
        index = np.round(np.asarray(t) * T).astype(int)
        np.testing.assert_allclose(t, index / T, rtol=1e-6)
        assert chisquare(np.bincount(index, minlength=T + 1)[1:], 50_000 * p).pvalue > 1e-3
        np.testing.assert_allclose(weights, 1 / (T * p[index - 1]), rtol=1e-5)
    share = importance.probabilities(filled(), uniform_share=0.2)
    np.testing.assert_allclose(share, exact_probabilities(0.2), rtol=1e-5)


def test_the_weighted_mean_is_unbiased_and_varies_by_the_formula():
    """E_{p_t}[L_t/(T p_t)] = E_t[L_t]; its variance is Σ E[L_t²]/(T² p_t) − E[L]², least at p_t ∝ √E[L_t²]."""
    n, second, mean = 200_000, LEVELS**2 + SPREAD**2, LEVELS.mean()
    variances = {}
    for name, history, p in (
        ("uniform", importance.loss_history(T), np.full(T, 1 / T)),
        ("importance", filled(), exact_probabilities()),
    ):
        t, weights = importance.draw(jax.random.key(1), history, n)
        weighted = np.float64(weights * loss_at(jax.random.key(2), t))
        exact = np.sum(second / (T**2 * p)) - mean**2
        assert abs(weighted.mean() - mean) < 4 * np.sqrt(exact / n)
        squares = (weighted - weighted.mean()) ** 2
        assert abs(squares.mean() - exact) < 4 * squares.std() / np.sqrt(n)
        variances[name] = exact
    # 1/T² (Σ√E[L²])² − E[L]² is the least that any p reaches, and the uniform share costs 0.2% of it here
    least = np.sqrt(second).mean() ** 2 - mean**2
    assert least < variances["importance"] < 1.01 * least
    assert variances["importance"] < 0.1 * variances["uniform"]


@pytest.mark.slow
def test_uniform_until_the_last_step_has_its_window():
    history = importance.loss_history(3, window=2)
    t = jnp.array([1, 1, 1, 2, 2, 3]) / 3
    history = importance.record(history, t, jnp.array([9.0, 9, 9, 1, 1, 1]))
    np.testing.assert_array_equal(history.counts, [3, 2, 1])
    np.testing.assert_allclose(importance.probabilities(history), 1 / 3, rtol=1e-6)
    history = importance.record(history, jnp.array([1.0]), jnp.array([2.0]))
    root = np.array([9, 1, np.sqrt((1 + 4) / 2)])
    np.testing.assert_allclose(importance.probabilities(history), 0.999 * root / root.sum() + 0.001 / 3, rtol=1e-6)


def test_losses_of_zero_leave_the_times_uniform():
    history = importance.loss_history(4, 1).replace(counts=jnp.ones(4, jnp.int32))
    np.testing.assert_allclose(importance.probabilities(history), 0.25)


@nightly("loss", [1e30, np.inf, np.nan])
def test_one_wild_loss_leaves_the_times_uniform_while_it_is_kept(loss):
    history = importance.record(filled(window=2), jnp.array([3 / T]), jnp.array([loss]))
    np.testing.assert_allclose(importance.probabilities(history), 1 / T, rtol=1e-6)
    t, weights = importance.draw(jax.random.key(0), history, 100)
    assert len(set(map(float, t))) > T / 2
    np.testing.assert_allclose(weights, 1, rtol=1e-5)
    history = importance.record(history, jnp.array([3 / T, 3 / T]), jnp.ones(2))
    assert np.ptp(importance.probabilities(history)) > 0.1


@pytest.mark.parametrize("window", [3, slow(1), slow(10)])
def test_the_ring_is_a_deque(window):
    """Batches in which a step occurs never, once and many times the window, against deques of the last losses."""
    steps, rng = 7, np.random.default_rng(window)
    history, deques, seen = importance.loss_history(steps, window), [deque(maxlen=window) for _ in range(steps)], 0
    record = jax.jit(importance.record)
    for batch in range(8):
        n = 32
        # the first steps are drawn far more often; a whole batch may be one step
        index = np.full(n, 2) if batch == 5 else np.minimum(rng.geometric(0.5, n) - 1, steps - 1)
        losses = rng.normal(size=n).astype(np.float32)
        history = record(history, jnp.asarray((index + 1) / steps, jnp.float32), jnp.asarray(losses))
        for i, loss in zip(index, losses, strict=True):
            deques[i].append(loss)
        seen += np.bincount(index, minlength=steps)
        np.testing.assert_array_equal(history.counts, seen)
        for i in range(steps):
            expected = np.zeros(window)
            expected[: len(deques[i])] = np.square(list(deques[i]))
            np.testing.assert_allclose(np.sort(history.squares[i]), np.sort(expected), rtol=1e-6)
            if len(deques[i]) == window:  # the place of the oldest is where the next one goes
                ring = np.roll(history.squares[i], -(int(seen[i]) % window))
                np.testing.assert_allclose(ring, expected, rtol=1e-6)
    assert seen.max() > 10 * window


@pytest.mark.slow
def test_every_step_of_a_long_chain_keeps_its_index():
    steps = 4000
    t = jnp.arange(1, steps + 1) / steps
    history = importance.record(importance.loss_history(steps, 1), t, jnp.arange(steps, dtype=jnp.float32))
    np.testing.assert_array_equal(history.counts, 1)
    np.testing.assert_array_equal(history.squares[:, 0], np.arange(steps, dtype=np.float32) ** 2)
    t, _ = importance.draw(jax.random.key(0), history, 1000)
    np.testing.assert_allclose(t * steps, np.round(t * steps), atol=1e-3)


@pytest.mark.slow
def test_inside_a_jitted_step_it_compiles_once_and_passes_no_gradient():
    process = from_betas(linear_betas(T, 1e-3, 0.2))
    x0 = jax.random.normal(jax.random.key(0), (16, 2))

    @jax.jit
    @chex.assert_max_traces(n=1)
    def step(scale, history, key):
        time_key, loss_key = jax.random.split(key)
        t, weights = importance.draw(time_key, history, len(x0))

        def weighted(scale):
            network = lambda x, t, cond: scale * x
            losses = vlb_loss(loss_key, process, network, x0, times=lambda key, n: t)
            return jnp.mean(weights * losses), importance.record(history, t, losses)

        (_, history), gradient = jax.value_and_grad(weighted, has_aux=True)(scale)
        return scale - 1e-3 * gradient, history

    scale, history = jnp.array(0.1), importance.loss_history(T, window=2)
    for key in jax.random.split(jax.random.key(1), 20):
        scale, history = step(scale, history, key)
    assert np.isfinite(scale)
    assert np.all(history.counts >= 2)
    assert np.ptp(importance.probabilities(history)) > 0.01
    of_losses = jax.grad(lambda losses: importance.record(history, jnp.ones(3), losses).squares.sum())(jnp.ones(3))
    np.testing.assert_array_equal(of_losses, 0)


def test_refusals():
    for bad in ((0, 10), (10, 0)):
        with pytest.raises(ValueError, match="steps >= 1 and window >= 1"):
            importance.loss_history(*bad)
    for share in (0.0, 1.5):
        with pytest.raises(ValueError, match=r"uniform_share must lie in \(0, 1\]"):
            importance.draw(jax.random.key(0), filled(), 3, share)
