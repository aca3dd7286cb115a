"""Claims of S1, the homework on DDPM, DDIM and score-based models."""

from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from affine_law import law
from oracles import CONTINUOUS, DISCRETE, Mixture, gaussian_denoiser, siblings_slow

from experiments.kit.call_counting import network_calls
from jaxgen.diffusion import (
    from_betas,
    linear_betas,
    perturb,
    posterior,
    subset_grid,
    uniform_grid,
    ve,
    vp,
)
from jaxgen.samplers import ddim, ddpm, sample

T = 50
BETAS = linear_betas(T, 1e-3, 0.2)
CHAIN = from_betas(BETAS)


def reverse_kernel(beta, x_t, before=0.5):
    """q(x_s | x_t) of a mixture, tabulated by Bayes' rule: q_s(x_s) N(x_t; √(1−β) x_s, β)."""
    process, mixture = CONTINUOUS["vp"], Mixture()
    s = process.time_at_log_snr(before)
    centre, width = x_t / np.sqrt(1 - beta), np.sqrt(beta)
    x = np.linspace(centre - 12 * width, centre + 12 * width, 20_001)
    log_q = np.asarray(mixture.log_density(process, jnp.asarray(x)[:, None], s), np.float64)
    log_q += -((x_t - np.sqrt(1 - beta) * x) ** 2) / (2 * beta)
    density = np.exp(log_q - log_q.max())
    return x, density / density.sum()


def test_c1_2_the_reverse_kernel_tends_to_a_gaussian():
    """Skewness and excess kurtosis of q(x_s|x_t) vanish with β, at least as fast as √β between the modes."""
    departures = []
    for beta in (0.4, 0.1, 0.025, 0.00625):
        x, p = reverse_kernel(beta, x_t=0.1)
        mean = np.sum(p * x)
        std = np.sqrt(np.sum(p * (x - mean) ** 2))
        departures.append(abs(np.sum(p * ((x - mean) / std) ** 3)) + abs(np.sum(p * ((x - mean) / std) ** 4) - 3))
    assert np.all(np.diff(departures) < 0)
    assert departures[0] > 0.3
    assert departures[-1] < 0.05
    assert np.all(np.array(departures[1:]) < 0.6 * np.array(departures[:-1]))


def test_c1_2_given_x0_the_reverse_kernel_is_exactly_gaussian():
    """log q(x_s|x0) + log q(x_t|x_s) as a function of x_s is a parabola, with `posterior`'s mean and curvature."""
    i, x0, x_t = 20, 0.7, -0.3
    bar, beta = np.cumprod(1 - BETAS)[i - 1], BETAS[i]
    x = np.linspace(-2, 2, 9)
    log_q = -((x - np.sqrt(bar) * x0) ** 2) / (2 * (1 - bar)) - (x_t - np.sqrt(1 - beta) * x) ** 2 / (2 * beta)
    a, b, *_ = np.polyfit(x, log_q, 2)
    assert np.ptp(np.diff(log_q, 3)) < 1e-9  # a parabola has no third difference
    mean, std = posterior(CHAIN, jnp.full((1, 1), x_t), jnp.full((1, 1), x0), i / T, (i + 1) / T)
    np.testing.assert_allclose(mean, -b / (2 * a), rtol=1e-4)
    np.testing.assert_allclose(std**2, -1 / (2 * a), rtol=1e-4)


GRIDS = {name: (process, uniform_grid(10)) for name, process in CONTINUOUS.items()}
GRIDS |= {name: (process, subset_grid(process.steps, 10)) for name, process in DISCRETE.items()}
GRIDS |= {f"{name}_whole": (p, subset_grid(p.steps, p.steps)) for name, p in DISCRETE.items()}


@pytest.mark.first_by_day
@pytest.mark.parametrize("name", siblings_slow(GRIDS, "vp", "zero_snr"))
def test_c1_4_ddim_with_eta_one_is_ddpm(name):
    """Sample for sample, on the whole grid and on a subset: η = 1 is the reverse chain with β̃."""
    process, times = GRIDS[name]
    keys = jax.random.split(jax.random.key(0), 16)
    denoise = Mixture().denoiser(process)
    runs = [sample(keys, process, denoise, sampler, times, (1,)) for sampler in (ddim(1.0), ddpm("fixed_small"))]
    np.testing.assert_allclose(*runs, atol=2e-4)


def test_c1_10_variance_explodes_or_is_preserved():
    """On unit-variance data VE keeps the mean and adds σ²; VP shrinks the mean and keeps variance 1."""
    n = 100_000
    x0, eps = jax.random.normal(jax.random.key(0), (2, n, 1))
    shift, standard_error = 3.0, np.sqrt(2 / n)
    for t in (0.2, 0.6, 1.0):
        exploding = perturb(ve(), x0 + shift, t, eps)
        sigma = 0.01 * 5000**t
        assert abs(exploding.mean() - shift) < 5 * np.sqrt((1 + sigma**2) / n)
        np.testing.assert_allclose(exploding.var(), 1 + sigma**2, rtol=5 * standard_error)
        preserving = perturb(vp(), x0 + shift, t, eps)
        assert abs(preserving.mean() - shift * np.exp(-0.25 * t**2 * 19.9 - 0.05 * t)) < 5 / np.sqrt(n)
        np.testing.assert_allclose(preserving.var(), 1, rtol=5 * standard_error)


@pytest.mark.slow
def test_c1_7_ddim_saves_calls_at_little_loss():
    """DDIM by 50 of 1000 steps is about as near to the data as DDPM's whole chain, at a twentieth of its calls.

    Nearness is the 1-Wasserstein distance to the mixture, by quantiles; its error at n = 4000 is about std/√n = .014.
    """
    process, mixture, n = DISCRETE["linear"], Mixture(), 4000
    keys = jax.random.split(jax.random.key(0), n)
    data = np.sort(np.asarray(mixture.sample(jax.random.key(1), 100 * n))[:, 0]).reshape(n, 100).mean(-1)

    def distance(sampler, steps):
        x = sample(keys, process, mixture.denoiser(process), sampler, subset_grid(1000, steps), (1,))
        return np.mean(np.abs(np.sort(np.asarray(x)[:, 0]) - data))

    whole, fast, too_few = distance(ddpm("fixed_large"), 1000), distance(ddim(), 50), distance(ddim(), 5)
    calls = [
        network_calls(sampler, process, subset_grid(1000, n))
        for sampler, n in ((ddpm("fixed_large"), 1000), (ddim(), 50))
    ]
    assert calls == [1000, 50]
    assert fast < whole + 0.03
    assert too_few > 2 * fast  # the distance can tell


@pytest.mark.slow
def test_c1_5_a_late_start_forgets_the_fast_models_error_at_the_price_of_its_steps():
    """ES-DDPM on N(.5, .6²) from a fast model that thinks N(.2, .9²): the exact law at the end, and its calls."""
    mean, std = 0.5, 0.6
    denoise = gaussian_denoiser(CHAIN, mean, std)

    def divergence(fast_mean, fast_std, left):
        """KL of what the last `left` steps end with to the data."""
        grid = subset_grid(T, T)[T - left :]
        alpha, sigma = float(CHAIN.alpha(grid[0])), float(CHAIN.sigma(grid[0]))
        begun = alpha * fast_mean, alpha**2 * fast_std**2 + sigma**2
        assert network_calls(ddpm(), CHAIN, grid) == left
        found, variance = map(float, law(ddpm(), CHAIN, denoise, grid, *begun))
        return 0.5 * (variance / std**2 - 1 - np.log(variance / std**2) + (found - mean) ** 2 / std**2)

    lefts = (1, 5, 15, 30, 45, T)
    off = [divergence(0.2, 0.9, left) for left in lefts]
    assert off[0] > 0.3
    assert all(late > later for late, later in pairwise(off)), off
    # what remains at last is the chain's own error, which a perfect fast model has less of the later it hands over
    perfect = [divergence(mean, std, left) for left in lefts]
    assert off[-1] == pytest.approx(perfect[-1], rel=0.02)
    assert all(late < later for late, later in pairwise(perfect)), perfect
