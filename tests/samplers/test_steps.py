"""DDPM and DDIM against the exact law they must follow on Gaussian data, and DDIM's order."""

from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracles import PROCESSES, gaussian_denoiser, nightly, slow, snap

from jaxgen.diffusion import Prediction, denoiser, karras_grid, subset_grid, uniform_grid
from jaxgen.samplers import ddim, ddpm, sample

MEAN, STD = 0.4, 0.5
KEYS = jax.random.split(jax.random.key(0), 40_000)
BY_DAY = {"ve", "zero_snr"}  # one that ends in noise of its own, and a table that begins without signal
every_process = pytest.mark.parametrize("name", [name if name in BY_DAY else slow(name) for name in PROCESSES])


def grid_for(process, n):
    if process.steps is not None:
        return subset_grid(process.steps, n)
    return karras_grid(process, n) if process.alpha(1.0) == 1 else uniform_grid(n)


def drawn(samplers, process, denoise, times, keys=KEYS):
    """Samples of several samplers, by one compiled program."""
    draw = lambda keys: {name: sample(keys, process, denoise, s, times, (1,)) for name, s in samplers.items()}
    return jax.jit(draw)(keys)


def law(process, times, kind, noise_scale=1.0):
    """Mean and variance of the chain on data N(MEAN, STD²) from the prior: each step is affine, in float64.

    x_s = a x_t + b + noise, with a and b from x̂0 = E[x0 | x_t] by the definitions of the two papers.
    """
    mean, variance = 0.0, float(process.prior_std) ** 2
    for t, s in pairwise(times):
        alpha_t, alpha_s = float(process.alpha(t)), float(process.alpha(s))
        var_t, var_s = float(process.variance(t)), float(process.variance(s))
        total = alpha_t**2 * STD**2 + var_t
        gain = alpha_t * STD**2 / total  # of x̂0 in x_t
        offset = MEAN * (1 - alpha_t * gain)
        ratio = alpha_t / alpha_s
        step_var = var_t - ratio**2 * var_s
        if kind == "ddim":
            slope = alpha_s * gain + np.sqrt(var_s) * (1 - alpha_t * gain) / np.sqrt(var_t)
            shift = alpha_s * offset - np.sqrt(var_s) * alpha_t * offset / np.sqrt(var_t)
            added = 0.0
        else:  # the step to s = 0 takes β̃
            slope = ratio * var_s / var_t + alpha_s * step_var / var_t * gain
            shift = alpha_s * step_var / var_t * offset
            small = step_var * var_s / var_t
            added = {"small": small, "large": step_var, "middle": np.sqrt(small * step_var)}[kind] if s > 0 else small
        mean, variance = slope * mean + shift, slope**2 * variance + noise_scale**2 * added
    return mean, variance


def check_moments(x, mean, variance):
    n = len(x)
    assert abs(x.mean() - mean) < 5 * np.sqrt(variance / n)
    assert abs(x.var() - variance) < 5 * variance * np.sqrt(2 / n)


@pytest.mark.first_by_day
@every_process
def test_chain_follows_its_exact_law(name):
    process = PROCESSES[name]
    times = grid_for(process, 12)
    samplers = {
        "small": ddpm("fixed_small"),
        "large": ddpm("fixed_large"),
        "ddim": ddim(),
        "half": ddpm(noise_scale=0.5),
    }
    found = drawn(samplers, process, gaussian_denoiser(process, MEAN, STD), times)
    for kind in ("small", "large", "ddim"):
        check_moments(found[kind], *law(process, times, kind))
    check_moments(found["half"], *law(process, times, "small", 0.5))


@nightly("name", PROCESSES)
def test_long_chains_sample_the_data(name):
    process = PROCESSES[name]
    samplers = {"small": ddpm(), "large": ddpm("fixed_large"), "ddim": ddim(), "half": ddim(0.5)}
    times = grid_for(process, process.steps or 200)
    for x in drawn(samplers, process, gaussian_denoiser(process, MEAN, STD), times, KEYS[:20_000]).values():
        np.testing.assert_allclose(x.mean(), MEAN, atol=0.03)
        np.testing.assert_allclose(x.std(), STD, rtol=0.06)


@every_process
@pytest.mark.slow
def test_a_single_datum_is_reached_exactly(name):
    process, datum = PROCESSES[name], 0.7

    def denoise(x, t, cond=None):
        return Prediction(jnp.full_like(x, datum), (x - process.alpha(t) * datum) / process.sigma(t))

    samplers = {"small": ddpm(), "large": ddpm("fixed_large"), "ddim": ddim(), "ddim_1": ddim(1.0)}
    for x in drawn(samplers, process, denoise, grid_for(process, 7), KEYS[:100]).values():
        np.testing.assert_allclose(x, datum, atol=0.06 if name == "ve" else 1e-5)  # VE ends at sigma_min = .01


def test_learned_variance_lies_between_in_logs():
    process, times = PROCESSES["linear"], subset_grid(1000, 12)
    exact = gaussian_denoiser(process, MEAN, STD)

    @jax.jit
    def run(keys, v):
        network = lambda x, t, cond: jnp.concatenate([exact(x, t).eps, jnp.full_like(x, v)], -1)
        return sample(keys, process, denoiser(process, network, learned_variance=True), ddpm("learned"), times, (1,))

    for v, kind in ((-1.0, "small"), (0.0, "middle"), (1.0, "large")):
        check_moments(run(KEYS, v), *law(process, times, kind))


def test_ddpm_without_noise_is_the_mean():
    process, still = PROCESSES["linear"], {"still": ddpm(noise_scale=0.0)}
    for std, check in (
        (0.0, lambda x: np.testing.assert_allclose(x, MEAN, atol=1e-6)),
        (STD, lambda x: x.std() < 0.5 * STD or pytest.fail("without z the chain contracts towards the mean")),
    ):
        check(drawn(still, process, gaussian_denoiser(process, MEAN, std), subset_grid(1000, 12), KEYS[:2000])["still"])


@nightly("name", ["vp", "sub_vp", "rectified_flow", "edm"])
def test_ddim_is_of_first_order_from_the_prior(name):
    """Against the exact probability flow x(t) = m(t) + (x(1) − m(1)) √(v(t)/v(1)) of Gaussian data."""
    with jax.enable_x64(True):
        process = PROCESSES[name]
        start = jnp.linspace(-1, 1, 7, dtype=jnp.float64)[:, None] * process.prior_std
        total = lambda t: process.alpha(t) ** 2 * STD**2 + process.variance(t)
        exact = MEAN + (start - process.alpha(jnp.float64(1.0)) * MEAN) * STD / jnp.sqrt(total(jnp.float64(1.0)))
        errors = []
        for n in (40, 80, 160):
            times = uniform_grid(n) ** (4 if name == "edm" else 1)
            x = sample(KEYS[:7], process, gaussian_denoiser(process, MEAN, STD), ddim(), times, (1,), start=start)
            errors.append(float(jnp.abs(x - exact).max()))
        orders = np.log2(np.array(errors[:-1]) / errors[1:])
        assert np.all(np.abs(orders - 1) < 0.15), (errors, orders)


@pytest.mark.slow
def test_any_time_of_a_table_can_be_the_first():
    process, keys = PROCESSES["linear"], KEYS[:20_000]
    t = snap(process, 0.3)
    x0 = MEAN + STD * jax.random.normal(jax.random.key(5), (len(keys), 1))
    x_t = process.alpha(t) * x0 + process.sigma(t) * jax.random.normal(jax.random.key(6), x0.shape)
    times = subset_grid(1000, 1000)[700:]
    assert times[0] == t
    x = sample(keys, process, gaussian_denoiser(process, MEAN, STD), ddpm(), times, (1,), start=x_t)
    check_moments(x, MEAN, STD**2 * 1.005)
