"""Penalties of linear and quadratic critics, whose gradients are known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import kstest

from jaxgen.gan import gradient_penalty, instance_noise, lazy, r1, r2

RNG = np.random.default_rng(0)
W, A = RNG.normal(size=(2, 3)), RNG.normal(size=(6, 6))
REAL, FAKE = RNG.normal(size=(2, 5, 2, 3)).astype(np.float32)
KEY = jax.random.key(0)


def linear(x):
    return jnp.sum(W * x, (1, 2)) + 3


def quadratic(x):
    """½ xᵀAx, whose gradient is ½(A + Aᵀ)x."""
    flat = x.reshape(len(x), -1)
    return 0.5 * jnp.einsum("bi,ij,bj->b", flat, A, flat)


@pytest.mark.parametrize(("penalty", "data"), [(r1(0.7), REAL), (r2(0.7), FAKE)])
def test_r1_and_r2_are_half_the_squared_gradients_at_their_data(penalty, data):
    np.testing.assert_allclose(
        penalty(KEY, linear, jnp.asarray(REAL), jnp.asarray(FAKE)), 0.35 * (W**2).sum(), rtol=1e-5
    )
    gradient = data.reshape(5, 6) @ (A + A.T) / 2
    found = penalty(KEY, quadratic, jnp.asarray(REAL), jnp.asarray(FAKE))
    np.testing.assert_allclose(found, 0.35 * (gradient**2).sum(-1), rtol=1e-4)


def test_r1_of_logits_that_see_other_examples_has_cross_terms():
    """For D_i = x_i + c·mean(x), the gradient of the sum of the logits is 1 + c in each x_i."""
    coupled = lambda x: x[:, 0] + 0.3 * x.mean()
    np.testing.assert_allclose(r1(2.0)(KEY, coupled, jnp.ones((4, 1)), jnp.ones((4, 1))), 1.3**2, rtol=1e-6)


def test_the_gradient_penalty_of_a_linear_critic_and_of_none():
    """λ(‖w‖ − g₀)² whatever the interpolation; at w = 0 it is λ g₀², and its own gradient is 0 and not NaN."""

    def mean(scale):
        found = gradient_penalty(0.1, 1.3)(KEY, lambda x: scale * linear(x), jnp.asarray(REAL), jnp.asarray(FAKE))
        return found.mean()

    norm = np.sqrt((W**2).sum())
    for scale in (1.0, 0.0):
        value, slope = jax.value_and_grad(mean)(scale)
        np.testing.assert_allclose(value, 0.1 * (scale * norm - 1.3) ** 2, rtol=1e-5)
        np.testing.assert_allclose(slope, 0.2 * (norm - 1.3) * norm if scale else 0, rtol=1e-5)


def test_the_gradient_penalty_interpolates_each_pair_by_its_own_key(unchecked):
    """Between real data at 1 and fake data at 0 the critic x²/2 has slope u, so that 1 − √penalty = u is uniform."""
    n = 4000
    penalty, half_square = gradient_penalty(1.0), lambda x: 0.5 * (x**2).sum(-1)
    arguments = half_square, jnp.ones((n, 1)), jnp.zeros((n, 1))
    u = 1 - np.sqrt(penalty(KEY, *arguments))
    assert kstest(u, "uniform").pvalue > 1e-3
    keys = jax.random.split(KEY, n)
    whole, part = (penalty(keys, *arguments), penalty(keys[7:9], half_square, jnp.ones((2, 1)), jnp.zeros((2, 1))))
    np.testing.assert_array_equal(part, whole[7:9])
    with pytest.raises(ValueError, match="real and fake data of one shape"):
        penalty(KEY, half_square, jnp.ones((4, 1)), jnp.ones((3, 1)))
    with pytest.raises(ValueError, match="a key for each of the 4 examples"):
        penalty(keys, half_square, jnp.ones((4, 1)), jnp.ones((4, 1)))


def test_penalties_refuse_negative_strengths_and_logits_that_are_not_one_per_example(unchecked):
    for make in (r1, r2, gradient_penalty):
        with pytest.raises(ValueError, match="must be finite and not negative"):
            make(-1.0)
    with pytest.raises(ValueError, match="squeeze the last axis"):
        r1(1.0)(KEY, lambda x: x.sum(-1), jnp.asarray(REAL), jnp.asarray(FAKE))


@pytest.mark.parametrize("scaled", [True, False])
def test_a_lazy_penalty_comes_in_its_turn_and_keeps_its_mean_if_scaled(scaled):
    calls = []

    def counted(key, critic, real, fake):
        jax.debug.callback(lambda: calls.append(1))
        return r1(0.7)(key, critic, real, fake)

    penalty = lazy(counted, 3, scaled=scaled)
    at = jax.jit(lambda update: penalty.at(update, KEY, linear, jnp.asarray(REAL), jnp.asarray(FAKE)))
    found = np.array([at(update) for update in range(6)])
    jax.effects_barrier()
    full = 0.35 * (W**2).sum()
    np.testing.assert_allclose(found.mean(0), full if scaled else full / 3, rtol=1e-5)
    assert (found[[0, 3]] > 0).all()
    assert (found[[1, 2, 4, 5]] == 0).all()
    assert len(calls) == 2  # otherwise it costs nothing
    with pytest.raises(ValueError, match="interval must be at least 1"):
        lazy(r1(1.0), 0)


def test_instance_noise_adds_its_variance_and_each_examples_noise_is_of_its_own_key():
    """The mean of ‖x + σε‖² is ‖x‖² + dσ², and the variance 4σ²‖x‖² + 2dσ⁴."""
    n, d, sigma = 20_000, 3, 0.7
    x = jnp.ones((n, d))
    square = lambda x: (x**2).sum(-1)
    found = np.asarray(instance_noise(KEY, square, sigma)(x))
    error = np.sqrt((4 * sigma**2 * d + 2 * d * sigma**4) / n)
    assert abs(found.mean() - d - d * sigma**2) < 4 * error
    keys = jax.random.split(KEY, 4)
    whole, one = instance_noise(keys, square, sigma)(x[:4]), instance_noise(keys[2:3], square, sigma)(x[:1])
    np.testing.assert_array_equal(whole[2:3], one)
    with pytest.raises(ValueError, match="sigma must be finite and not negative"):
        instance_noise(KEY, square, -0.1)
