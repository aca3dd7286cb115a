"""The driver's promises: keys, memory, compile time, starts, trajectories, refusals."""

import time

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from oracles import PROCESSES, gaussian_denoiser

from jaxgen.diffusion import denoiser, from_betas, linear_betas, subset_grid, uniform_grid, vp
from jaxgen.samplers import Sampler, ddim, ddpm, noise, sample

SAMPLERS = {"ddpm": ddpm(), "ddpm_large": ddpm("fixed_large"), "ddim": ddim(), "ddim_half": ddim(0.5)}
PROCESS = PROCESSES["linear"]
WEIGHTS = jax.random.normal(jax.random.key(9), (12, 12)) / 4


def network(x, t, cond):
    """A network that mixes all of an example's entries, so that a neighbour's would be noticed."""
    return jnp.tanh(x.reshape(-1, 12) @ WEIGHTS + t[:, None]).reshape(x.shape)


def generate(keys, sampler, steps=20, **options):
    denoise = denoiser(PROCESS, network, clip=3.0)
    return sample(keys, PROCESS, denoise, sampler, subset_grid(1000, steps), (2, 2, 3), **options)


@pytest.mark.parametrize("name", SAMPLERS)
def test_a_sample_depends_on_its_own_key_alone(name):
    keys = jax.random.split(jax.random.key(0), 64)
    run = jax.jit(lambda keys: generate(keys, SAMPLERS[name]))
    whole = run(keys)
    halves = jnp.concatenate([run(keys[:32]), run(keys[32:])])
    np.testing.assert_allclose(whole, halves, atol=1e-5)
    mesh = Mesh(np.array(jax.devices()), ("data",))
    sharded = jax.device_put(keys, NamedSharding(mesh, PartitionSpec("data")))
    found = run(sharded)
    assert len(found.sharding.device_set) == 8
    np.testing.assert_allclose(whole, found, atol=1e-5)
    # and not on nothing: another key is another sample
    assert np.abs(whole[0] - whole[1]).max() > 0.1


@pytest.mark.parametrize("name", SAMPLERS)
def test_trajectory_ends_in_the_sample_and_start_resumes_it(name):
    keys = jax.random.split(jax.random.key(0), 5)
    last = generate(keys, SAMPLERS[name])
    path = generate(keys, SAMPLERS[name], trajectory=True)
    assert path.shape == (21, 5, 2, 2, 3)
    np.testing.assert_allclose(path[-1], last, atol=1e-5)
    np.testing.assert_allclose(generate(keys, SAMPLERS[name], start=path[0]), last, atol=1e-5)


def test_deterministic_sampling_from_a_state_on_the_way():
    keys = jax.random.split(jax.random.key(0), 4)
    process, times = vp(), uniform_grid(10)
    denoise = gaussian_denoiser(process, 0.2, 0.5)
    path = sample(keys, process, denoise, ddim(), times, (3,), trajectory=True)
    rest = sample(keys, process, denoise, ddim(), times[6:], (3,), start=path[6])
    np.testing.assert_allclose(rest, path[-1], atol=1e-6)


def test_the_prior_has_its_stated_spread():
    keys = jax.random.split(jax.random.key(0), 20_000)
    stay = Sampler(init=lambda x: None, step=lambda key, process, denoise, t, s, x, carry: (x, carry))
    for name in ("vp", "ve", "edm"):
        process = PROCESSES[name]
        x = sample(keys, process, lambda x, t: None, stay, uniform_grid(1), (1,))
        np.testing.assert_allclose(x.std(), process.prior_std, rtol=5 / np.sqrt(2 * len(keys)))


def test_every_step_draws_its_own_noise_from_the_sample_key():
    keys = jax.random.split(jax.random.key(0), 3)
    spy = Sampler(
        init=lambda x: None,
        step=lambda key, process, denoise, t, s, x, carry: (noise(key, x.shape[1:]), carry),
    )
    path = sample(keys, vp(), lambda x, t: None, spy, uniform_grid(5), (4,), trajectory=True)
    draws = np.asarray(path).reshape(6, -1)
    correlation = np.corrcoef(draws)
    assert np.abs(correlation - np.eye(6)).max() < 0.99  # no draw is used twice, the prior's included
    assert len(np.unique(draws.round(5))) == draws.size


@pytest.mark.parametrize("first", [0.3, 1.0])
def test_a_grid_that_begins_below_one_begins_with_less_noise(first):
    keys = jax.random.split(jax.random.key(0), 20_000)
    for name in ("ve", "edm"):
        process = PROCESSES[name]
        times = np.append(np.geomspace(first, 1e-4, 400), 0.0)
        x = sample(keys, process, gaussian_denoiser(process, 0.0, 0.5), ddim(), times, (1,))
        # what is lost by starting from noise alone is the data's share of the variance at the first time
        share = float(process.variance(first)) / (0.25 + float(process.variance(first)))
        np.testing.assert_allclose(x.std(), 0.5 * np.sqrt(share), rtol=0.06, err_msg=name)


def test_states_stay_float32_whatever_comes_in():
    keys = jax.random.split(jax.random.key(0), 3)
    denoise = gaussian_denoiser(vp(), 0.0, 1.0)
    times = [1.0, 0.5, 0.0]
    for start in (None, jnp.ones((3, 2), jnp.bfloat16)):
        x = sample(keys, vp(), denoise, ddpm(), jnp.asarray(times, jnp.bfloat16), (2,), start=start)
        assert x.dtype == jnp.float32
    with jax.enable_x64(True):
        x = sample(keys, vp(), denoise, ddpm(), uniform_grid(3), (2,), start=jnp.ones((3, 2), jnp.float32))
        assert x.dtype == jnp.float32
        table = from_betas(linear_betas(10))
        x = sample(keys, table, denoise, ddim(), jnp.asarray([1.0, 0.5, 0.0], jnp.float32), (2,))
        assert np.all(np.isfinite(x))


def test_a_carry_passes_from_step_to_step():
    count = Sampler(
        init=lambda x: jnp.zeros((), jnp.int32),
        step=lambda key, process, denoise, t, s, x, carry: (jnp.full_like(x, carry), carry + 1),
    )
    keys = jax.random.split(jax.random.key(0), 2)
    path = sample(keys, vp(), lambda x, t: None, count, uniform_grid(4), (1,), trajectory=True)
    assert path[1:, 0, 0].tolist() == [0, 1, 2, 3]


def compiled(steps):
    keys = jax.random.split(jax.random.key(0), 256)
    started = time.perf_counter()
    return jax.jit(lambda keys: generate(keys, ddpm(), steps)).lower(keys).compile(), time.perf_counter() - started


def test_memory_code_and_compile_time_do_not_grow_with_steps():
    compiled(11)  # what is compiled once per process is not counted
    (short, seconds), (long, seconds_long) = compiled(10), compiled(500)
    assert seconds_long < 2 * seconds + 0.5
    # only the grid itself, 12 bytes a step
    grown = long.memory_analysis().temp_size_in_bytes - short.memory_analysis().temp_size_in_bytes
    assert grown <= 490 * 16
    assert len(long.as_text().splitlines()) <= len(short.as_text().splitlines()) * 1.02


def test_the_network_is_traced_once():
    @chex.assert_max_traces(n=1)
    def traced(x, t, cond):
        return network(x, t, cond)

    keys = jax.random.split(jax.random.key(0), 3)
    run = jax.jit(
        lambda keys: sample(keys, PROCESS, denoiser(PROCESS, traced), ddpm(), subset_grid(1000, 30), (2, 2, 3))
    )
    for seed in range(3):
        run(jax.random.split(jax.random.key(seed), 3))
    assert run(keys).dtype == jnp.float32


def test_half_precision_networks_keep_a_float32_state():
    half = lambda x, t, cond: network(x, t, cond).astype(jnp.bfloat16)
    keys = jax.random.split(jax.random.key(0), 3)
    x = sample(keys, PROCESS, denoiser(PROCESS, half), ddim(), subset_grid(1000, 5), (2, 2, 3))
    assert x.dtype == jnp.float32


@pytest.mark.usefixtures("unchecked")
def test_refusals():
    keys = jax.random.split(jax.random.key(0), 3)
    process, denoise = vp(), gaussian_denoiser(vp(), 0.0, 1.0)

    four = uniform_grid(4)

    def run(times=four, keys=keys, process=process, **options):
        return sample(keys, process, denoise, ddim(), times, (2,), **options)

    for bad in (jax.random.key(0), jax.random.PRNGKey(0)):
        with pytest.raises(ValueError, match=r"one per sample: jax\.random\.split"):
            run(keys=bad)
    for bad in (uniform_grid(4)[::-1], np.array([1.0, 0.5, 0.5, 0.0]), np.array([1.5, 0.0]), np.array([0.5, -0.1])):
        with pytest.raises(ValueError, match="must descend strictly"):
            run(bad)
    with pytest.raises(ValueError, match=r"shape \(N\+1,\)"):
        run(np.array([1.0]))
    with pytest.raises(ValueError, match=r"start must have shape \(3, 2\).*got \(4, 2\)"):
        run(start=jnp.zeros((4, 2)))
    with pytest.raises(ValueError, match=r"use grids.subset_grid\(10, n\)"):
        run(uniform_grid(7), process=from_betas(linear_betas(10)))
    with pytest.raises(ValueError, match="unknown variance 'medium': choose one of small, large, learned"):
        ddpm("medium")
    with pytest.raises(ValueError, match="noise_scale"):
        ddpm(noise_scale=-1.0)
    with pytest.raises(ValueError, match=r"eta must lie in \[0, 1\]"):
        ddim(1.5)
    with pytest.raises(ValueError, match="learned_variance=True"):
        sample(keys, process, denoise, ddpm("learned"), uniform_grid(4), (2,))
