"""Langevin chains against their exact law on Gaussian targets, where steps are affine; and the loop that runs them."""

from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from refusals import refuses

from jaxgen import mcmc
from jaxgen.core import fold_in
from jaxgen.diffusion import denoiser, edm
from jaxgen.samplers import annealed_langevin, langevin, sample

N = 20_000
KEYS = jax.random.split(jax.random.key(0), N)


def check_variance(x, expected, relative=5):
    np.testing.assert_allclose(np.var(x), expected, rtol=relative * np.sqrt(2 / np.size(x)))


def test_langevin_has_its_exact_law_at_every_step():
    """On p ∝ e^(−θx²/2): v_K = A^(2K) v_0 + (1 − A^(2K)) v_∞, A = 1 − εθ/2, v_∞ = 1/(θ(1 − εθ/4))."""
    theta, epsilon, first = 2.0, 0.5, 9.0
    a, settled = 1 - epsilon * theta / 2, 1 / (theta * (1 - epsilon * theta / 4))
    chain = mcmc.langevin(lambda x: -theta * x, epsilon)
    start = 3 * jax.random.normal(jax.random.key(1), (N, 1))
    path = np.asarray(mcmc.run(KEYS, chain, start, frames=4, thin=2))
    assert path.shape == (5, N, 1)
    for frame, x in enumerate(path):
        decay = a ** (4 * frame)
        check_variance(x, decay * first + (1 - decay) * settled)
        np.testing.assert_allclose(np.mean(x), 0, atol=5 * np.std(x) / np.sqrt(N))
    # the states of a chain are correlated by its contraction
    np.testing.assert_allclose(np.corrcoef(path[3, :, 0], path[4, :, 0])[0, 1], a**2, atol=5 / np.sqrt(N))
    still = mcmc.run(KEYS[:5], mcmc.langevin(lambda x: -theta * x, epsilon, 0.0), start[:5], frames=3)
    for x, after in pairwise(still):
        np.testing.assert_allclose(after, a * x, rtol=1e-6)


def test_annealed_langevin_follows_the_ladder():
    """On N(0, 1) under noise, level i contracts by 1 − ε_i/2(1 + σ_i²) and adds ε_i, `steps` times; then it stays."""
    sigmas, epsilon, steps = np.array([4.0, 2.0, 0.5]), 0.1, 3
    chain = mcmc.annealed_langevin(lambda x, sigma: -x / (1 + sigma**2), sigmas, epsilon, steps)
    states = mcmc.run(KEYS, chain, jnp.zeros((N, 1)), frames=4, thin=steps)
    np.testing.assert_array_equal(states.count, steps * np.arange(5))
    variance = 0.0
    for level, x in zip([0, 1, 2, 2], states.x[1:], strict=True):
        step = epsilon * (sigmas[level] / sigmas[-1]) ** 2
        for _ in range(steps):
            variance = (1 - step / 2 / (1 + sigmas[level] ** 2)) ** 2 * variance + step
        check_variance(x, variance)


def test_samplers_make_the_same_moves():
    """The samplers' Langevin steps in a denoiser's score are these chains; their keys are folded alike."""
    process, keys = edm(8.0), KEYS[:6]
    score = lambda x, sigma: -x / (1 + sigma**2)
    denoise = denoiser(process, lambda x, t, cond: score(x, process.sigma(t)[:, None]), predicts="score")
    start, times = jax.random.normal(jax.random.key(1), (6, 2)), np.array([1.0, 0.5, 0.25, 0.0])
    draw = lambda sampler, times: sample(keys, process, denoise, sampler, times, (2,), start=start, trajectory=True)
    plain = mcmc.run(keys, mcmc.langevin(lambda x: score(x, 8.0), 0.1), start, frames=1, thin=4)
    np.testing.assert_allclose(draw(langevin(0.1, 4), times[:2]), plain, rtol=1e-5)
    annealed = mcmc.annealed_langevin(score, 8 * times[:-1], 0.1, 3)
    states = mcmc.run(keys, annealed, start, frames=3, thin=3)
    np.testing.assert_allclose(draw(annealed_langevin(0.1, 2.0, 3), times), states.x, rtol=1e-4, atol=1e-5)


@pytest.mark.first_by_day
@pytest.mark.parametrize("impl", ["threefry2x32", "rbg"])
def test_a_chain_depends_on_its_own_key_alone(impl):
    keys = jax.random.split(jax.random.key(0, impl=impl), 6)
    run = lambda keys: mcmc.run(keys, mcmc.langevin(lambda x: -x, 0.1), jnp.zeros((len(keys), 2)), frames=2, thin=3)
    np.testing.assert_allclose(run(keys)[:, 2:4], run(keys[2:4]), atol=1e-6)


def test_run_keeps_every_state_of_any_chain():
    """A chain of one's own, of a tree of states: one scan, frame k after k · thin steps, each with a key of its own."""
    chain = mcmc.Chain(lambda x: {"x": x, "count": 0}, lambda key, s: {"x": s["x"] + 1, "count": s["count"] + 1})
    states = mcmc.run(KEYS[:2], chain, jnp.zeros((2, 3)), frames=3, thin=2)
    assert states["count"].tolist() == [0, 2, 4, 6]
    np.testing.assert_array_equal(states["x"], np.broadcast_to([[[0]], [[2]], [[4]], [[6]]], (4, 2, 3)))
    spy = mcmc.Chain(lambda x: x, lambda key, x: jax.random.key_data(key).astype(jnp.uint32))
    seen = mcmc.run(KEYS[:2], spy, jnp.zeros((2, 2), jnp.uint32), frames=3)
    expected = [jax.random.key_data(fold_in(fold_in(KEYS[:2], frame), 0)) for frame in (1, 2, 3)]
    np.testing.assert_array_equal(seen[1:], expected)


def test_an_annealed_step_is_refused_where_a_level_diverges():
    """In the score of one point the distance is multiplied by 1 − ε/2σ² at each step, below −1 from ε = 4σ² on."""
    sigma = 0.5
    point = lambda x, level=sigma: -x / level**2
    for share, factor in ((0.9, -0.8), (1.1, -1.2)):
        climb = mcmc.langevin(point, 4 * share * sigma**2, noise_scale=0.0)
        x = mcmc.run(KEYS[:1], climb, jnp.ones((1, 1)), frames=8)
        np.testing.assert_allclose(x[:, 0, 0], factor ** np.arange(9.0), rtol=1e-5)
    ladder = np.array([4.0, sigma])
    for make in (lambda e: mcmc.annealed_langevin(point, ladder, e, 3), lambda e: annealed_langevin(e, sigma, 3)):
        make(0.99 * 4 * sigma**2)
        with pytest.raises(ValueError, match="must be below 4 sigma_last² = 1"):
            make(4 * sigma**2)


def test_refusals(unchecked):
    score, chain = (lambda x: -x), mcmc.langevin(lambda x: -x, 0.1)
    refuses(
        ("step_size must be positive", lambda: mcmc.langevin(score, 0.0)),
        ("noise_scale must be finite", lambda: mcmc.langevin(score, 0.1, noise_scale=-1.0)),
        ("steps must be at least 1", lambda: mcmc.annealed_langevin(score, [1.0], 0.1, 0)),
        ("snr must be positive", lambda: mcmc.snr_step_size(-0.1)),
        ("choose sample or batch", lambda: mcmc.snr_step_size(norms="mean")),
        ("one per sample", lambda: mcmc.run(jax.random.key(0), chain, jnp.zeros((2, 1)), frames=1)),
        ("thin must be at least 0", lambda: mcmc.run(KEYS[:2], chain, jnp.zeros((2, 1)), frames=1, thin=-1)),
    )
