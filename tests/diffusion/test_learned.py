"""Processes given by γ(t): their formulas in float64, the learned one's promises, and what starts at a noisy t = 0."""

from functools import partial

import diffrax
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from affine_law import law
from every_sampler import ANY, CONTINUOUS_ONLY
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import gaussian_denoiser, nightly, slow
from refusals import refuses
from scipy.stats import norm

from jaxgen.core import PytreeDataclass
from jaxgen.diffusion import (
    GammaProcess,
    LearnedSchedule,
    karras_grid,
    learned_schedule,
    linear_log_snr,
    log_likelihood,
    log_snr_grid,
    noise_grid,
    posterior,
    probability_flow,
    sde_coefficients,
    transition,
    uniform_grid,
    value_and_derivative,
)
from jaxgen.samplers import sample_ode

MEAN, STD = 0.4, 0.5


class Quadratic(GammaProcess):
    """A schedule of one's own, as in the docstring of GammaProcess."""

    def gamma(self, t):
        return 5 - 18 * (1 - t) ** 2


def scattered(key, features=24, gamma_min=-7.0, gamma_max=4.0, scale=1.0):
    """A learned process whose parameters are all far from their first values, but for the ends."""
    process = learned_schedule(key, gamma_min, gamma_max, features)
    leaves, tree = jax.tree.flatten(process.shape)
    keys = jax.random.split(key, len(leaves))
    moved = [leaf + scale * jax.random.normal(k, leaf.shape, leaf.dtype) for k, leaf in zip(keys, leaves, strict=True)]
    return process.replace(shape=jax.tree.unflatten(tree, moved))


drawn = jax.jit(scattered, static_argnums=(1, 2, 3))
PROCESSES = {
    "quadratic": Quadratic(),
    "linear_log_snr": linear_log_snr(-9.0, 6.0),
    "learned": jax.jit(scattered)(jax.random.key(0)),
}
every_process = pytest.mark.parametrize("name", ["learned", "linear_log_snr", slow("quadratic")])


@jax.jit
def gamma_of(process, t):
    return process.gamma(t)


class Constant(GammaProcess):
    value: jax.Array

    def gamma(self, t):
        return self.value + 0 * t


def test_alpha_and_sigma_keep_their_digits_at_any_gamma():
    gamma = np.linspace(-40, 40, 161).astype(np.float32)
    process, exact = Constant(jnp.asarray(gamma)), gamma.astype(np.float64)
    t = jnp.zeros(161)
    np.testing.assert_allclose(process.variance(t), 1 / (1 + np.exp(-exact)), rtol=3e-7)
    np.testing.assert_allclose(process.sigma(t), np.sqrt(1 / (1 + np.exp(-exact))), rtol=3e-7)
    np.testing.assert_allclose(process.log_alpha(t), -0.5 * np.log1p(np.exp(exact)), rtol=3e-7)
    np.testing.assert_allclose(process.alpha(t), np.sqrt(1 / (1 + np.exp(exact))), rtol=2e-6)
    np.testing.assert_array_equal(process.log_snr(t), -gamma)


@jax.jit
def functions(process, t):
    gamma, slope = value_and_derivative(process, process.gamma, t)
    log_snr = process.log_snr(t)
    return gamma, slope, process.alpha(t), process.sigma(t), log_snr, process.time_at_log_snr(log_snr)


@pytest.mark.first_by_day
@every_process
def test_formulas(name):
    """alpha² + sigma² = 1, λ = log alpha²/sigma², f = −½ sigma² γ', g² = sigma² γ', and the inverse of λ."""
    process, t = PROCESSES[name], np.linspace(0, 1, 41)
    gamma, slope, alpha, sigma, log_snr, inverse = map(np.float64, functions(process, t))
    np.testing.assert_allclose(alpha**2 + sigma**2, 1, rtol=1e-6)
    np.testing.assert_allclose(log_snr, 2 * np.log(alpha / sigma), atol=5e-6)
    np.testing.assert_allclose(log_snr, -gamma, atol=5e-6)
    assert np.all(np.diff(log_snr) < 0)
    inside = slice(1, -1)
    # ten digits of λ are seven of t where γ is steep, and fewer where it is flat
    assert np.all(np.abs(inverse - t)[inside] < 1e-6 + 3e-6 / slope[inside])
    beyond = process.time_at_log_snr(np.array([np.inf, 1e4, -1e4, -np.inf]))
    np.testing.assert_array_equal(beyond, [0, 0, 1, 1])
    found = jax.jit(sde_coefficients)(process, t[inside])
    np.testing.assert_allclose(found.drift, (-0.5 * sigma**2 * slope)[inside], rtol=1e-5)
    np.testing.assert_allclose(found.diffusion_squared, (sigma**2 * slope)[inside], rtol=1e-4)


def test_a_schedule_of_ones_own_takes_any_time():
    for t in (0.25, jnp.asarray(0.25, jnp.bfloat16), np.array([0.25, 1.0])):
        gamma = 5 - 18 * (1 - np.float64(t)) ** 2
        np.testing.assert_allclose(Quadratic().variance(t), 1 / (1 + np.exp(-gamma)), rtol=1e-6)
        assert Quadratic().sigma(t).dtype == jnp.float32


# -- the learned schedule ------------------------------------------------------------------------------------------


def softplus(x):
    return np.logaddexp(0, np.float64(x))


def paper_shape(process, t):
    """γ̃ of Kingma et al. 2021, appendix H, at one time in float64."""
    net = process.shape
    h = softplus(net.l1) * t
    hidden = 1 / (1 + np.exp(-(softplus(net.l2) * h + np.float64(net.biases))))
    return h + np.dot(softplus(net.l3), hidden) / len(hidden)


def paper_gamma(process, t):
    """γ of the same appendix, one time after another in float64."""
    first, last = paper_shape(process, 0), paper_shape(process, 1)
    fraction = np.array([(paper_shape(process, u) - first) / (last - first) for u in t])
    return np.float64(process.gamma_min) + softplus(process.width) * fraction


@pytest.mark.parametrize("process", [PROCESSES["learned"], slow(jax.jit(learned_schedule)(jax.random.key(3)))])
def test_gamma_is_the_papers(process):
    t = np.linspace(0, 1, 33)
    np.testing.assert_allclose(process.gamma(t), paper_gamma(process, t), atol=2e-5)
    step = 1e-5
    inside = t[1:-1]
    difference = (paper_gamma(process, inside + step) - paper_gamma(process, inside - step)) / (2 * step)
    np.testing.assert_allclose(value_and_derivative(process, process.gamma, inside)[1], difference, rtol=1e-4)


@settings(deadline=None, max_examples=12)
@given(
    seed=st.integers(0, 2**31),
    features=st.sampled_from([1, 40]),
    scale=st.floats(0.0, 4.0),
    width=st.floats(-6.0, 60.0),
)
def test_gamma_rises_between_its_ends_whatever_the_parameters(seed, features, scale, width):
    process = drawn(jax.random.key(seed), features, -7.0, 4.0, scale).replace(width=jnp.asarray(width))
    gamma = np.asarray(gamma_of(process, jnp.linspace(0, 1, 201)))
    assert process.gamma_max > process.gamma_min
    rounding = 4e-6 * (10 + softplus(width))
    assert np.all(np.diff(gamma) >= -rounding)
    # compiled with other times, the ends keep the rounding of γ̃, which counts for more the less it rises
    first, last = paper_shape(process, 0), paper_shape(process, 1)
    of_shape = 1e-6 * last / (last - first) * softplus(width)
    np.testing.assert_allclose(gamma[[0, -1]], [-7.0, -7.0 + softplus(width)], rtol=1e-5, atol=2e-6 + of_shape)
    assert process.gamma(0.0) == -7
    np.testing.assert_allclose(process.gamma(1.0), -7.0 + softplus(width), rtol=1e-6, atol=1e-6)
    # the straight part of γ̃ lets no stretch be flat
    least = (
        softplus(width) * softplus(process.shape.l1) / (softplus(process.shape.l1) + softplus(process.shape.l3).mean())
    )
    assert np.all(gamma[20:] - gamma[:-20] >= 0.0999 * least - rounding)


@pytest.mark.first_by_day
@pytest.mark.parametrize(("features", "share"), [(1, 0.1), slow(2, 0.1), slow(5, 0.1), slow(12, 0.1), (1024, 0.01)])
def test_it_starts_near_a_straight_line(features, share):
    """Nearer with more features; the ends are exact."""
    t, keys = jnp.linspace(0, 1, 101), jax.random.split(jax.random.key(0), 500 if features < 1000 else 3)
    gamma = jax.jit(jax.vmap(lambda key: learned_schedule(key, features=features).gamma(t)))(keys)
    assert np.abs(gamma - linear_log_snr().gamma(t)).max() <= share * 18.3
    np.testing.assert_allclose(gamma[:, [0, -1]], [[-13.3, 5.0]] * len(keys), rtol=1e-5)


@pytest.mark.slow
def test_ends_do_not_move_with_the_shape_nor_the_shape_with_the_ends():
    process, t = PROCESSES["learned"], np.linspace(0, 1, 11)
    moved = process.replace(gamma_min=jnp.asarray(-3.0), width=jnp.asarray(2.0))
    fraction = (process.gamma(t) + 7) / 11
    np.testing.assert_allclose(moved.gamma(t), -3 + softplus(2.0) * fraction, rtol=1e-5)

    def ends(shape):
        gamma = process.replace(shape=shape).gamma(jnp.array([0.0, 1.0]))
        return gamma @ jnp.array([1.0, 2.0])

    for leaf in jax.tree.leaves(jax.grad(ends)(process.shape)):
        np.testing.assert_allclose(leaf, 0, atol=1e-5)


def test_a_shape_of_ones_own():
    class Power(PytreeDataclass):
        exponent: jax.Array

        def __call__(self, t):
            return t**self.exponent

    process = LearnedSchedule(gamma_min=jnp.asarray(-2.0), width=jnp.asarray(3.0), shape=Power(jnp.asarray(2.0)))
    np.testing.assert_allclose(process.gamma(np.array([0.0, 0.5, 1.0])), -2 + softplus(3.0) * np.array([0, 0.25, 1]))


@pytest.mark.slow
def test_precision_follows_the_times():
    process = PROCESSES["learned"]
    half = jax.tree.map(lambda leaf: leaf.astype(jnp.bfloat16), process)
    for p in (process, half):
        for t in (0.5, jnp.asarray(0.5, jnp.bfloat16)):
            assert p.gamma(t).dtype == p.alpha(t).dtype == jnp.float32
    with jax.enable_x64(True):
        wide = learned_schedule(jax.random.key(0), features=16)
        t = np.linspace(0, 1, 9)
        assert wide.gamma(t).dtype == wide.sigma(t).dtype == jnp.float64
        assert wide.gamma(t.astype(np.float32)).dtype == jnp.float32
        np.testing.assert_allclose(wide.gamma(t), paper_gamma(wide, t), rtol=1e-13, atol=1e-12)
        for p in (wide, linear_log_snr()):
            middle = p.log_snr(t)
            np.testing.assert_allclose(p.time_at_log_snr(middle), t, atol=1e-13)


# -- a process whose t = 0 is noisy --------------------------------------------------------------------------------

NOISY = {
    "learned": jax.jit(partial(scattered, features=8, gamma_min=-4.0, gamma_max=6.0, scale=0.3))(jax.random.key(4)),
    "linear_log_snr": linear_log_snr(-4.0, 6.0),
}


def gaussian_law(process, t):
    alpha = float(process.alpha(t))
    return alpha * MEAN, np.sqrt((alpha * STD) ** 2 + float(process.variance(t)))


@pytest.mark.parametrize(
    "sampler",
    ["ddim_half"]
    + [
        slow(name) for name in ("ddpm_small", "reverse_diffusion", "heun", "dpmpp_2m", "dpmpp_2m_sde", "euler_maruyama")
    ],
)
def test_samplers_end_at_z0(sampler):
    """From q_1 the whole grid leads to N(alpha_0 m, alpha_0² s² + sigma_0²), not to the data's own law."""
    process, stepper = NOISY["learned"], (ANY | CONTINUOUS_ONLY)[sampler]
    times = uniform_grid(600)
    mean, std = gaussian_law(process, 1.0)
    found_mean, found_variance = jax.jit(
        lambda m, v: law(stepper, process, gaussian_denoiser(process, MEAN, STD), times, m, v)
    )(mean, std**2)
    mean, std = gaussian_law(process, 0.0)
    assert std > 1.02 * STD
    np.testing.assert_allclose(found_mean, mean, atol=4e-3)
    np.testing.assert_allclose(np.sqrt(found_variance), std, rtol=0.01)


@pytest.mark.parametrize("name", ["learned", slow("linear_log_snr")])
def test_kernels_from_and_to_t0(name):
    process, t = NOISY[name], 0.3
    (a_s, v_s), (a_t, v_t) = ((np.float64(process.alpha(u)), np.float64(process.variance(u))) for u in (0.0, t))
    step = v_t - (a_t / a_s) ** 2 * v_s
    found = transition(process, 0.0, t)
    np.testing.assert_allclose(found.alpha, a_t / a_s, rtol=1e-6)
    np.testing.assert_allclose(found.variance, step, rtol=1e-4)
    x0, x_t = jax.random.normal(jax.random.key(0), (2, 5, 2))
    mean, std = posterior(process, x_t, x0, 0.0, t)
    np.testing.assert_allclose(mean, a_t / a_s * v_s / v_t * x_t + a_s * step / v_t * x0, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(std**2, step * v_s / v_t, rtol=1e-4)


@nightly("name", NOISY)
def test_likelihood_and_flow_from_t0(name):
    """log p is that of z_0, exactly, once the prior's distance from q_1 at the code is taken off."""
    process = NOISY[name]
    denoise = gaussian_denoiser(process, MEAN, STD)
    z0 = jnp.linspace(-1.5, 2, 7)[:, None]
    assert np.all(np.isfinite(probability_flow(process, denoise, z0, 0.0)))
    controller = diffrax.PIDController(rtol=1e-5, atol=1e-5)
    found = jax.jit(lambda z0: log_likelihood(process, denoise, z0, t_min=0.0, controller=controller))(z0)
    gap = norm.logpdf(found.latent, 0, 1) - norm.logpdf(found.latent, *gaussian_law(process, 1.0))
    expected = norm.logpdf(z0, *gaussian_law(process, 0.0))
    np.testing.assert_allclose(found.log_density - gap[:, 0], expected[:, 0], rtol=5e-4, atol=2e-3)
    x = sample_ode(jax.random.split(jax.random.key(0), 2000), process, denoise, (1,), t_min=0.0).x
    mean, std = gaussian_law(process, 0.0)
    # the prior is a little off q_1
    assert abs(x.mean() - mean) < 0.02 + 4 * std / np.sqrt(2000)
    np.testing.assert_allclose(x.std(), std, rtol=4 / np.sqrt(4000))


@nightly("name", ["learned", "linear_log_snr"])
def test_grids(name):
    process, sigmas = NOISY[name], np.array([5.0, 1.0, 0.2])
    grid = noise_grid(process, sigmas)
    np.testing.assert_allclose(process.sigma(grid[:-1]) / process.alpha(grid[:-1]), sigmas, rtol=1e-4)
    # levels below the process's own noise are its end, once
    ends = noise_grid(process, np.array([1.0, np.exp(-2.0), 0.01, 0.001]))
    assert len(ends) == 2
    for wide in (karras_grid(process, 20), log_snr_grid(process, 20)):
        assert wide[0] == 1
        assert wide[-1] == 0
        assert np.all(np.diff(wide) < 0)


def test_refusals(unchecked):
    refuses(
        *(
            ("need finite gamma_min < gamma_max", lambda make=make, ends=ends: make(*ends))
            for make in (linear_log_snr, lambda low, high: learned_schedule(jax.random.key(0), low, high))
            for ends in ((5.0, -13.3), (1.0, 1.0), (-np.inf, 5.0), (0.0, np.nan))
        ),
        ("features must be at least 1, got 0", lambda: learned_schedule(jax.random.key(0), features=0)),
        ("GammaProcess must define gamma", lambda: GammaProcess().alpha(0.5)),
        error=(ValueError, NotImplementedError),
    )
