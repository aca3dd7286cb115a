"""Operators as matrices, and guidance by an observation against the exact conditional law of Gaussian data."""

from functools import partial

import chex
import diffrax
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from every_sampler import ANY, CONTINUOUS_ONLY
from gaussian_law import conditional, correlated, exact, law, matrix
from oracles import PROCESSES, gaussian_denoiser, nightly, slow, snap
from refusals import refuses
from scipy.ndimage import gaussian_filter1d
from scipy.stats import multivariate_normal

from jaxgen import diffusion
from jaxgen.diffusion import Prediction, denoiser, inverse, uniform_grid, vp
from jaxgen.samplers import ddpm, heun, reverse_diffusion, sample, sample_ode

SHAPE = (4, 4, 3)
OBSERVED = np.random.default_rng(0).integers(0, 2, SHAPE)
OPERATORS = {
    "mask": (inverse.mask(OBSERVED), 1.0),
    "gray": (inverse.grayscale(), 0.299**2 + 0.587**2 + 0.114**2),
    "gray_mean": (inverse.grayscale((1 / 3,) * 3), 1 / 3),
    "average_pool": (inverse.average_pool(2), 1 / 4),
    "blur": (inverse.blur(0.8), None),
    "gray_and_small": (lambda x: inverse.grayscale()(inverse.average_pool(2)(x)), (0.299**2 + 0.587**2 + 0.114**2) / 4),
}
every_operator = pytest.mark.parametrize("name", OPERATORS)
end_processes = nightly("name", ["zero_snr", "vp", "ve", "cosine", "edm"])
some_processes = pytest.mark.parametrize("name", ["vp", slow("ve"), slow("rectified_flow"), slow("zero_snr")])


# -- operators -----------------------------------------------------------------------------------------------------


def test_operators_do_what_their_names_say():
    x = jax.random.normal(jax.random.key(0), (2, *SHAPE))
    image = np.asarray(x, np.float64)
    np.testing.assert_allclose(inverse.mask(OBSERVED)(x), image * OBSERVED, rtol=1e-6)
    rec_601 = 0.299 * image[..., :1] + 0.587 * image[..., 1:2] + 0.114 * image[..., 2:]
    np.testing.assert_allclose(inverse.grayscale()(x), rec_601, rtol=1e-5, atol=1e-6)
    pooled = np.array([[image[:, i : i + 2, j : j + 2].mean((1, 2)) for j in (0, 2)] for i in (0, 2)])
    np.testing.assert_allclose(inverse.average_pool(2)(x), pooled.transpose(2, 0, 1, 3), rtol=1e-5, atol=1e-6)
    # far from the edges it is scipy's blur; at the edges a constant stays what it is
    long = jax.random.normal(jax.random.key(1), (1, 40, 30, 2))
    middle = gaussian_filter1d(gaussian_filter1d(np.asarray(long, np.float64), 1.5, 1, truncate=8), 1.5, 2, truncate=8)
    np.testing.assert_allclose(inverse.blur(1.5)(long)[:, 13:27, 13:17], middle[:, 13:27, 13:17], atol=1e-5)
    np.testing.assert_allclose(inverse.blur(1.5)(jnp.ones((1, 9, 7, 1))), 1, rtol=1e-6)
    # NaN that is not observed is not seen
    assert np.all(np.isfinite(inverse.mask(jnp.array([1, 0]))(jnp.array([[1.0, jnp.nan]]))))


@every_operator
def test_transpose_and_tight_frame_constant_are_the_matrix_s(name):
    operator, c = OPERATORS[name]
    a = matrix(operator, SHAPE)
    u = jax.random.normal(jax.random.key(1), operator(jnp.zeros((2, *SHAPE))).shape)
    found = inverse.transpose(operator, (2, *SHAPE))(u)
    np.testing.assert_allclose(found.reshape(2, -1), np.asarray(u).reshape(2, -1) @ a, rtol=1e-4, atol=1e-5)
    if c is None:
        nearly = lambda x: x * jnp.array([1.01, 1.0, 1.0])  # rows of lengths that differ by a hundredth
        for refused in (operator, nearly):
            with pytest.raises(ValueError, match="no multiple of the identity"):
                inverse.tight_frame_constant(refused, (2, *SHAPE))
    else:
        np.testing.assert_allclose(inverse.tight_frame_constant(operator, (2, *SHAPE)), c, rtol=1e-5)
        np.testing.assert_allclose(a @ a.T @ a, c * a, atol=1e-6)
        traced = jax.jit(lambda one: inverse.tight_frame_constant(lambda x: one * operator(x), (2, *SHAPE)))(2.0)
        np.testing.assert_allclose(traced, 4 * c, rtol=1e-5)


# -- ΠGDM ----------------------------------------------------------------------------------------------------------


def digits(process):
    """What float64 leaves, and what the tables do, which are of float32."""
    return 1e-8 if process.steps is None else 5e-5


@pytest.mark.slow
@some_processes
def test_pigdm_is_exact_on_isotropic_data(name):
    with jax.enable_x64(True):
        process, shape, std, rng = PROCESSES[name], (2, 2, 3), 0.7, np.random.default_rng(0)
        mean, covariance = rng.normal(size=12), std**2 * np.eye(12)
        x, data = jnp.asarray(rng.normal(size=(2, *shape))), jnp.asarray(rng.normal(size=(1, *shape)))
        operators = [inverse.mask(OBSERVED[:2, :2]), inverse.average_pool(2), inverse.blur(0.7)]

        @jax.jit
        def run(t, noise_std):
            inner, options = exact(process, mean, covariance), {"noise_std": noise_std, "data_std": std, "cg_steps": 12}
            return [inverse.pigdm(process, inner, a, a(data)[0], **options)(x, t)[:2] for a in operators]

        for t in (snap(process, 0.02), snap(process, 0.5), snap(process, 0.98)):
            for noise_std in (0.0, 0.3):
                for operator, found in zip(operators, run(float(t), noise_std), strict=True):
                    a = matrix(operator, shape)
                    rows = np.any(a != 0, 1)
                    y = np.asarray(operator(data)).reshape(-1)[rows]
                    expected = exact(process, *conditional(mean, covariance, a[rows], y, noise_std))(x, float(t))[:2]
                    np.testing.assert_allclose(found, expected, rtol=digits(process), atol=digits(process))


@some_processes
def test_pigdm_by_the_jacobian_is_exact_on_any_gaussian(name):
    with jax.enable_x64(True):
        process, d, rng = PROCESSES[name], 6, np.random.default_rng(0)
        mean, covariance = correlated(d)
        dense, seen = rng.normal(size=(3, d)), np.array([1, 0, 0, 1, 0, 1])
        x, data = jnp.asarray(rng.normal(size=(2, d))), jnp.asarray(rng.normal(size=(1, d)))
        operators = {0: (lambda x: x @ dense.T, dense), 1: (inverse.mask(seen), np.eye(d)[seen == 1])}

        @jax.jit
        def run(t, noise_std):
            ways = [(a, c) for c in ("jacobian", "isotropic") for a, _ in operators.values()]
            inner = exact(process, mean, covariance)
            return [
                inverse.pigdm(process, inner, a, a(data)[0], noise_std=noise_std, covariance=c)(x, t)[:2]
                for a, c in ways
            ]

        for t in (snap(process, 0.05), snap(process, 0.5), snap(process, 0.9)):
            for noise_std in (0.0, 0.3):
                found = run(float(t), noise_std)
                for i, (_, a) in operators.items():
                    y = a @ np.asarray(data)[0]
                    expected = exact(process, *conditional(mean, covariance, a, y, noise_std))(x, t)[:2]
                    np.testing.assert_allclose(found[i], expected, rtol=digits(process), atol=digits(process))
                    # the isotropic one is not exact here: the agreement above is no triviality
                    if t == 0.5 and name == "vp":
                        assert np.abs(found[i + 2][0] - expected[0]).max() > 1e-2


@nightly("noise_std", [0.0, 0.4])
def test_the_chain_of_pigdm_has_the_conditional_law(noise_std):
    """By the exact law of each sampler's chain: what is left is its steps' own error, which falls with their number."""
    with jax.enable_x64(True):
        process, d = vp(), 3
        mean, covariance = correlated(d)
        operator = inverse.mask(jnp.array([0, 1, 0]))
        y = jnp.array([0.0, 0.8, 0.0])
        wanted = conditional(mean, covariance, np.eye(d)[1:2], y[1:2], noise_std)
        options = {"noise_std": noise_std, "covariance": "jacobian", "cg_steps": 3}
        guided = inverse.pigdm(process, exact(process, mean, covariance), operator, y, **options)
        alpha, variance = float(process.alpha(1.0)), float(process.variance(1.0))
        start = alpha * wanted[0], alpha**2 * wanted[1] + variance * np.eye(d)
        gaps = {}
        samplers = {"ddpm": ddpm(), "heun": heun()} if noise_std else {"ddpm": ddpm()}
        for label, sampler in samplers.items():
            for n in (20, 40):
                found = law(sampler, process, guided, uniform_grid(n), *start)
                gaps[label, n] = max(np.abs(ours - theirs).max() for ours, theirs in zip(found, wanted, strict=True))
                if noise_std == 0:
                    np.testing.assert_allclose(found[0][1], 0.8, atol=1e-9)
                    assert found[1][1, 1] < 1e-9
        assert gaps["ddpm", 40] < 0.65 * gaps["ddpm", 20] < 0.25, gaps
        if noise_std:
            assert gaps["heun", 40] < 0.65 * gaps["heun", 20] < 0.05, gaps


@pytest.mark.slow
def test_samples_by_pigdm_are_the_posteriors():
    """Monte Carlo in float32 through the driver, a network of one's own and its denoiser."""
    process, n = vp(), 20_000
    std, operator, y, noise_std = 0.8, inverse.average_pool(2), jnp.full((1, 1, 1), 0.9), 0.2
    predict = lambda x, t, cond: gaussian_denoiser(process, 0.3, std)(x, t).eps
    guided = inverse.pigdm(process, denoiser(process, predict), operator, y, noise_std=noise_std, data_std=std)
    keys = jax.random.split(jax.random.key(0), n)
    x = jax.jit(lambda keys: sample(keys, process, guided, ddpm("fixed_large"), uniform_grid(200), (2, 2, 1)))(keys)
    x = np.asarray(x, np.float64).reshape(n, 4)
    mean, covariance = conditional(
        np.full(4, 0.3), std**2 * np.eye(4), np.full((1, 4), 0.25), np.array([0.9]), noise_std
    )
    assert np.all(np.abs(x.mean(0) - mean) < 4.5 * np.sqrt(np.diag(covariance) / n) + 0.004)
    np.testing.assert_allclose(np.cov(x.T), covariance, atol=4.5 * std**2 * np.sqrt(2 / n) + 0.006)


@end_processes
def test_pigdm_at_both_ends(name):
    """Finite everywhere; at t = 0 without noise A x0 = y; at alpha = 0 what the data's std says."""
    process, std = PROCESSES[name], 0.6
    operator, a = inverse.average_pool(2), np.full((1, 4), 0.25)
    x, y = jax.random.normal(jax.random.key(0), (3, 2, 2, 1)), jnp.full((1, 1, 1), 0.9)

    @jax.jit
    def run(t, noise_std):
        options = {"noise_std": noise_std, "data_std": std, "cg_steps": 2}
        inner = gaussian_denoiser(process, 0.2, std)
        ways = [inverse.pigdm(process, inner, operator, y, covariance=c, **options) for c in ("isotropic", "jacobian")]
        return [jax.jvp(lambda x, guided=guided: guided(x, t)[:2], (x,), (x,)) for guided in ways]

    for noise_std in (0.0, 0.3):
        for t in (0.0, 1.0):
            for found, slopes in run(t, noise_std):
                assert all(np.all(np.isfinite(part)) for part in (*found, *slopes))
                if t == 0 and noise_std == 0:
                    np.testing.assert_allclose(operator(found[0]), 0.9, atol=1e-5)
                elif t == 1 and process.alpha(t) == 0:
                    mean, _ = conditional(np.full(4, 0.2), std**2 * np.eye(4), a, np.array([0.9]), noise_std)
                    np.testing.assert_allclose(found[0].reshape(3, 4), np.tile(mean, (3, 1)), rtol=1e-5)
                    np.testing.assert_allclose(found[1], x, rtol=1e-5)


@pytest.mark.slow
def test_what_lies_outside_a_mask_is_not_looked_at():
    """By the Jacobian too, whose singular system no u would solve for such a y."""
    process, (mean, covariance) = vp(), correlated(4)
    x, operator = jax.random.normal(jax.random.key(0), (5, 4)), inverse.mask(jnp.array([1, 0, 1, 0]))
    y = jnp.array([0.3, 0.0, -0.4, 0.0])
    inner = exact(process, mean, covariance)
    run = jax.jit(lambda y: inverse.pigdm(process, inner, operator, y, covariance="jacobian")(x, 0.5).x0)
    posterior = conditional(mean, covariance, np.eye(4)[::2], np.array([0.3, -0.4]))
    wanted = exact(process, *posterior)(x, 0.5).x0
    np.testing.assert_allclose(run(y), wanted, rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(run(y + jnp.array([0.0, 5.0, 0.0, -7.0])), wanted, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("kind", ["singular", slow("ill_conditioned")])
def test_conjugate_gradients_find_what_the_pseudo_inverse_does(kind):
    """At t = 0, where the network says x itself, x0 = x + A⁺ (y − A x): in float32, to its rounding."""
    rng = np.random.default_rng(0)
    a = np.diag([1.0, 0.3, 0.1, 0.03, 0.01])
    if kind == "singular":  # A Aᵀ of six measurements and rank three: to go on after rounding leads astray
        a = rng.normal(size=(6, 3)) @ rng.normal(size=(3, 5))
    x, data = rng.normal(size=(2, 64, 5))
    operator, y = lambda x: x @ jnp.asarray(a.T, x.dtype), jnp.asarray(data @ a.T, jnp.float32)
    found = jax.jit(lambda x: inverse.pigdm(vp(), gaussian_denoiser(vp(), 0.0, 1.0), operator, y)(x, 0.0).x0)(
        jnp.float32(x)
    )
    assert found.dtype == jnp.float32
    np.testing.assert_allclose(found, x + (data - x) @ a.T @ np.linalg.pinv(a).T, atol=1e-3)


@pytest.mark.slow
def test_what_conjugate_gradients_leave_of_a_blur():
    """As documented: A x0 = y at t = 0 only once they have converged."""
    operator, x = inverse.blur(0.8), jax.random.normal(jax.random.key(0), (2, 4, 16, 16, 1))
    y = operator(x[1])

    def error(x, y, steps):
        guided = inverse.pigdm(vp(), gaussian_denoiser(vp(), 0.0, 1.0), operator, y, cg_steps=steps)
        left = jnp.abs(operator(guided(x, 0.0).x0) - y).max((1, 2, 3))
        return (left / jnp.abs(y).max((1, 2, 3))).mean()

    few, more, many = jax.jit(lambda x, y: [error(x, y, steps) for steps in (30, 100, 300)])(x[0], y)
    assert 0.05 < few < 0.2
    assert 0.01 < more < 0.04
    assert many < 0.001
    a = matrix(lambda x: operator(x[..., None])[..., 0], (16, 16))
    np.testing.assert_allclose(np.linalg.cond(a) ** 2, 15_000, rtol=0.02)


def test_at_the_end_an_x0_network_meets_the_observation_by_its_jacobian_alone():
    """x̂0 = x/2, so that the isotropic pull of y − A x̂0 is halved; a network that predicts eps says x there."""
    operator, x, y = (
        inverse.average_pool(2),
        jax.random.normal(jax.random.key(0), (3, 2, 2, 1)),
        jnp.full((1, 1, 1), 0.9),
    )
    network = lambda x, t, cond: x / 2

    def left(predicts, covariance):
        guided = inverse.pigdm(vp(), denoiser(vp(), network, predicts=predicts), operator, y, covariance=covariance)
        return y - operator(guided(x, 0.0).x0)

    ways = [("x0", "jacobian"), ("eps", "isotropic"), ("x0", "isotropic")]
    jacobian, of_eps, isotropic = jax.jit(lambda: [left(*way) for way in ways])()
    np.testing.assert_allclose(np.stack([jacobian, of_eps]), 0, atol=1e-5)
    np.testing.assert_allclose(isotropic, (y - operator(x / 2)) / 2, atol=1e-5)


# -- DPS -----------------------------------------------------------------------------------------------------------


def dps_chain(n, noise_std):
    """Slope in y and variance of DPS under ddpm on data N(0, 1), y = x + N(0, noise_std²): in numpy.

    x̂0 = alpha x for vp and such data, so the score is −x + alpha (y − alpha x)/σ_y², which moves the mean of
    q(x_s | x_t, x̂0) by alpha_s (1 − e^(λ_t − λ_s)) sigma²/alpha of what is added.
    """
    t = np.linspace(1, 0, n + 1)
    log_alpha = -0.25 * t**2 * 19.9 - 0.05 * t
    alpha, var = np.exp(log_alpha), -np.expm1(2 * log_alpha)
    slope, variance = 0.0, 1.0
    for i in range(n):
        ratio = alpha[i] / alpha[i + 1]
        beta = var[i] - ratio**2 * var[i + 1]
        coef_x0 = alpha[i + 1] * beta / var[i]
        pull = coef_x0 * var[i] / alpha[i] * alpha[i] / noise_std**2
        gain = ratio * var[i + 1] / var[i] + coef_x0 * alpha[i] - pull * alpha[i]
        slope, variance = gain * slope + pull, gain**2 * variance + beta * var[i + 1] / var[i]
    return slope, variance


@pytest.mark.parametrize("noise_std", [0.5, slow(0.3)])
def test_dps_has_the_law_of_its_formula_and_the_documented_bias(noise_std):
    with jax.enable_x64(True):
        data = exact(vp(), np.zeros(1), np.eye(1))
        guided = inverse.dps(vp(), data, lambda x: x, jnp.ones(1), noise_std=noise_std)
        found = law(ddpm(), vp(), guided, uniform_grid(60), np.zeros(1), np.eye(1))
        np.testing.assert_allclose([found[0][0], found[1][0, 0]], dps_chain(60, noise_std), rtol=1e-6)
    mean, variance = conditional(np.zeros(1), np.eye(1), np.eye(1), np.ones(1), 0.5)
    np.testing.assert_allclose([mean[0], variance[0, 0]], [0.8, 0.2])
    np.testing.assert_allclose(dps_chain(1000, 0.5), (0.98, 0.12), atol=0.0051)
    np.testing.assert_allclose(dps_chain(8000, 0.5), (0.98, 0.12), atol=0.0051)  # no finer grid mends it


def pair_by_step_size(n, zeta, draws):
    """Algorithm 1 of Chung et al. on n steps of reverse diffusion: a pair of correlation .8, the first seen to be 1."""
    rng, t, pair = np.random.default_rng(0), np.linspace(1, 0, n + 1), np.array([[1, 0.8], [0.8, 1]])
    log_alpha = -0.25 * t**2 * 19.9 - 0.05 * t
    alpha, var = np.exp(log_alpha), -np.expm1(2 * log_alpha)
    x = rng.normal(size=(draws, 2))
    for i in range(n):
        ratio = alpha[i] / alpha[i + 1]
        beta = var[i] - ratio**2 * var[i + 1]
        precision = np.linalg.inv(alpha[i] ** 2 * pair + var[i] * np.eye(2))
        gain = alpha[i] * pair @ precision
        residual = 1 - x @ gain[0]
        x = (2 - ratio) * x - beta * x @ precision + zeta * 2 * np.sign(residual)[:, None] * gain[0]
        x += np.sqrt(beta) * rng.normal(size=x.shape) * (i < n - 1)
    return x


@pytest.mark.slow
def test_the_bias_of_dps_by_a_step_size_is_the_documented_one():
    process, n = vp(), 20_000
    keys, data = jax.random.split(jax.random.key(0), n), exact(process, np.zeros(2), np.array([[1, 0.8], [0.8, 1]]))

    @jax.jit
    def run(keys, zeta):
        guided = inverse.dps(
            process, data, inverse.mask(jnp.array([1, 0])), jnp.array([1.0, 0.0]), step_size=zeta, steps=60
        )
        return sample(keys, process, guided, reverse_diffusion(), uniform_grid(60), (2,))

    documented = {0.3: ((1, 0.96), (0.12, 0.33)), 1.0: ((1, 0.97), (1.2, 0.37))}
    for zeta, (mean, variance) in documented.items():
        ours, theirs = np.asarray(run(keys, zeta), np.float64), pair_by_step_size(60, zeta, 4 * n)
        error = np.sqrt(1.25 * theirs.var(0) / n)
        assert np.all(np.abs(ours.mean(0) - theirs.mean(0)) < 4 * error)
        np.testing.assert_allclose(ours.var(0), theirs.var(0), rtol=4 * np.sqrt(1.25 * 2 / n))
        np.testing.assert_allclose(theirs.mean(0), mean, atol=0.005 + 2 * error.max())
        np.testing.assert_allclose(theirs.var(0), variance, rtol=0.05)


@pytest.mark.slow
def test_dps_by_its_likelihood_is_the_gradient_of_it():
    """Any differentiable operator: here against autodiff in numpy-like terms of a network that is not linear."""
    process = vp()
    predict = lambda x, t, cond: jnp.sin(x) + t[:, None]
    inner = denoiser(process, predict, predicts="x0")
    x, t, y = jax.random.normal(jax.random.key(0), (4, 3)), jnp.linspace(0.2, 0.8, 4), jnp.ones((4, 3))
    operator = lambda x: x**3
    found = inverse.dps(process, inner, operator, y, noise_std=0.5)(x, t)
    x0 = np.sin(np.asarray(x, np.float64)) + np.asarray(t, np.float64)[:, None]
    gradient = (1 - x0**3) * 3 * x0**2 * np.cos(np.asarray(x, np.float64)) / 0.25
    alpha, sigma = np.float64(process.alpha(t))[:, None], np.float64(process.sigma(t))[:, None]
    np.testing.assert_allclose(found.x0, x0 + sigma**2 / alpha * gradient, rtol=2e-4, atol=2e-4)
    np.testing.assert_allclose(found.eps, inner(x, t).eps - sigma * gradient, rtol=2e-4, atol=2e-4)


@pytest.mark.parametrize("zeta", [slow(0.3), 1.0])
def test_dps_by_a_step_size_is_chung_et_al_s_algorithm_1(zeta):
    """x_(i−1) = x'_(i−1) − ζ'/‖y − A x̂0‖ ∇‖y − A x̂0‖², on the chain that the step size is meant for."""
    with jax.enable_x64(True):
        betas, d, rng = diffusion.linear_betas(100, 1e-3, 0.1), 4, np.random.default_rng(0)
        process, (mean, covariance) = diffusion.from_betas(betas), correlated(4)
        y, keys = rng.normal(size=d), jax.random.split(jax.random.key(0), 1)
        data, operator = exact(process, mean, covariance), inverse.mask(jnp.array([1, 0, 1, 1]))
        guided = inverse.dps(process, data, operator, operator(jnp.asarray(y)), step_size=zeta)
        alphas = np.sqrt(np.cumprod(1 - np.asarray(betas, np.float64)))
        a = np.diag([1.0, 0, 1, 1])
        steps = lambda sampler, *at: [sampler.step(keys, process, d, *at, None)[0][0] for d in (guided, data)]
        reverse, ancestral = (jax.jit(partial(steps, sampler)) for sampler in (reverse_diffusion(), ddpm()))
        for i in (1, 40, 99):
            t, s = (i + 1) / 100, i / 100
            x = rng.normal(size=(1, d))
            total = alphas[i] ** 2 * covariance + (1 - alphas[i] ** 2) * np.eye(d)
            gain = alphas[i] * covariance @ np.linalg.inv(total)
            x0 = mean + gain @ (x[0] - alphas[i] * mean)
            residual = a @ (y - x0)
            move = zeta / np.linalg.norm(residual) * (-2 * gain.T @ a.T @ residual)
            for run, exactly in ((reverse, 1.0), (ancestral, 1 / np.sqrt(1 - betas[i]))):
                pulled, free = run(t, s, jnp.asarray(x))
                np.testing.assert_allclose(pulled - free, -exactly * move, rtol=1e-7)


@pytest.mark.slow
def test_the_step_size_is_one_of_a_chain_of_a_thousand_in_continuous_time():
    """Two grids: a step twice as long moves twice as far, and `steps` says of which chain ζ' is meant."""
    process, x = vp(), jax.random.normal(jax.random.key(0), (2, 3))
    data = gaussian_denoiser(process, 0.0, 0.5)
    added = lambda **options: (
        inverse.dps(process, data, lambda x: x, jnp.ones(3), **options)(x, 0.5).eps - data(x, 0.5).eps
    )
    np.testing.assert_allclose(added(step_size=0.5, steps=500), added(step_size=0.25), rtol=2e-2)
    t, s = 0.5, 0.499
    ratio = float(process.alpha(t) / process.alpha(s))
    variance = float(process.variance(t)) - ratio**2 * float(process.variance(s))
    gain = float(process.alpha(t) * 0.25 / (process.alpha(t) ** 2 * 0.25 + process.variance(t)))
    residual = 1 - gain * np.asarray(x)
    move = 2 * gain * residual / np.linalg.norm(residual, axis=-1, keepdims=True)
    np.testing.assert_allclose(added(step_size=1.0), -float(process.sigma(t)) * move / variance, rtol=2e-3)


@end_processes
def test_dps_is_finite_at_both_ends_and_where_nothing_is_left_to_gain(name):
    process = PROCESSES[name]
    x, inner = jax.random.normal(jax.random.key(0), (3, 2)), gaussian_denoiser(process, 0.0, 0.5)
    for options in ({"noise_std": 0.5}, {"step_size": 1.0}):
        guided = inverse.dps(process, inner, lambda x: x, jnp.ones(2), **options)
        both = jax.jit(lambda t, guided=guided: jax.jvp(lambda x: guided(x, t)[:2], (x,), (x,)))
        for t in (0.0, 1.0):
            found, slopes = both(t)
            assert all(np.all(np.isfinite(part)) for part in (*found, *slopes))
    t = float(snap(process, 0.5))
    reached = inverse.dps(process, inner, lambda x: 0 * x, jnp.zeros(2), step_size=1.0)
    found, slopes = jax.jvp(lambda x: reached(x, t)[:2], (x,), (x,))
    np.testing.assert_allclose(found[1], inner(x, t).eps)
    assert all(np.all(np.isfinite(slope)) for slope in slopes)


# -- both ----------------------------------------------------------------------------------------------------------


def guided_ways(process, denoise, operator, y):
    return {
        "isotropic": inverse.pigdm(process, denoise, operator, y, noise_std=0.1, data_std=0.5),
        "jacobian": inverse.pigdm(process, denoise, operator, y, covariance="jacobian", cg_steps=4),
        "likelihood": inverse.dps(process, denoise, operator, y, noise_std=1.0),
        "step_size": inverse.dps(process, denoise, operator, y, step_size=0.01),
    }


def of_the_square(process, y, noise_std):
    """E[x0 | x_t, y] in closed form for N(.1, .25 I) on 2 × 2 and y = mean + noise; the rest is not seen."""

    def denoise(x, t, cond=None):
        t = jnp.broadcast_to(t, len(x)).reshape(-1, 1, 1, 1)
        alpha, variance = process.alpha(t), process.variance(t)
        square = x.mean((1, 2, 3), keepdims=True)
        gain = 0.0625 / (0.0625 + noise_std**2)
        mean, left = 0.1 + gain * (y - 0.1), 0.0625 * (1 - gain)
        of_square = (mean * variance / 4 + alpha * left * square) / (variance / 4 + alpha**2 * left)
        of_rest = 0.1 + alpha * 0.25 / (alpha**2 * 0.25 + variance) * (x - alpha * 0.1)
        x0 = of_square + of_rest - of_rest.mean((1, 2, 3), keepdims=True)
        sigma = jnp.sqrt(variance)
        return Prediction(x0, (x - alpha * x0) / jnp.where(sigma == 0, 1, sigma))

    return denoise


def drawn(process, ways, samplers):
    """Samples by each sampler of each denoiser; a program for each sampler, not for each denoiser too."""
    times = uniform_grid(8) if process.steps is None else diffusion.subset_grid(process.steps, 8)

    @jax.jit
    def run(keys):
        def all_by(way):
            branches = [lambda x, t, d=d: d(x, t)[:2] for d in ways.values()]
            denoise = lambda x, t: Prediction(*jax.lax.switch(way, branches, x, t))
            return {k: sample(keys, process, denoise, s, times, (2, 2, 1)) for k, s in samplers.items()}

        found = jax.lax.map(all_by, jnp.arange(len(ways)))
        return {k: dict(zip(ways, x, strict=True)) for k, x in found.items()}

    return run(jax.random.split(jax.random.key(0), 4))


@pytest.mark.slow
def test_pigdm_under_every_sampler_is_the_exact_posteriors_denoiser_under_it():
    process, operator, y = vp(), inverse.average_pool(2), jax.random.normal(jax.random.key(1), (4, 1, 1, 1))
    data = gaussian_denoiser(process, 0.1, 0.5)
    ways = {"found": guided_ways(process, data, operator, y)["isotropic"], "right": of_the_square(process, y, 0.1)}
    for sampler, x in drawn(process, ways, ANY | CONTINUOUS_ONLY).items():
        np.testing.assert_allclose(x["found"], x["right"], atol=2e-3, rtol=2e-3, err_msg=sampler)


@nightly("name", ["ve", "linear"])
def test_other_ways_under_some_samplers(name):
    """The Jacobian's ΠGDM lands where the exact denoiser does; DPS comes nearer to y than no guidance."""
    process, operator, y = PROCESSES[name], inverse.average_pool(2), jax.random.normal(jax.random.key(1), (4, 1, 1, 1))
    data = gaussian_denoiser(process, 0.1, 0.5)
    ways = guided_ways(process, data, operator, y) | {"right": of_the_square(process, y, 0.0), "data": data}
    for sampler, x in drawn(process, ways, {k: ANY[k] for k in ("ddpm_large", "dpmpp_2m")}).items():
        np.testing.assert_allclose(x["jacobian"], x["right"], atol=2e-3, rtol=2e-3, err_msg=sampler)
        for way in ("likelihood", "step_size"):
            assert np.abs(operator(x[way]) - y).mean() < np.abs(operator(x["data"]) - y).mean(), (sampler, way)


@pytest.mark.slow
def test_the_adaptive_ode_and_the_likelihood_take_it():
    """The flow of the exact posterior: its samples have its moments, its density is the posterior's in closed form."""
    process, keys = vp(), jax.random.split(jax.random.key(0), 2000)
    mean, covariance = correlated(3, seed=1)
    operator, y = inverse.mask(jnp.array([1, 0, 0])), jnp.array([0.7, 0.0, 0.0])
    right = conditional(mean, covariance, np.eye(3)[:1], np.array([0.7]), 0.5)
    x = jnp.asarray(np.random.default_rng(0).multivariate_normal(*right, 5), jnp.float32)
    controller = diffrax.PIDController(rtol=1e-4, atol=1e-4)

    @jax.jit
    def run(keys, x):
        data = exact(process, mean, covariance)
        guided = inverse.pigdm(process, data, operator, y, noise_std=0.5, covariance="jacobian", cg_steps=1)
        rough = inverse.dps(process, data, operator, y, noise_std=1.0)
        return (
            sample_ode(keys, process, guided, (3,), controller=controller).x,
            diffusion.log_likelihood(process, guided, x, controller=controller).log_density,
            sample_ode(keys[:5], process, rough, (3,), controller=controller, per_sample=True).x,
        )

    drawn, density, *rough = run(keys, x)
    drawn = np.asarray(drawn, np.float64)
    assert np.all(np.abs(drawn.mean(0) - right[0]) < 4.5 * np.sqrt(np.diag(right[1]) / len(drawn)) + 0.005)
    np.testing.assert_allclose(np.cov(drawn.T), right[1], atol=4.5 * np.diag(right[1]).max() * np.sqrt(2 / len(drawn)))
    np.testing.assert_allclose(density, multivariate_normal.logpdf(x, *right), atol=0.03)
    assert all(np.all(np.isfinite(part)) for part in rough)


@nightly("way", ["isotropic", "jacobian", "likelihood", "step_size"])
def test_a_row_knows_nothing_of_the_others(way):
    """Conjugate gradients too are each row's own: rows of very different size do not disturb each other."""
    process, t = vp(), jnp.linspace(0.2, 0.9, 5)
    rng = np.random.default_rng(0)
    x, y = jnp.asarray(rng.normal(size=(2, 5, 4, 4, 1)), jnp.float32)
    y = y * jnp.array([1e3, 1.0, 1e-3, 1.0, 1.0])[:, None, None, None]
    data = exact(process, np.zeros(16), correlated(16)[1])
    run = jax.jit(
        lambda rows: guided_ways(process, data, inverse.blur(0.6), inverse.blur(0.6)(y)[rows])[way](x[rows], t[rows])[
            :2
        ]
    )
    rows = jnp.array([3, 1])
    for part, whole in zip(run(rows), run(jnp.arange(5)), strict=True):
        np.testing.assert_allclose(part, whole[rows], rtol=1e-4, atol=1e-4)


@pytest.mark.slow
def test_masks_of_each_example_conditions_and_clips():
    process, x = vp(), jax.random.normal(jax.random.key(0), (4, 3))
    seen = jnp.array([[1, 0, 0], [0, 1, 1], [1, 1, 1], [0, 0, 0]])
    y = jnp.where(seen == 1, 0.5, 0.0)
    shifted = lambda x, t, cond: x * 0.1 + cond[:, None]
    inner = denoiser(process, shifted, predicts="x0", cond=jnp.zeros(4))

    @chex.assert_max_traces(n=1)
    def run(x, seen, y, cond, covariance):
        return inverse.pigdm(process, inner, inverse.mask(seen), y, covariance=covariance)(x, 0.3, cond=cond).x0

    run = jax.jit(run, static_argnums=4)
    for cond in (jnp.zeros(4), jnp.ones(4)):
        found = run(x, seen, y, cond, "isotropic")
        alone = inner(x, 0.3, cond=cond).x0
        np.testing.assert_allclose(found[3], alone[3], rtol=1e-5)
        alpha, variance = float(process.alpha(0.3)), float(process.variance(0.3))
        pull = 0.1 * (alpha**2 + variance) / alpha  # ∂x̂0/∂x sigma²/(alpha r²) at data_std 1
        np.testing.assert_allclose(found, alone + pull * np.where(seen == 1, 0.5 - alone, 0), rtol=1e-4)
    for guided in (
        inverse.pigdm(process, inner, inverse.mask(seen), 9 * y, clip=1.0),
        inverse.dps(process, inner, inverse.mask(seen), 9 * y, step_size=1e3, clip=1.0),
    ):
        prediction = guided(x, 0.9)
        assert np.abs(prediction.x0).max() <= 1
        both = process.alpha(0.9) * prediction.x0 + process.sigma(0.9) * prediction.eps
        np.testing.assert_allclose(both, x, atol=1e-5)


def test_refusals(unchecked):
    process, x = vp(), jnp.zeros((2, 4, 4, 1))
    data, y = gaussian_denoiser(process, 0.0, 1.0), jnp.zeros((2, 2, 1))
    by_pigdm = lambda y=y, **options: inverse.pigdm(process, data, inverse.average_pool(2), y, **options)
    by_dps = lambda y=y, **options: inverse.dps(process, data, inverse.average_pool(2), y, **options)
    refuses(
        ("unknown covariance 'full': choose isotropic or jacobian", lambda: by_pigdm(covariance="full")),
        ("noise_std must be finite and not negative", lambda: by_pigdm(noise_std=-1.0)),
        ("noise_std must be finite and not negative", lambda: by_pigdm(noise_std=np.inf)),
        ("data_std must be positive and finite", lambda: by_pigdm(data_std=0.0)),
        ("cg_steps must be at least 1", lambda: by_pigdm(cg_steps=0)),
        ("clip must be positive", lambda: by_pigdm(clip=0.0)),
        (r"operator's shape \(2, 2, 2, 1\)", lambda: by_pigdm(y=y[:1])(x, 0.5)),
        (r"operator's shape \(2, 2, 2, 1\)", lambda: by_dps(y=y[:1], noise_std=1.0)(x, 0.5)),
        ("must be linear", lambda: inverse.pigdm(process, data, jnp.square, x)(x, 0.5)),
        ("either step_size .* or noise_std", by_dps),
        ("either step_size .* or noise_std", lambda: by_dps(step_size=1.0, noise_std=1.0)),
        ("step_size must be finite", lambda: by_dps(step_size=-1.0)),
        ("noise_std must be positive and finite", lambda: by_dps(noise_std=0.0)),
        ("length of the chain", lambda: by_dps(step_size=1.0, steps=0)),
        ("factor must be at least 1", lambda: inverse.average_pool(0)),
        ("sides it divides, got 4×4", lambda: inverse.average_pool(3)(x)),
        ("one per channel, but x has 1", lambda: inverse.grayscale()(x)),
        ("std must be positive", lambda: inverse.blur(0.0)),
    )


@nightly("name", ["vp", "rectified_flow"])
def test_float32_and_half_precision_stay_finite_under_a_chain(name):
    process = PROCESSES[name]
    network = lambda x, t, cond: jnp.tanh(x.astype(jnp.bfloat16)) / 2
    keys = jax.random.split(jax.random.key(0), 3)
    operator, y = inverse.average_pool(2), jnp.ones((1, 1, 1))

    @jax.jit
    def run(keys):
        denoise = denoiser(process, network, predicts="v", clip=1.0)
        ways = guided_ways(process, denoise, operator, y)
        return [sample(keys, process, guided, ddpm(), uniform_grid(4), (2, 2, 1)) for guided in ways.values()]

    for x in run(keys):
        assert x.dtype == jnp.float32
        assert np.all(np.isfinite(x))
