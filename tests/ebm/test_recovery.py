"""Recovery likelihood against Gaussian data, where every kernel is Gaussian, and the ladder of the paper."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from refusals import refuses

from jaxgen import ebm
from jaxgen.diffusion import from_betas, uniform_grid, vp
from jaxgen.nets import EnergyMLP
from jaxgen.samplers import ddim, sample
from jaxgen.training import create_state, make_train_step

N, V = 20_000, 0.3  # the variance of the data
KEYS = jax.random.split(jax.random.key(0), N)
BETAS = np.array([0.2, 0.5, 0.9])
PROCESS = from_betas(BETAS)
# the variance of y = α_{t|s} x_s at each level, and of y given x_t
SIGNAL = (1 - BETAS) * (np.cumprod([1, *(1 - BETAS[:-1])]) * (V - 1) + 1)
KERNEL = SIGNAL * BETAS / (SIGNAL + BETAS)
LADDER = ebm.recovery_ladder(PROCESS, 0.8 * KERNEL)


def quadratic(theta, y, s):
    """E = θ_s ‖y‖²/2 with a θ for each level."""
    return theta[jnp.round(s * 3).astype(int)] * jnp.sum(y**2, axis=tuple(range(1, y.ndim))) / 2


def test_the_ladder_of_the_paper():
    ladder = ebm.published_ladder()
    std = np.sqrt(ladder.transition(np.arange(1, 7) / 6)[1])
    np.testing.assert_allclose(std, [0.3237, 0.5165, 0.6322, 0.7132, 0.7734, 0.9997], atol=5e-5)
    # s² = b² c² σ², c² = σ̄_t/σ̄_0, from the cumulative products of the chain
    alpha_bar = np.cumprod(1 - np.linspace(1e-4, 0.02, 1000))[[0, 100, 200, 300, 400, 500, 999]]
    c_squared = np.sqrt(1 - alpha_bar[:-1]) / 0.01
    np.testing.assert_allclose(ladder.step_sizes, 2e-4 * c_squared * std**2, rtol=1e-4)
    np.testing.assert_allclose(ladder.published_weights, ladder.step_sizes * std[0] / std, rtol=1e-5)
    # s²·E is the network, and so the published weight of the energy is σ_1/σ of the network
    scaled = ebm.scaled_energy(lambda params, y, s: params * jnp.ones(len(y)), ladder)
    times = jnp.arange(6) / 6
    np.testing.assert_allclose(
        scaled(3.0, jnp.zeros((6, 2)), times) * ladder.published_weights, 3 * std[0] / std, rtol=1e-5
    )
    np.testing.assert_allclose(ladder.before(jnp.arange(1, 7) / 6), times, atol=1e-7)
    assert ladder.steps == 6


@pytest.mark.parametrize("adjusted", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_a_kernel_is_the_posterior(adjusted):
    """y | x_t ~ N(x_t v/(v + σ²), vσ²/(v + σ²)), and x_s = y/α."""
    level, x_t = 2, 1.3
    theta = jnp.asarray(1 / SIGNAL, jnp.float32)
    ladder = LADDER if adjusted else ebm.recovery_ladder(PROCESS, 0.02 * KERNEL)
    sampler, times = ebm.recovery_sampler(30 if adjusted else 300, adjusted=adjusted), np.array([2, 1]) / 3
    draw = lambda keys: sample(
        keys, ladder, partial(quadratic, theta), sampler, times, (1,), start=jnp.full((N, 1), x_t)
    )
    y = np.sqrt(1 - BETAS[level - 1]) * np.asarray(jax.jit(draw)(KEYS))
    v, variance = SIGNAL[level - 1], BETAS[level - 1]
    np.testing.assert_allclose(y.mean(), x_t * v / (v + variance), atol=5 * np.sqrt(KERNEL[level - 1] / N))
    np.testing.assert_allclose(
        y.var(), v * variance / (v + variance), rtol=5 * np.sqrt(2 / N) + (0 if adjusted else 0.01)
    )


@pytest.mark.slow
def test_the_whole_ladder_draws_the_data():
    draw = lambda keys: sample(
        keys,
        LADDER,
        partial(quadratic, jnp.asarray(1 / SIGNAL, jnp.float32)),
        ebm.recovery_sampler(30, adjusted=True),
        uniform_grid(3),
        (2,),
    )
    x = np.asarray(jax.jit(draw)(KEYS))
    # ladders start at N(0, I), which the noised data are not quite: their variance is ᾱ(v − 1) + 1
    np.testing.assert_allclose(x.var(), V, rtol=5 * np.sqrt(1 / N) + 0.04)
    np.testing.assert_allclose(draw(KEYS[4:8]), x[4:8], rtol=1e-3, atol=1e-4)


@pytest.mark.slow
def test_the_maximum_of_recovery_likelihood_is_the_marginal():
    """θ* = 1/v at every level, v the variance of y there."""
    relative = lambda phi, y, s: quadratic(phi / SIGNAL.astype(np.float32), y, s)  # of one scale at all levels
    objective = ebm.recovery_likelihood(relative, LADDER, steps=15, adjusted=True)
    optimizer = optax.adam(optax.cosine_decay_schedule(0.05, 200, 0.05), b1=0.5)
    step = make_train_step(objective.loss, optimizer, ema=None)
    state = create_state(jax.random.key(1), jnp.full(3, 0.6), optimizer, objective.carry)

    def body(state, i):
        state, _ = step(state, np.sqrt(V) * jax.random.normal(jax.random.fold_in(jax.random.key(2), i), (512, 2)))
        return state, state.params

    _, path = jax.lax.scan(body, state, jnp.arange(200))
    phi = np.asarray(path[100:]).mean(0)
    # the information of (y, x_t) on θ is E[Var(y²/2 | x_t)] = vk − k²/2 of each entry, k the kernel's variance
    share = KERNEL / SIGNAL
    error = 1 / np.sqrt(100 * 2 * 512 / 3 * (share - share**2 / 2))
    assert (np.abs(phi - 1) < 5 * np.sqrt(2) * error).all(), (phi, error)
    assert (error < 0.02).all()


def test_the_loss_weighs_levels_and_detaches_negatives():
    net = EnergyMLP((8,))
    x = jax.random.normal(jax.random.key(0), (64, 2))
    params = net.init(jax.random.key(1), x, jnp.zeros(64))
    params = jax.tree.map(lambda p: p + 0.3, params)
    plain, weighted = (
        ebm.recovery_likelihood(net.apply, LADDER, steps=1, weights=weights, data_noise=0.1).loss(KEYS[0], params, x)
        for weights in (None, np.array([1.0, 2.0, 4.0]))
    )
    ratio = np.asarray(weighted[0] / plain[0])
    assert {1, 2, 4} == set(np.round(ratio, 3).tolist())
    assert plain[2] == {}
    np.testing.assert_allclose(plain[0], plain[1]["data_energy"] - plain[1]["sample_energy"], rtol=1e-5)


def test_refusals(unchecked):
    draw = lambda process, sampler: sample(KEYS[:2], process, lambda y, s: y[:, 0], sampler, uniform_grid(3), (1,))
    refuses(
        ("needs a discrete process", lambda: ebm.recovery_ladder(vp(), np.ones(1))),
        ("as many step sizes", lambda: ebm.recovery_ladder(PROCESS, np.ones(1))),
        ("step_sizes must be positive", lambda: ebm.recovery_ladder(PROCESS, np.array([0.1, 0.0, 0.1]))),
        ("ascending indices", lambda: ebm.published_ladder((0, 1000))),
        ("steps must be at least 1", lambda: ebm.recovery_sampler(0)),
        ("adjusted steps have", lambda: ebm.recovery_sampler(3, adjusted=True, noise_scale=0.0)),
        ("one entry for each of 3 levels", lambda: ebm.recovery_likelihood(quadratic, LADDER, weights=np.ones(1))),
        ("samples a RecoveryLadder", lambda: draw(PROCESS, ebm.recovery_sampler())),
        ("variance must be positive", lambda: ebm.conditional_energy(lambda y: y[:, 0], jnp.zeros((1, 1)), 0.0)),
    )
    assert ddim().step is not ebm.recovery_sampler().step
