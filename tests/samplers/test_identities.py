"""Samplers agree where theory says so."""

from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracles import CONTINUOUS, DISCRETE, PROCESSES, Mixture, nightly

from jaxgen.core import fold_in, noise
from jaxgen.diffusion import (
    Prediction,
    edm,
    noise_grid,
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
    heun,
    langevin,
    langevin_corrector,
    predictor_corrector,
    reverse_diffusion,
    sample,
)

KEYS = jax.random.split(jax.random.key(0), 50)
START = jnp.asarray(np.random.default_rng(1).normal(size=(50, 1)), jnp.float32)
STAY = Sampler(lambda key, process, denoise, t, s, x, carry: (x, carry))


def draw(sampler, process, times, **options):
    return sample(KEYS, process, Mixture().denoiser(process), sampler, times, (1,), **options)


@nightly("name", PROCESSES)
def test_samplers_that_are_one_agree_at_every_step(name):
    """DPM-Solver++(1) is DDIM, DDIM of η = 1 is DDPM, a pair without corrector steps its predictor; churn has a range.

    Within round-off on the scale of the noise.
    """
    process = PROCESSES[name]
    times = uniform_grid(20) if process.steps is None else subset_grid(process.steps, 20)
    predictors = {"ddpm": ddpm(), "dpmpp_2m": dpmpp_2m()}
    if process.steps is None:
        predictors["euler_maruyama"] = euler_maruyama()
    samplers = predictors | {"ddim": ddim(), "dpmpp_1": dpmpp_1(), "ddim_1": ddim(1.0), "heun": heun()}
    samplers["heun_outside"] = heun(churn=0.4, churn_range=(1e6, 1e7))
    pairs = [("dpmpp_1", "ddim"), ("ddim_1", "ddpm")]
    for predictor, sampler in predictors.items():
        alone = f"{predictor} with the predictor's key"
        samplers[alone] = Sampler(lambda key, *rest, step=sampler.step: step(fold_in(key, 0), *rest), sampler.init)
        for corrector in (langevin(0.1, steps=0), langevin_corrector(steps=0)):
            pairs.append((f"{predictor} {len(pairs)}", alone))
            samplers[pairs[-1][0]] = predictor_corrector(sampler, corrector)
    paths = jax.jit(lambda: {k: draw(s, process, times, trajectory=True) for k, s in samplers.items()})()
    for one, other in pairs:
        atol = 2e-5 * max(1, float(process.prior_std))
        np.testing.assert_allclose(paths[one], paths[other], atol=atol, err_msg=f"{one} {other}")
    np.testing.assert_array_equal(paths["heun_outside"], paths["heun"])


@nightly("name", CONTINUOUS)
def test_euler_maruyama_of_eta_0_is_euler_and_euler_is_ddim_on_straight_lines(name):
    """alpha and sigma linear in t (edm, rectified flow): Euler in t moves x as DDIM does, which is Euler in sigma."""
    process, times = CONTINUOUS[name], uniform_grid(20)[:-1]
    etas = {"exact": euler(), 0.0: euler_maruyama(0.0), 0.01: euler_maruyama(0.01), 0.02: euler_maruyama(0.02)}
    paths = jax.jit(lambda: [draw(s, process, times[1:], trajectory=True) for s in etas.values()])()
    np.testing.assert_array_equal(paths[1], paths[0])
    # and the limit is approached, not only reached
    gaps = [float(jnp.abs(path - paths[0]).max()) for path in paths[2:]]
    assert 1.8 < gaps[1] / gaps[0] < 2.2
    if name in ("edm", "rectified_flow"):
        paths = [draw(s, process, uniform_grid(20), trajectory=True) for s in (euler(), ddim())]
        np.testing.assert_allclose(*paths, atol=2e-5 * max(1, float(process.prior_std)))


@nightly("name", ["vp", "linear", "cosine", "sub_vp"])
def test_ddim_is_euler_in_sigma_over_alpha(name):
    """x/alpha moves by ε̂ times the change of sigma/alpha (Song et al. 2021 (DDIM), eq. 14)."""
    process, t, s = PROCESSES[name], 0.8, 0.6
    ratio = lambda t: process.sigma(t) / process.alpha(t)
    expected = START / process.alpha(t) + (ratio(s) - ratio(t)) * Mixture().denoiser(process)(START, t).eps
    found = draw(ddim(), process, np.array([t, s]), start=START) / process.alpha(s)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_c0_5_the_corrector_alone_is_annealed_langevin():
    """With a predictor that only hands over, what is left is Langevin at each level in turn."""
    process, times, start = edm(10.0), np.geomspace(1, 0.01, 6), 10 * START
    denoise = Mixture().denoiser(process)
    # ε_i = r σ_i² at every level
    alone = predictor_corrector(STAY, annealed_langevin(0.1 * 0.1**2, 0.1, steps=1))
    path = draw(alone, process, times, start=start, trajectory=True)
    x = start
    for i, level in enumerate(times[1:], start=1):
        # the corrector's keys: of the step, of the corrector, of its first move
        keys = fold_in(fold_in(fold_in(KEYS, i), 1), 0)
        epsilon = 0.1 * float(process.sigma(level)) ** 2
        gradient = score(process, denoise(x, level), level)
        x = x + epsilon / 2 * gradient + np.sqrt(epsilon) * noise(keys, (1,))
        np.testing.assert_allclose(path[i], x, atol=1e-4)


def test_correctors_of_a_nest_have_noise_of_their_own():
    """A pair as the predictor of a pair: the state after all correctors holds independent draws."""
    adds = Sampler(lambda key, process, denoise, t, s, x, carry: (x + noise(key, x.shape[1:]), carry))
    pair = predictor_corrector(STAY, adds)

    def counted(key, process, denoise, t, s, x, carry):
        x, inner = pair.step(key, process, denoise, t, s, x, carry[0])
        return x, (inner, carry[1] + 1)

    wrapped = Sampler(counted, lambda x: (pair.init(x), 0))
    keys, start = jax.random.split(jax.random.key(0), 5000), jnp.zeros((5000, 1))
    for draws, nest in (
        (2, predictor_corrector(pair, adds)),
        (3, predictor_corrector(predictor_corrector(pair, adds), adds)),
        (2, predictor_corrector(STAY, predictor_corrector(adds, adds))),
        (2, predictor_corrector(wrapped, adds)),
    ):
        after = sample(keys, vp(), Mixture().denoiser(vp()), nest, np.array([0.5, 0.4]), (1,), start=start)
        np.testing.assert_allclose(after.var(), draws, rtol=5 * np.sqrt(2 / 5000))


def test_heun_to_clean_data_ends_in_a_ddim_step():
    found = (draw(sampler, vp(), np.array([0.2, 0.0]), start=START) for sampler in (heun(), ddim()))
    np.testing.assert_array_equal(*found)


def edm_sampler(x, sigmas, churn=0.0):
    """Karras et al. 2022, algorithms 1 and 2, line by line, with the noise of the driver's keys."""
    process = edm(1000.0)
    denoise = lambda x, sigma: Mixture().denoiser(process)(x, sigma / 1000.0).x0
    for i, (sigma, sigma_next) in enumerate(pairwise(sigmas), start=1):
        raised = sigma * (1 + churn)
        x = x + np.sqrt(raised**2 - sigma**2) * noise(fold_in(KEYS, i), (1,))
        d_cur = (x - denoise(x, raised)) / raised
        ahead = x + (sigma_next - raised) * d_cur
        if sigma_next > 0:
            d_prime = (ahead - denoise(ahead, sigma_next)) / sigma_next
            ahead = x + (sigma_next - raised) * (d_cur / 2 + d_prime / 2)
        x = ahead
    return x


def test_heun_is_edms_sampler():
    """Without churn on any process with alpha = 1; with churn where the process goes on above the first noise level."""
    sigmas, churn = np.array([10.0, 6.0, 3.0, 0.5, 0.0]), 0.3
    found = draw(heun(), edm(10.0), sigmas / 10, start=10 * START)
    np.testing.assert_allclose(found, edm_sampler(10 * START, sigmas), atol=2e-5)
    longer = edm(10.0 * (1 + churn))
    times = noise_grid(longer, sigmas[:-1])
    assert len(times) == 5
    expected = edm_sampler(10 * START, sigmas, churn)
    np.testing.assert_allclose(draw(heun(churn), longer, times, start=10 * START), expected, atol=1e-4)


def test_churn_raises_the_noise_no_further_than_the_process_goes():
    """From t = 1 there is none; from just below it goes to t = 1; from lower, to a level 1 + γ times as high."""
    process, levels = edm(10.0), []

    def denoise(x, t, cond=None):
        levels.append(float(process.sigma(t)))
        return Mixture().denoiser(process)(x, t)

    for first, raised in ((1.0, 10.0), (0.9, 10.0), (0.5, 6.5)):
        levels.clear()
        with jax.disable_jit():
            after, _ = heun(churn=0.3).step(
                KEYS, process, denoise, jnp.float32(first), jnp.float32(0.2), 10 * START, None
            )
        np.testing.assert_allclose(levels, [raised, 2.0], rtol=1e-5)
        if first == 1:
            exact = Mixture().denoiser(process)
            plain, _ = heun().step(KEYS, process, exact, jnp.float32(1.0), jnp.float32(0.2), 10 * START, None)
            np.testing.assert_allclose(after, plain, rtol=1e-5)


@nightly(("multi", "single"), [(dpmpp_2m, ddim), (dpmpp_2m_sde, lambda: ddim(1.0))])
def test_multistep_without_history_or_change_is_of_first_order(multi, single):
    """A first step of 2M is DDIM's, of 2M-SDE DDIM's at η = 1; and every step where x̂0 does not change."""
    process, datum = vp(), 0.3

    def known(x, t, cond=None):
        return Prediction(jnp.full_like(x, datum), (x - datum * process.alpha(t)) / process.sigma(t))

    for denoise, times in ((Mixture().denoiser(process), np.array([0.9, 0.8])), (known, uniform_grid(9))):
        found = [sample(KEYS, process, denoise, s(), times, (1,), start=START) for s in (multi, single)]
        np.testing.assert_allclose(*found, atol=1e-5)


def predictor_step(sampler, process, t, s):
    """One step from nine states, and its noise."""
    x, keys = jnp.linspace(-2, 2, 9)[:, None], jax.random.split(jax.random.key(3), 9)
    after, _ = sampler.step(keys, process, Mixture().denoiser(process), jnp.asarray(t), jnp.asarray(s), x, None)
    return x, after, noise(keys, (1,))


@pytest.mark.first_by_day
@pytest.mark.parametrize("t", [1.0, 0.6])
def test_predictors_of_ve_are_the_papers(t):
    """Song et al. 2021: reverse diffusion (algorithm 2) and ancestral sampling (eq. 47) of SMLD."""
    process, s = ve(0.01, 50.0), t - 0.05
    variance_t, variance_s = (0.01 * 5000**t) ** 2, (0.01 * 5000**s) ** 2
    step = variance_t - variance_s
    for sampler, variance in ((reverse_diffusion(), step), (ddpm("fixed_small"), variance_s * step / variance_t)):
        x, found, z = predictor_step(sampler, process, t, s)
        mean = x + step * score(process, Mixture().denoiser(process)(x, t), t)
        np.testing.assert_allclose(found, mean + np.sqrt(variance) * z, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("i", [999, 500, 1])
def test_predictors_of_vp_are_the_papers(i):
    """Song et al. 2021: reverse diffusion (algorithm 3) and ancestral sampling (eq. 4) of DDPM, on its own table."""
    process, beta = DISCRETE["linear"], np.linspace(1e-4, 0.02, 1000)[i]
    t, s = (i + 1) / 1000, i / 1000
    x, found, z = predictor_step(reverse_diffusion(), process, t, s)
    gradient = score(process, Mixture().denoiser(process)(x, t), t)
    expected = (2 - np.sqrt(1 - beta)) * x + beta * gradient + np.sqrt(beta) * z
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)
    x, found, z = predictor_step(ddpm("fixed_large"), process, t, s)
    expected = (x + beta * gradient) / np.sqrt(1 - beta) + np.sqrt(beta) * z
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


@nightly("name", CONTINUOUS)
def test_predictors_agree_on_a_short_step(name):
    """Euler–Maruyama, reverse diffusion and ancestral steps are one SDE's, so they differ by O((t − s)^1.5)."""
    process, t = CONTINUOUS[name], 0.5

    def gap(h):
        samplers = (euler_maruyama(), reverse_diffusion(), ddpm("fixed_small"))
        first, *others = (predictor_step(sampler, process, t, t - h)[1] for sampler in samplers)
        return max(float(jnp.abs(first - other).max()) for other in others)

    with jax.enable_x64(True):
        assert np.log2(gap(2e-4) / gap(1e-4)) > 1.4


def test_variance_of_2m_sde_is_the_posteriors():
    process, sampler, x = vp(), dpmpp_2m_sde(), jnp.zeros((50, 1))
    times = jnp.asarray(0.6), jnp.asarray(0.5)
    after, _ = sampler.step(KEYS, process, lambda x, t: Prediction(x, x), *times, x, sampler.init(x))
    expected = transition(process, 0.5, 0.6).variance * process.variance(0.5) / process.variance(0.6)
    np.testing.assert_allclose(after / noise(KEYS, (1,)), np.sqrt(expected), rtol=1e-4)
    assert float(posterior_coefficients(process, 0.5, 0.6).variance) == pytest.approx(float(expected), rel=1e-5)
