"""Diffusion-GAN's chain against its closed forms, and its length against the recursion written in NumPy."""

from functools import partial

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxgen.gan import adaptive_diffusion
from jaxgen.training import Checkpoints, create_adversarial_state, fit, make_adversarial_step

CHAIN = adaptive_diffusion()
N = 20_000


def alpha_bars(length):
    """ᾱ_0 … ᾱ_T of the linear betas over T steps, in float64."""
    return np.cumprod(np.append(1, 1 - np.linspace(1e-4, 0.02, length)))


def at_length(length, times, chain=CHAIN):
    """A state in which the chain has this length and the list holds these steps."""
    state = chain.init(jax.random.key(0))
    return state.replace(p=jnp.float32((length - 10) / 990), times=jnp.resize(jnp.int32(times), state.times.shape))


@partial(jax.jit, static_argnums=0)
@chex.assert_max_traces(n=1)
def noised(chain, key, state, x0):
    """x_t, t, dx_t/dx0 and T."""
    x_t, pull, t = jax.vjp(lambda x0: chain.perturb(key, state, x0), x0, has_aux=True)
    return x_t, t, pull(jnp.ones_like(x_t))[0], chain.steps(state)


@pytest.mark.parametrize(
    ("length", "alpha_bar", "digits"), [(10, 0.904, 1e-3), (100, 0.364, 1e-3), (500, 0.0064, 1e-4), (1000, 4e-5, 5e-6)]
)
def test_marginals_at_every_length_of_the_chain(length, alpha_bar, digits):
    """One program serves all lengths; the scale of the data is exact, and the noise is not variance preserving."""
    assert abs(alpha_bars(length)[-1] - alpha_bar) < digits
    steps = np.unique(np.linspace(0, length, 8).round().astype(int))
    x_t, t, scale, found = noised(CHAIN, jax.random.key(1), at_length(length, steps), jnp.zeros(N))
    assert found == length
    index = np.asarray(t * 1000).round().astype(int)
    assert set(index) == set(steps)
    exact = alpha_bars(length)
    np.testing.assert_allclose(scale, np.sqrt(exact[index]), rtol=2e-4)
    for step in steps:
        draws = np.asarray(x_t)[index == step]
        variance = 0.05**2 * (1 - exact[step])
        assert abs(np.mean(draws**2) - variance) <= 5 * variance * np.sqrt(2 / len(draws))
        assert abs(np.mean(draws)) <= 5 * np.sqrt(variance / len(draws))


def test_steps_zero_leave_the_data_as_they_are():
    x0 = jax.random.normal(jax.random.key(0), (64, 2))
    x_t, t = CHAIN.perturb(jax.random.key(1), at_length(500, [0]), x0)
    np.testing.assert_array_equal(x_t, x0)
    np.testing.assert_array_equal(t, np.zeros(64))


@pytest.mark.parametrize(("time_law", "weights"), [("priority", np.arange(1, 11)), ("uniform", np.ones(10))])
def test_one_half_of_the_list_is_zero_and_the_other_follows_its_law(time_law, weights):
    times = np.asarray(adaptive_diffusion(time_law=time_law, draws=2 * N).init(jax.random.key(0)).times)
    assert np.all(times[:N] == 0)
    found = np.bincount(times[N:], minlength=11) / N
    p = np.append(0, weights / weights.sum())
    assert np.all(np.abs(found - p) <= 5 * np.sqrt(p * (1 - p) / N))


def test_the_length_follows_the_recursion():
    """p rises and falls with the signs of the logits of four minibatches, from 0 to 1 and back, and stays within."""
    chain, rng = adaptive_diffusion(kimg=0.7), np.random.default_rng(0)
    update = jax.jit(chex.assert_max_traces(n=1)(chain.update))
    state = chain.init(jax.random.key(0))
    p, signs, lengths = 0.0, [], []
    for n in range(120):
        shift = -2 if n < 8 else 3 if n < 60 else rng.choice([-1.0, 2.0]) if n < 90 else -2.0
        logits = rng.normal(shift, 1, 32).astype(np.float32)
        before = state.times
        state = update(jax.random.key(n), state, jnp.asarray(logits))
        signs += list(np.sign(logits))
        if n % 4 == 3:
            p = np.clip(p + np.sign(np.mean(signs) - 0.6) * 4 * 32 / 700, 0, 1)
            signs = []
            assert np.any(before != state.times)
            assert np.all(state.times[:32] == 0)
            assert 1 <= state.times[32:].min() <= state.times[32:].max() <= 10 + round(990 * p)
        else:
            np.testing.assert_array_equal(before, state.times)
        np.testing.assert_allclose(state.p, p, atol=1e-5)
        assert chain.steps(state) == 10 + round(990 * p)
        lengths.append(10 + round(990 * p))
    assert (min(lengths), max(lengths), lengths[7], lengths[-1]) == (10, 1000, 10, 10)
    assert len(set(lengths)) > 5


def test_a_logit_of_zero_counts_for_neither_side():
    chain = adaptive_diffusion(interval=1, target=0.0)
    state = chain.init(jax.random.key(0)).replace(p=jnp.float32(0.5))
    assert chain.update(jax.random.key(1), state, jnp.array([0.0, 0.0, 1.0, -1.0])).p == 0.5


def generate(params, key, n):
    return params["shift"] + params["scale"] * jax.random.normal(key, (n, 2))


def judge(params, x, t):
    return jnp.tanh(x @ params["in"] + t[:, None]) @ params["out"]


CHAIN_OF_RUN = adaptive_diffusion(kimg=0.5)


def critic_loss(key, critic, generator, x, chain_state):
    keys = jax.random.split(key, 4)
    real = judge(critic, *CHAIN_OF_RUN.perturb(keys[0], chain_state, x))
    fake = judge(critic, *CHAIN_OF_RUN.perturb(keys[1], chain_state, generate(generator, keys[2], len(x))))
    losses = jax.nn.softplus(-real) + jax.nn.softplus(fake)
    metrics = {"steps": CHAIN_OF_RUN.steps(chain_state), "sign": jnp.sign(real)}
    return losses, metrics, {"chain_state": CHAIN_OF_RUN.update(keys[3], chain_state, real)}


def generator_loss(key, generator, critic, x, chain_state):
    keys = jax.random.split(key)
    fake = CHAIN_OF_RUN.perturb(keys[0], chain_state, generate(generator, keys[1], len(x)))
    metrics = {"steps": CHAIN_OF_RUN.steps(chain_state)}
    return jax.nn.softplus(-judge(critic, *fake)), metrics, {"chain_state": chain_state}


@pytest.mark.slow
def test_it_rides_in_the_carry_of_two_players_and_survives_a_stop(tmp_path):
    optimizers = optax.adam(1e-3), optax.adam(1e-2)
    step = make_adversarial_step(generator_loss, critic_loss, *optimizers)

    def start():
        generator = {"shift": -3 * jnp.ones(2), "scale": jnp.ones(2)}
        critic = {"in": jnp.eye(2, 16) + 0.1, "out": jnp.ones(16) / 4}
        carry = {"chain_state": CHAIN_OF_RUN.init(jax.random.key(2))}
        return create_adversarial_state(jax.random.key(1), generator, critic, *optimizers, carry)

    def batches(n):
        return jax.random.normal(jax.random.key(n), (32, 2)) + jnp.ones(2)

    run = partial(fit, step, batches=batches, log_every=1, progress=False)
    whole = run(state=start(), steps=18)
    signs, p = np.asarray(whole.history["critic/sign"][1]), 0.0
    for n in range(18):
        assert whole.history["critic/steps"][1][n] == 10 + round(990 * p)
        if n % 4 == 3:
            p = np.clip(p + np.sign(signs[n - 3 : n + 1].mean() - 0.6) * 128 / 500, 0, 1)
        assert whole.history["generator/steps"][1][n] == 10 + round(990 * p)
    assert whole.history["generator/steps"][1][-1] > 10
    with Checkpoints(tmp_path) as checkpoints:
        run(state=start(), steps=7, checkpoints=checkpoints)
        resumed = run(state=checkpoints.restore(start()), steps=18, checkpoints=checkpoints)
    chex.assert_trees_all_equal(resumed.state, whole.state)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"std": 0.0}, "std must be positive"),
        ({"kimg": -1.0}, "kimg must be positive"),
        ({"min_steps": 0}, "min_steps must be at least 1"),
        ({"max_steps": 9}, "max_steps must be at least 10, got 9"),
        ({"interval": 0}, "interval must be at least 1"),
        ({"beta_start": 0.1}, "need 0 < beta_start <= beta_end < 1"),
        ({"draws": 7}, "draws must be even and positive, got 7"),
        ({"target": 1.0}, r"target is a mean of signs and must lie in \(-1, 1\)"),
        ({"time_law": "late"}, "unknown time_law 'late': choose priority or uniform"),
    ],
)
def test_refusals(options, message, unchecked):
    with pytest.raises(ValueError, match=message):
        adaptive_diffusion(**options)
