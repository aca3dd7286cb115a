"""Samplers agree where theory says so."""

from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracles import CONTINUOUS, DISCRETE, PROCESSES, Mixture, siblings_slow

from jaxgen.diffusion import (
    Prediction,
    edm,
    posterior_coefficients,
    score,
    subset_grid,
    transition,
    uniform_grid,
    ve,
    vp,
)
from jaxgen.samplers import (
    Sampler,
    annealed_langevin,
    ddim,
    ddpm,
    dpmpp_1,
    dpmpp_2m,
    dpmpp_2m_sde,
    euler,
    euler_maruyama,
    fold_in,
    heun,
    langevin,
    langevin_corrector,
    noise,
    predictor_corrector,
    reverse_diffusion,
    sample,
)

KEYS = jax.random.split(jax.random.key(0), 50)


def run(sampler, process, times):
    return sample(KEYS, process, Mixture().denoiser(process), sampler, times, (1,), trajectory=True)


def grid(process, n=20):
    return uniform_grid(n) if process.steps is None else subset_grid(process.steps, n)


def assert_same(a, b, process, times):
    """Within round-off on the scale of the noise, at every step."""
    scale = np.maximum(1, float(process.prior_std))
    np.testing.assert_allclose(run(a, process, times), run(b, process, times), atol=2e-5 * scale)


@pytest.mark.parametrize("name", siblings_slow(PROCESSES))
def test_dpm_solver_1_is_ddim(name):
    process = PROCESSES[name]
    assert_same(dpmpp_1(), ddim(), process, grid(process))


@pytest.mark.parametrize("name", siblings_slow(PROCESSES))
def test_ddim_with_eta_1_is_ddpm(name):
    process = PROCESSES[name]
    assert_same(ddim(1.0), ddpm("fixed_small"), process, grid(process))


@pytest.mark.parametrize("name", siblings_slow(CONTINUOUS))
def test_euler_maruyama_of_strength_0_is_euler(name):
    process = CONTINUOUS[name]
    times = uniform_grid(20)[:-1]
    np.testing.assert_array_equal(run(euler_maruyama(0.0), process, times), run(euler(), process, times))
    # and the limit is approached, not only reached
    exact = run(euler(), process, times[1:])
    gaps = [float(jnp.abs(run(euler_maruyama(eta), process, times[1:]) - exact).max()) for eta in (0.01, 0.02)]
    assert 1.8 < gaps[1] / gaps[0] < 2.2


@pytest.mark.parametrize("name", ["edm", "rectified_flow"])
def test_euler_is_ddim_where_both_are_linear_in_time(name):
    """alpha and sigma linear in t: Euler in t moves x as DDIM does, which is Euler in sigma."""
    process = CONTINUOUS[name]
    assert_same(euler(), ddim(), process, uniform_grid(20))


@pytest.mark.parametrize("name", ["vp", "cosine", "sub_vp", "linear"])
def test_ddim_is_euler_in_sigma_over_alpha(name):
    """x/alpha moves by ε̂ times the change of sigma/alpha (Song et al. 2021 (DDIM), eq. 14)."""
    process = PROCESSES[name]
    t, s = (0.8, 0.6) if process.steps is None else (800 / 1000, 600 / 1000)
    x = jnp.linspace(-2, 2, 9)[:, None]
    keys, denoise = jax.random.split(jax.random.key(0), 9), Mixture().denoiser(process)
    ratio = lambda t: process.sigma(t) / process.alpha(t)
    expected = x / process.alpha(t) + (ratio(s) - ratio(t)) * denoise(x, t).eps
    found = sample(keys, process, denoise, ddim(), np.array([t, s]), (1,), start=x) / process.alpha(s)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


CORRECTORS = {"langevin": langevin(0.1, steps=0), "langevin_corrector": langevin_corrector(steps=0)}


@pytest.mark.parametrize("name", siblings_slow(PROCESSES))
@pytest.mark.parametrize("corrector", CORRECTORS)
def test_predictor_corrector_without_corrector_steps_is_the_predictor(name, corrector):
    process = PROCESSES[name]
    predictors = [ddpm(), dpmpp_2m()]
    if process.steps is None:
        predictors.append(euler_maruyama())
    for predictor in predictors:
        both = predictor_corrector(predictor, CORRECTORS[corrector])
        assert_same(both, predictor, process, grid(process))


def test_c0_5_the_corrector_alone_is_annealed_langevin():
    """With a predictor that only hands over, what is left is Langevin at each level in turn."""
    process, times = edm(10.0), np.geomspace(1, 0.01, 6)
    stay = Sampler(lambda key, process, denoise, t, s, x, carry: (x, carry))
    start = jax.random.normal(jax.random.key(1), (50, 1)) * 10
    denoise = Mixture().denoiser(process)
    # ε_i = r σ_i² at every level
    annealed = annealed_langevin(0.1 * 0.1**2, 0.1, steps=1)
    alone = predictor_corrector(stay, annealed)
    path = sample(KEYS, process, denoise, alone, times, (1,), start=start, trajectory=True)
    x = start
    for i, level in enumerate(times[1:], start=1):
        # the corrector's keys: of the step, of the corrector, of its first move
        keys = fold_in(fold_in(fold_in(KEYS, i), 1), 0)
        epsilon = 0.1 * float(process.sigma(level)) ** 2
        gradient = score(process, denoise(x, level), level)
        x = x + epsilon / 2 * gradient + np.sqrt(epsilon) * noise(keys, (1,))
        np.testing.assert_allclose(path[i], x, atol=1e-4)


def test_correctors_of_a_nest_have_noise_of_their_own():
    """A pair as the predictor of a pair: the state after both correctors holds two independent draws."""
    still = Sampler(lambda key, process, denoise, t, s, x, carry: (x, carry))
    adds = Sampler(lambda key, process, denoise, t, s, x, carry: (x + noise(key, x.shape[1:]), carry))
    pair = predictor_corrector(still, adds)
    wrapped = Sampler(lambda *arguments: pair.step(*arguments), pair.init)
    for nest in (
        predictor_corrector(predictor_corrector(still, adds), adds),
        predictor_corrector(still, predictor_corrector(adds, adds)),
        predictor_corrector(wrapped, adds),
    ):
        keys = jax.random.split(jax.random.key(0), 5000)
        after = sample(
            keys, vp(), Mixture().denoiser(vp()), nest, np.array([0.5, 0.4]), (1,), start=jnp.zeros((5000, 1))
        )
        np.testing.assert_allclose(after.var(), 2, rtol=5 * np.sqrt(2 / 5000))


@pytest.mark.parametrize("name", siblings_slow(PROCESSES))
def test_churn_outside_its_range_is_none(name):
    process = PROCESSES[name]
    times = grid(process)
    np.testing.assert_array_equal(
        run(heun(churn=0.4, churn_range=(1e6, 1e7)), process, times), run(heun(), process, times)
    )


def test_heun_to_clean_data_ends_in_a_ddim_step():
    process = vp()
    times = np.array([0.2, 0.0])
    start = jax.random.normal(jax.random.key(1), (50, 1))
    denoise = Mixture().denoiser(process)
    np.testing.assert_array_equal(
        *(sample(KEYS, process, denoise, sampler, times, (1,), start=start) for sampler in (heun(), ddim()))
    )


def test_heun_is_edms_algorithm_1():
    """At alpha = 1 and sigma = t, line by line (Karras et al. 2022, algorithm 1)."""
    process, times = edm(10.0), np.array([1.0, 0.6, 0.3, 0.05, 0.0])
    denoise = Mixture().denoiser(process)
    x = start = 10 * jax.random.normal(jax.random.key(1), (50, 1))
    for t, s in pairwise(times):
        sigma, next_sigma = 10 * t, 10 * s
        d = (x - denoise(x, t).x0) / sigma
        ahead = x + (next_sigma - sigma) * d
        if next_sigma > 0:
            d_next = (ahead - denoise(ahead, s).x0) / next_sigma
            ahead = x + (next_sigma - sigma) * (d / 2 + d_next / 2)
        x = ahead
    np.testing.assert_allclose(sample(KEYS, process, denoise, heun(), times, (1,), start=start), x, atol=2e-5)


@pytest.mark.parametrize(("multi", "single"), [(dpmpp_2m, ddim), (dpmpp_2m_sde, lambda: ddim(1.0))])
def test_multistep_without_history_or_change_is_of_first_order(multi, single):
    """A first step of 2M is DDIM's, of 2M-SDE DDIM's at η = 1; and every step where x̂0 does not change."""
    process, datum = vp(), 0.3
    start = jax.random.normal(jax.random.key(1), (50, 1))

    def known(x, t, cond=None):
        return Prediction(jnp.full_like(x, datum), (x - datum * process.alpha(t)) / process.sigma(t))

    for denoise, times in ((Mixture().denoiser(process), np.array([0.9, 0.8])), (known, uniform_grid(9))):
        found = [sample(KEYS, process, denoise, s(), times, (1,), start=start) for s in (multi, single)]
        np.testing.assert_allclose(*found, atol=1e-5)


def predictor_step(sampler, process, t, s):
    """The mean of one step, and the standard deviation it adds, at nine states."""
    x = jnp.linspace(-2, 2, 9)[:, None]
    keys = jax.random.split(jax.random.key(3), 9)
    with_noise, _ = sampler.step(keys, process, Mixture().denoiser(process), jnp.asarray(t), jnp.asarray(s), x, None)
    return x, with_noise, noise(keys, (1,))


@pytest.mark.parametrize("t", [1.0, 0.6])
def test_predictors_of_ve_are_the_papers(t):
    """Song et al. 2021: reverse diffusion (algorithm 2) and ancestral sampling (eq. 47) of SMLD."""
    process, s = ve(0.01, 50.0), t - 0.05
    variance_t, variance_s = (0.01 * 5000**t) ** 2, (0.01 * 5000**s) ** 2
    x, found, z = predictor_step(reverse_diffusion(), process, t, s)
    gradient = score(process, Mixture().denoiser(process)(x, t), t)
    mean, step = x + (variance_t - variance_s) * gradient, variance_t - variance_s
    np.testing.assert_allclose(found, mean + np.sqrt(step) * z, rtol=1e-4, atol=1e-3)
    x, found, z = predictor_step(ddpm("fixed_small"), process, t, s)
    np.testing.assert_allclose(found, mean + np.sqrt(variance_s * step / variance_t) * z, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("i", [999, 500, 1])
def test_predictors_of_vp_are_the_papers(i):
    """Song et al. 2021: reverse diffusion (algorithm 3) and ancestral sampling (eq. 4) of DDPM, on its own table."""
    process, beta = DISCRETE["linear"], np.linspace(1e-4, 0.02, 1000)[i]
    t, s = (i + 1) / 1000, i / 1000
    x, found, z = predictor_step(reverse_diffusion(), process, t, s)
    gradient = score(process, Mixture().denoiser(process)(x, t), t)
    np.testing.assert_allclose(
        found, (2 - np.sqrt(1 - beta)) * x + beta * gradient + np.sqrt(beta) * z, rtol=1e-4, atol=1e-4
    )
    x, found, z = predictor_step(ddpm("fixed_large"), process, t, s)
    np.testing.assert_allclose(
        found, (x + beta * gradient) / np.sqrt(1 - beta) + np.sqrt(beta) * z, rtol=1e-4, atol=1e-4
    )


@pytest.mark.parametrize("name", siblings_slow(CONTINUOUS))
def test_predictors_agree_on_a_short_step(name):
    """Euler–Maruyama, reverse diffusion and ancestral steps are one SDE's, so they differ by O((t − s)^1.5)."""
    process, t = CONTINUOUS[name], 0.5

    def gap(h):
        _, first, _ = predictor_step(euler_maruyama(), process, t, t - h)
        others = [
            predictor_step(sampler, process, t, t - h)[1] for sampler in (reverse_diffusion(), ddpm("fixed_small"))
        ]
        return max(float(jnp.abs(first - other).max()) for other in others)

    with jax.enable_x64(True):
        order = np.log2(gap(2e-4) / gap(1e-4))
    assert order > 1.4


def test_variance_of_2m_sde_is_the_posteriors():
    process = vp()
    x = jnp.zeros((50, 1))
    after, _ = dpmpp_2m_sde().step(
        KEYS, process, lambda x, t: Prediction(x, x), jnp.asarray(0.6), jnp.asarray(0.5), x, dpmpp_2m_sde().init(x)
    )
    expected = transition(process, 0.5, 0.6).variance * process.variance(0.5) / process.variance(0.6)
    np.testing.assert_allclose(after / noise(KEYS, (1,)), np.sqrt(expected), rtol=1e-4)
    assert float(posterior_coefficients(process, 0.5, 0.6).variance) == pytest.approx(float(expected), rel=1e-5)
