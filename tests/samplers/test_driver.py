"""The driver's promises: keys, memory, compile time, starts, trajectories, states of any dtype, refusals."""

import time

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from oracles import PROCESSES, gaussian_denoiser, slow
from refusals import refuses

from jaxgen.core import noise, threefry_key
from jaxgen.diffusion import denoiser, from_betas, linear_betas, subset_grid, uniform_grid, vp
from jaxgen.samplers import Sampler, ddim, ddpm, predictor_corrector, repaint, replacement, sample

PROCESS = PROCESSES["linear"]
WEIGHTS = jnp.asarray(np.random.default_rng(9).normal(size=(12, 12)), jnp.float32) / 4
STAY = Sampler(lambda key, process, denoise, t, s, x, carry: (x, carry))
KEYS = jax.random.split(jax.random.key(0), 20_000)


def network(x, t, cond):
    """A network that mixes all of an example's entries, so that a neighbour's would be noticed."""
    return jnp.tanh(x.reshape(-1, 12) @ WEIGHTS + t[:, None]).reshape(x.shape)


def generate(keys, sampler, steps=20, **options):
    denoise = denoiser(PROCESS, network, clip=3.0)
    return sample(keys, PROCESS, denoise, sampler, subset_grid(1000, steps), (2, 2, 3), **options)


@pytest.mark.first_by_day
@pytest.mark.parametrize("impl", ["rbg", "threefry2x32", pytest.param("unsafe_rbg", marks=pytest.mark.slow)])
def test_a_sample_depends_on_its_own_key_alone(impl):
    keys = jax.random.split(jax.random.key(0, impl=impl), 64)
    run = jax.jit(lambda keys: generate(keys, ddim(0.5)))
    whole = run(keys)
    halves = np.concatenate([run(keys[:32]), run(keys[32:])])
    np.testing.assert_allclose(whole, halves, atol=1e-5)
    sharded = jax.device_put(keys, NamedSharding(Mesh(np.array(jax.devices()), ("data",)), PartitionSpec("data")))
    found = run(sharded)
    assert len(found.sharding.device_set) == 8
    np.testing.assert_allclose(whole, found, atol=1e-5)
    # and not on nothing: another key is another sample
    assert np.abs(whole[:32] - whole[32:]).max((1, 2, 3)).min() > 0.1


@pytest.mark.parametrize("impl", ["rbg", "unsafe_rbg"])
def test_keys_of_another_kind_become_threefry_keys_of_their_own(impl):
    """Seeded rbg keys hold one pair of words twice, so the derived key must not cancel them; seeds stay apart."""
    keys = jax.vmap(lambda seed: jax.random.key(seed, impl=impl))(jnp.arange(50))
    derived = threefry_key(keys)
    assert str(jax.random.key_impl(derived)) == "threefry2x32"
    assert len(np.unique(jax.random.key_data(derived), axis=0)) == 50
    np.testing.assert_array_equal(*(jax.random.key_data(k) for k in (threefry_key(keys[7]), derived[7])))
    assert threefry_key(KEYS) is KEYS


def test_trajectory_ends_in_the_sample_and_start_resumes_it():
    @jax.jit
    def run(keys):
        path = generate(keys, ddim(0.5), trajectory=True)
        return path, generate(keys, ddim(0.5)), generate(keys, ddim(0.5), start=path[0])

    path, last, again = run(KEYS[:5])
    assert path.shape == (21, 5, 2, 2, 3)
    np.testing.assert_allclose(path[-1], last, atol=1e-5)
    np.testing.assert_allclose(again, last, atol=1e-5)
    # a deterministic sampler goes on from a state on the way
    process, times, denoise = vp(), uniform_grid(10), gaussian_denoiser(vp(), 0.2, 0.5)
    path = sample(KEYS[:4], process, denoise, ddim(), times, (3,), trajectory=True)
    rest = sample(KEYS[:4], process, denoise, ddim(), times[6:], (3,), start=path[6])
    np.testing.assert_allclose(rest, path[-1], atol=1e-6)


def test_every_step_draws_its_own_noise_from_the_sample_key():
    spy = Sampler(lambda key, process, denoise, t, s, x, carry: (noise(key, x.shape[1:]), carry))
    path = sample(KEYS[:3], vp(), lambda x, t: None, spy, uniform_grid(5), (4,), trajectory=True)
    draws = np.asarray(path).reshape(6, -1)
    # no draw is used twice, the prior's included
    assert np.abs(np.corrcoef(draws) - np.eye(6)).max() < 0.99
    assert len(np.unique(draws.round(5))) == draws.size


def test_the_prior_has_its_stated_spread():
    for name in ("vp", "ve", "edm"):
        x = sample(KEYS, PROCESSES[name], lambda x, t: None, STAY, uniform_grid(1), (1,))
        np.testing.assert_allclose(x.std(), PROCESSES[name].prior_std, rtol=5 / np.sqrt(2 * len(KEYS)))


@pytest.mark.parametrize(("name", "first"), [("edm", 0.3), slow("edm", 1.0), slow("ve", 0.3), slow("ve", 1.0)])
def test_a_grid_that_begins_below_one_begins_with_less_noise(name, first):
    process, times = PROCESSES[name], np.append(np.geomspace(first, 1e-4, 400), 0.0)
    x = sample(KEYS, process, gaussian_denoiser(process, 0.0, 0.5), ddim(), times, (1,))
    # what is lost by starting from noise alone is the data's share of the variance at the first time
    share = float(process.variance(first)) / (0.25 + float(process.variance(first)))
    np.testing.assert_allclose(x.std(), 0.5 * np.sqrt(share), rtol=0.06)


def test_float_states_stay_float32_whatever_comes_in():
    denoise, times = gaussian_denoiser(vp(), 0.0, 1.0), jnp.asarray([1.0, 0.5, 0.0], jnp.bfloat16)
    half = denoiser(vp(), lambda x, t, cond: network(x, t, cond).astype(jnp.bfloat16))

    def dtype(shape=(2,), denoise=denoise, start=None):
        draw = lambda: sample(KEYS[:3], vp(), denoise, ddpm(), times, shape, start=start)
        return jax.eval_shape(draw).dtype

    assert dtype() == dtype(start=jnp.ones((3, 2), jnp.bfloat16)) == dtype((2, 2, 3), half) == jnp.float32
    with jax.enable_x64(True):
        assert dtype(start=jnp.ones((3, 2), jnp.float32)) == jnp.float32
        assert dtype(start=jnp.ones((3, 2), jnp.float64)) == jnp.float64
        x = sample(KEYS[:3], from_betas(linear_betas(10)), denoise, ddim(), jnp.float32([1.0, 0.5, 0.0]), (2,))
        assert np.all(np.isfinite(x))


Q = np.array([[0.8, 0.1, 0.1], [0.3, 0.6, 0.1], [0.1, 0.4, 0.5]])


class Categorical:
    """x_0 ~ p and T transitions by Q on three categories: a process that is not Gaussian, with integer states."""

    steps, p = 4, np.array([0.1, 0.2, 0.7])
    powers = np.stack([np.linalg.matrix_power(Q, i) for i in range(5)])

    def sample_prior(self, keys, shape, t):
        logits = jnp.log(self.p @ self.powers)[jnp.round(t * self.steps).astype(int)]
        return jax.vmap(lambda key: jax.random.categorical(key, logits, shape=shape))(keys)

    def denoise(self, x, t):
        """P(x_0 | x_t = x)."""
        joint = self.p[:, None] * jnp.asarray(self.powers)[jnp.round(t * self.steps).astype(int)]
        return (joint / joint.sum(0)).T[x]


def ancestral(key, process, denoise, t, s, x, carry):
    """x_s from Σ P(x_0 | x_t) q(x_s | x_t, x_0), by Bayes Q^s[x_0, x_s] Q^{t−s}[x_s, x_t] / Q^t[x_0, x_t]."""
    powers = jnp.asarray(process.powers)
    i, j = (jnp.round(time * process.steps).astype(int) for time in (t, s))
    kernel = powers[j][:, :, None] * powers[i - j] / powers[i][:, None, :]
    chances = jnp.einsum("bnk,kjbn->bnj", denoise(x, t), kernel[:, :, x])
    return jax.vmap(lambda key, p: jax.random.categorical(key, jnp.log(p)))(key, chances).astype(x.dtype), carry


def test_integer_states_of_a_process_that_is_not_gaussian_have_their_exact_law():
    """Reversed exactly, the chain is at every time t distributed as p Qᵗ."""
    process, n = Categorical(), 20_000
    path = sample(KEYS, process, process.denoise, Sampler(ancestral), uniform_grid(4), (2,), trajectory=True)
    assert path.dtype == jnp.int32
    for i, x in enumerate(np.asarray(path)):
        expected = process.p @ process.powers[4 - i]
        found = np.bincount(x.ravel(), minlength=3) / x.size
        assert np.all(np.abs(found - expected) < 5 * np.sqrt(expected * (1 - expected) / (2 * n)))
    start = jnp.ones((3, 2), jnp.int8)
    x = sample(KEYS[:3], process, process.denoise, Sampler(ancestral), np.array([0.5, 0.25]), (2,), start=start)
    assert x.dtype == jnp.int8
    with pytest.raises(ValueError, match="use subset_grid"):
        sample(KEYS[:3], process, process.denoise, Sampler(ancestral), np.array([0.6, 0.0]), (2,))


def test_a_carry_passes_from_step_to_step():
    count = Sampler(
        init=lambda x: jnp.zeros((), jnp.int32),
        step=lambda key, process, denoise, t, s, x, carry: (jnp.full_like(x, carry), carry + 1),
    )
    path = sample(KEYS[:2], vp(), lambda x, t: None, count, uniform_grid(4), (1,), trajectory=True)
    assert path[1:, 0, 0].tolist() == [0, 1, 2, 3]


def compiled(steps):
    started = time.perf_counter()
    run = jax.jit(lambda keys: generate(keys, ddpm(), steps)).lower(KEYS[:256]).compile()
    return run, time.perf_counter() - started


def test_memory_code_and_compile_time_do_not_grow_with_steps():
    compiled(11)  # what is compiled once per process is not counted
    (short, seconds), (long, seconds_long) = compiled(10), compiled(500)
    assert seconds_long < 2 * seconds + 0.5
    # only the grid itself, 12 bytes a step
    grown = long.memory_analysis().temp_size_in_bytes - short.memory_analysis().temp_size_in_bytes
    assert grown <= 490 * 16
    assert len(long.as_text().splitlines()) <= len(short.as_text().splitlines()) * 1.02


def test_the_network_is_traced_once():
    traced = chex.assert_max_traces(n=1)(lambda x, t, cond: network(x, t, cond))
    grid = subset_grid(1000, 30)
    run = jax.jit(lambda keys: sample(keys, PROCESS, denoiser(PROCESS, traced), ddpm(), grid, (2, 2, 3)))
    for i in range(3):
        run(KEYS[3 * i : 3 * i + 3])


def test_refusals(unchecked):
    keys, four, denoise = KEYS[:3], uniform_grid(4), gaussian_denoiser(vp(), 0.0, 1.0)

    def run(times=four, keys=keys, process=PROCESSES["vp"], denoise=denoise, sampler=ddim(), **options):  # noqa: B008
        return lambda: sample(keys, process, denoise, sampler, times, (2,), **options)

    bare = r"make one of a network by diffusion\.denoiser\(process, network, predicts=…\)"
    refuses(
        (r"one per sample: jax\.random\.split", run(keys=jax.random.key(0))),
        (r"one per sample: jax\.random\.split", run(keys=jax.random.PRNGKey(0))),
        *(
            ("must descend strictly", run(np.array(times)))
            for times in (four[::-1], [1.0, 0.5, 0.5, 0.0], [1.5, 0.0], [0.5, -0.1])
        ),
        (r"shape \(N\+1,\)", run(np.array([1.0]))),
        (r"start must have shape \(3, 2\).*got \(4, 2\)", run(start=jnp.zeros((4, 2)))),
        (r"use subset_grid\(10, n\)", run(uniform_grid(7), process=from_betas(linear_betas(10)))),
        ("call the function ddim: ddim", run(sampler=ddim)),
        ("call the function ddpm: ddpm", lambda: predictor_corrector(ddpm, ddim())),
        ("call the function ddim: ddim", lambda: predictor_corrector(ddim(), ddim)),
        ("call the function ddim: ddim", lambda: replacement(ddim, None, None)),
        ("call the function ddim: ddim", lambda: repaint(ddim, 2)),
        ("sampler must be a pair .* got None", run(sampler=None)),
        (f"{bare}.*missing a required argument: 'cond'", run(denoise=lambda x, t, cond: x)),
        (f"{bare}.*returned ", run(denoise=lambda x, t, cond=None: x)),
        ("unknown variance 'medium': choose one of", lambda: ddpm("medium")),
        ("noise_scale", lambda: ddpm(noise_scale=-1.0)),
        (r"eta must lie in \[0, 1\]", lambda: ddim(1.5)),
        ("learned_variance=True", run(sampler=ddpm("learned"))),
        error=(ValueError, TypeError),
    )
