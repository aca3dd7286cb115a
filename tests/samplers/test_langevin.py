"""Langevin samplers: their law, their failure on separated modes, and what annealing and correcting mend."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from affine_law import law
from oracles import CONTINUOUS, Mixture, gaussian_denoiser, nightly, slow
from refusals import refuses

from experiments.kit.call_counting import network_calls
from experiments.ncsn_toy.chain_law import expected_shares
from jaxgen.core import fold_in, noise
from jaxgen.diffusion import denoiser, edm, noise_grid, uniform_grid, ve, vp
from jaxgen.distributions import song_ermon_mixture
from jaxgen.samplers import (
    annealed_langevin,
    ddim,
    langevin,
    langevin_corrector,
    predictor_corrector,
    reverse_diffusion,
    sample,
)

MEAN, STD = 0.4, 0.5


def only_by_day(day, names):
    return pytest.mark.parametrize("name", [name if name == day else slow(name) for name in names])


def marginal(process, t):
    return process.alpha(t) * MEAN, process.alpha(t) ** 2 * STD**2 + process.variance(t)


@only_by_day("vp", CONTINUOUS)
def test_c3_3_langevin_leaves_q_t_invariant_as_its_step_vanishes(name):
    """x ← x + ε/2 score + √ε z has variance v/(1 − ε/4v) on N(m, v): an error of first order in ε, exactly."""
    process, t = CONTINUOUS[name], 0.4
    with jax.enable_x64(True):
        mean, v = (float(moment) for moment in marginal(process, jnp.float64(t)))
        denoise = gaussian_denoiser(process, MEAN, STD)
        for share in (0.2, 0.1, 0.05):
            # each step of the grid is one move; they end at one time, so all are at (nearly) the same t
            times = t + 1e-9 * np.linspace(1, 0, int(20 / share))
            found = law(langevin(share * v), process, denoise, times, mean, 0.5 * v)
            np.testing.assert_allclose(found[0], mean, rtol=1e-6)
            np.testing.assert_allclose(found[1], v / (1 - share / 4), rtol=1e-5)


@pytest.mark.slow
def test_c2_7b_with_noise_langevin_samples_the_density():
    """One mode at a time, of the mixture at sigma = .6, where it mixes."""
    process, mixture, n, t = edm(10.0), Mixture(), 4000, 0.06
    keys = jax.random.split(jax.random.key(0), n)
    start = jax.random.normal(jax.random.key(1), (n, 1))
    x = sample(keys, process, mixture.denoiser(process), langevin(0.05, 600), np.array([t, 0.0]), (1,), start=start)
    grid = np.linspace(-4, 4, 2001)
    density = np.exp(np.asarray(mixture.log_density(process, jnp.asarray(grid)[:, None], t)))
    density /= density.sum()
    mean = (grid * density).sum()
    variance = ((grid - mean) ** 2 * density).sum()
    assert abs(float(x.mean()) - mean) < 5 * np.sqrt(variance / n)
    # the step's own bias, ε/4v, is 2 %
    np.testing.assert_allclose(x.var(), variance, rtol=0.03 + 5 * np.sqrt(2 / n))
    right = float((np.asarray(x) > 0).mean())
    expected = density[grid > 0].sum()
    assert abs(right - expected) < 0.01 + 5 * np.sqrt(expected * (1 - expected) / n)


@pytest.mark.slow
def test_c0_4_c1_11_annealing_restores_mode_weights_where_langevin_loses_them():
    """From U[−8, 8]² Langevin dynamics ends with .50 to .52 at (5, 5), annealed from σ = 20 to 1 with .78 to .79.

    The seminar's figures: ε = .1, T = 1000; ten levels of T = 100 with ε_i = .1 σ_i²/σ_L². Infinitely many chains,
    whose density is carried from step to step, are within these bands, and the sampler's are within four standard
    errors of those: of its 1280 chains one is .011, too much to see half the steps, so here there are more.
    """
    mixture, sigmas = song_ermon_mixture(), np.geomspace(20, 1, 10)
    ladder = [(sigma, 0.1 * sigma**2) for sigma in sigmas]
    clean = expected_shares(mixture, [(0.02, 0.1)], 1000, 8.0, cell=0.05)[-1]
    restored, hasty = (expected_shares(mixture, ladder, steps, 8.0)[-1] for steps in (100, 50))
    assert 0.50 < clean < 0.52
    assert hasty < 0.78 < restored < 0.79

    process = edm(20.0)
    score = lambda x, t, cond: mixture.perturbed(process.alpha(t), process.sigma(t)).score(x)
    denoise = denoiser(process, score, predicts="score")
    levels = noise_grid(process, sigmas)
    assert len(levels) == 11
    last = np.array([1e-3, 0.0])  # sigma = .02: the data's own score
    for moves, times, n, expected in (
        (langevin(0.1, 1000), last, 20_000, clean),
        (annealed_langevin(0.1, 1.0, 100), levels, 40_000, restored),
    ):
        keys = jax.random.split(jax.random.key(0), n)
        start = jax.random.uniform(jax.random.key(1), (n, 2), minval=-8.0, maxval=8.0)
        x = sample(keys, process, denoise, moves, times, (2,), start=start)
        error = np.sqrt(expected * (1 - expected) / n)
        assert abs(float((np.asarray(x).sum(-1) > 0).mean()) - expected) < 4 * error
    # half the steps at each level would not pass
    assert restored - hasty > 6 * error


@pytest.mark.first_by_day
@pytest.mark.parametrize(
    ("sigma_min", "last"), [(0.01, 0.1), (0.1, 0.1), *(slow(sigma, sigma) for sigma in (0.7, 0.9, 0.013))]
)
def test_annealed_langevin_visits_each_level_of_ves_ladder_once(sigma_min, last):
    """T calls at each of five levels and one to denoise, whether the last is sigma_min of ve or above it."""
    process = ve(sigma_min, 50.0)
    grid = noise_grid(process, np.geomspace(8, last, 5))
    sampler = annealed_langevin(1e-3 * last**2, last, 3, final_denoising=True)
    assert network_calls(sampler, process, grid) == 16


@pytest.mark.slow
@only_by_day("rectified_flow", ["rectified_flow", "ve", "vp", "sub_vp"])
def test_annealed_langevin_samples_the_last_level_of_any_process(name):
    """Moments and mode weights of q at the noise σ/α = .1, by levels from far above the data; ve's ends at its own."""
    process, mixture, n = ve(0.1, 50.0) if name == "ve" else CONTINUOUS[name], Mixture(), 4000
    levels = noise_grid(process, np.geomspace(8, 0.1, 25))
    # ve's last level is the end of its time
    assert len(levels) == (25 if name == "ve" else 26)
    last = 0.0 if name == "ve" else float(levels[-2])
    keys = jax.random.split(jax.random.key(0), n)
    alpha, sigma = float(process.alpha(last)), float(process.sigma(last))
    # the means move with alpha from level to level, and the chain must follow
    steps = annealed_langevin(0.1 * sigma**2, sigma, 150)
    x = np.asarray(sample(keys, process, mixture.denoiser(process), steps, levels, (1,)))[:, 0] / alpha
    right = x > -0.2
    assert abs(right.mean() - 0.7) < 0.02 + 5 * np.sqrt(0.21 / n)
    for component, mean, std in ((x[right], 0.8, 0.2), (x[~right], -1.0, 0.3)):
        spread = np.hypot(std, sigma / alpha)
        assert abs(component.mean() - mean) < 0.01 + 4 * spread / np.sqrt(len(component))
        np.testing.assert_allclose(component.std(), spread, rtol=0.04 + 4 / np.sqrt(2 * len(component)))


@pytest.mark.slow
@only_by_day("ve", ["vp", "ve", "sub_vp"])
def test_the_papers_pair_keeps_the_law_of_wide_data(name):
    """Reverse diffusion and its corrector (Song et al. 2021, algorithms 2 and 3) on N(m, s² I) in 64 dimensions.

    Within the corrector's bias r² and the predictor's first-order error, which at 25 steps it more than halves.
    """
    process, d, r, n, t = CONTINUOUS[name], 64, 0.1, 500, 0.3
    keys, denoise = jax.random.split(jax.random.key(0), n), gaussian_denoiser(process, MEAN, STD)
    mean, v = marginal(process, t)
    noise_of_v = np.sqrt(2 / (n * d))

    def errors(steps, corrected):
        pair = predictor_corrector(reverse_diffusion(), langevin_corrector(r, steps=corrected, norms="batch"))
        x = sample(keys, process, denoise, pair, np.linspace(1, t, steps + 1), (d,))
        return abs(float(x.mean() - mean)) / np.sqrt(v), float(x.var() / v - 1)

    of_mean, of_variance = errors(400, 1)
    assert of_mean < 0.02 + 5 / np.sqrt(n * d)
    assert abs(of_variance) < 2 * r**2 + 5 * noise_of_v
    # fewer steps, more correction: what the predictor lost comes back
    alone, mended = abs(errors(25, 0)[1]), abs(errors(25, 20)[1])
    assert mended < max(0.5 * alone, 2 * r**2 + 5 * noise_of_v)
    assert alone > 2 * r**2 + 5 * noise_of_v


@pytest.mark.slow
def test_final_denoising_is_tweedies_step():
    """x + σ_L² score at the last level, and nothing before it."""
    process, mixture = edm(10.0), Mixture()
    keys, levels = jax.random.split(jax.random.key(0), 200), noise_grid(process, np.geomspace(10, 0.1, 8))
    draw = lambda moves: sample(keys, process, mixture.denoiser(process), moves, levels, (1,), trajectory=True)
    plain, final = jax.jit(lambda: [draw(annealed_langevin(1e-3, 0.1, 5, last)) for last in (False, True)])()
    np.testing.assert_array_equal(plain[:-1], final[:-1])
    gradient = jax.vmap(jax.grad(lambda x: mixture.log_density(process, x, 0.01)))(plain[-1])
    np.testing.assert_allclose(final[-1], plain[-1] + 0.1**2 * gradient, atol=1e-5)


@nightly("norms", ["sample", "batch"])
def test_corrector_steps_have_the_stated_signal_to_noise_ratio(norms):
    """ε/2 = 2 (r ‖z‖/‖score‖)², the step of Song et al. 2021, algorithms 4 and 5: the drift is r times the noise."""
    process, d, r, t = vp(), 64, 0.16, jnp.asarray(0.5)
    keys = jax.random.split(jax.random.key(0), 5)
    x = jax.random.normal(jax.random.key(1), (5, d)) * jnp.arange(1.0, 6)[:, None]
    denoise = gaussian_denoiser(process, 0.0, STD)
    after, _ = langevin_corrector(r, norms=norms).step(keys, process, denoise, t, t, x, None)
    gradient = -x / float(process.alpha(0.5) ** 2 * STD**2 + process.variance(0.5))
    z = noise(fold_in(keys, 0), (d,))
    z_norm, g_norm = (np.linalg.norm(v, axis=-1) for v in (z, gradient))
    if norms == "batch":
        z_norm, g_norm = z_norm.mean(), g_norm.mean()
    step = np.broadcast_to(2 * (r * z_norm / g_norm) ** 2, 5)[:, None]  # the paper's ε
    np.testing.assert_allclose(after, x + step * gradient + np.sqrt(2 * step) * z, rtol=1e-4, atol=1e-5)
    if norms == "sample":
        drift, noise_added = (np.linalg.norm(v, axis=-1) for v in (step * gradient, after - x - step * gradient))
        np.testing.assert_allclose(drift / noise_added, r, rtol=1e-3)


def test_corrector_brings_back_what_a_coarse_predictor_lost():
    """C0.5: at ten steps the predictor's law is off; with Langevin at each level it is less so."""
    with jax.enable_x64(True):
        process, times = vp(), uniform_grid(10)
        denoise = gaussian_denoiser(process, MEAN, STD)
        exact = float(marginal(process, jnp.float64(times[-2]))[1])
        alone, corrected = (
            abs(float(law(sampler, process, denoise, times[:-1], 0.0, 1.0)[1]) - exact)
            for sampler in (ddim(), predictor_corrector(ddim(), langevin(0.05)))
        )
        assert corrected < 0.8 * alone


@pytest.mark.first_by_day
@pytest.mark.parametrize(("norms", "bias"), [("sample", 4), ("batch", 0)])
def test_corrector_settles_at_its_stated_bias(norms, bias):
    """u = ‖x − m‖²/dv and w = ‖z‖²/d: E Δu = 4r² (E[w²]/u − E[w]) + 4r⁴ = 0 at E u = 1 + r² + E w² − 1 + Var u."""
    process, d, r, n, t = vp(), 64, 0.1, 1000, 0.5
    keys = jax.random.split(jax.random.key(0), n)
    v = float(process.alpha(t) ** 2 * STD**2 + process.variance(t))
    start = np.sqrt(v) * jax.random.normal(jax.random.key(1), (n, d))
    corrector, denoise = langevin_corrector(r, steps=150, norms=norms), gaussian_denoiser(process, 0.0, STD)
    x = sample(keys, process, denoise, corrector, np.array([t, t - 1e-3]), (d,), start=start)
    # four standard errors and the next order of 1/d and r²
    np.testing.assert_allclose(x.var() / v, 1 + r**2 + bias / d, atol=4 * np.sqrt(2 / (n * d)) + (bias / d) ** 2)


def test_refusals(unchecked):
    refuses(
        ("positive", lambda: langevin(0.0)),
        ("steps must be at least 0, got -1", lambda: langevin(0.1, steps=-1)),
        ("noise_scale", lambda: langevin(0.1, noise_scale=-1.0)),
        ("positive", lambda: annealed_langevin(0.1, 0.0, 10)),
        ("steps must be at least 1, got 0", lambda: annealed_langevin(0.1, 1.0, 0)),
        ("snr", lambda: langevin_corrector(-0.1)),
        ("choose sample or batch", lambda: langevin_corrector(norms="mean")),
    )
