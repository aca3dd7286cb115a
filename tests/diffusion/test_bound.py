"""The discrete bound against Gaussian data, on which every term of every grid is known in closed form."""

import math
from functools import partial

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from bound_theory import MEAN, STD, VARIANCES, Theory, data
from oracles import CONTINUOUS, DISCRETE, PROCESSES, gaussian_denoiser, nightly, slow
from refusals import refuses

from jaxgen.diffusion import (
    Bound,
    Prediction,
    bound_term,
    final_kernel,
    from_betas,
    linear_betas,
    perturb,
    posterior,
    quadratic_grid,
    reverse_kernel,
    subset_grid,
    uniform_grid,
    variational_bound,
    vp,
)
from jaxgen.distributions import likelihoods

ENTROPY = 0.5 * math.log(2 * math.pi * math.e * STD**2)
GRIDS = {name: (process, uniform_grid(9)) for name, process in CONTINUOUS.items()}
GRIDS |= {name: (process, subset_grid(process.steps, 9)) for name, process in DISCRETE.items()}
GRIDS |= {"whole_cosine_table": (DISCRETE["cosine_table"], subset_grid(50, 50)), "quadratic": (vp(), quadratic_grid(7))}
GRIDS["late"] = CONTINUOUS["ve"], 0.7 * uniform_grid(9)  # begins where the prior is narrower than prior_std
every_grid = pytest.mark.parametrize(
    "name",
    ["ve", "zero_snr"]
    + [slow(name) for name in ("vp", "cosine", "rectified_flow", "linear", "whole_cosine_table", "quadratic")],
)


def exact_denoiser(process, grid, std=STD):
    """The exact mean, and the fraction at which the variance is exact too."""
    exact, fractions = gaussian_denoiser(process, MEAN, std), jnp.asarray(Theory(process, grid, std).fractions())

    def denoise(x, t, cond=None):
        fraction = fractions[jnp.argmin(jnp.abs(jnp.asarray(grid[:-1]) - t))]
        return Prediction(*exact(x, t)[:2], jnp.full_like(x, fraction))

    return denoise


def expected_terms(process, grid, std=STD, variances=VARIANCES):
    """Each step's expectation over x0 and eps by Gauss–Hermite quadrature of `bound_term`: exact for a quadratic."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(3)
    x0, eps = (jnp.asarray(axis.reshape(-1, 1)) for axis in np.meshgrid(MEAN + std * nodes, nodes))
    weights = np.outer(weights, weights).ravel() / (2 * np.pi)
    denoise = exact_denoiser(process, grid, std)

    @jax.jit
    @jax.vmap
    def terms(s, t):
        x_t, cleanest = perturb(process, x0, t, eps), (grid[-2], grid[-3])
        options = {"cleanest": cleanest, "likelihood": likelihoods.gaussian()}
        prediction = denoise(x_t, t)
        return [bound_term(process, prediction, x_t, x0, s, t, variance=v, **options) for v in variances]

    found = [term @ weights for term in terms(jnp.asarray(grid[1:]), jnp.asarray(grid[:-1]))]
    return {v: (np.asarray(terms[:-1]), float(terms[-1])) for v, terms in zip(variances, found, strict=True)}


def keys_of(n, seed=0):
    return jax.random.split(jax.random.key(seed), n)


def bound_of(name, **options):
    """The bound of keys and data by the exact mean on a grid above, compiled."""
    process, grid = GRIDS[name]
    denoise = gaussian_denoiser(process, MEAN, STD)
    options = {"grid": grid, "likelihood": likelihoods.gaussian(), **options}
    return jax.jit(lambda keys, x0: variational_bound(keys, process, denoise, x0, **options))


# -- terms and totals ----------------------------------------------------------------------------------------------


@pytest.mark.first_by_day
@every_grid
def test_the_expectation_of_every_term_and_a_tight_bound_from_the_exact_reverse_chain(name):
    """With the true mean and variance of x_s|x_t the mean bound is H(x0) + KL(q_1 ‖ prior), on any grid."""
    process, grid = GRIDS[name]
    theory = Theory(process, grid)
    with jax.enable_x64(True):
        found = expected_terms(process, grid)
    for variance, (transitions, reconstruction) in found.items():
        # parameters and tables are float32 in part, and SNRs cancel in the theory too
        np.testing.assert_allclose(transitions, theory.transitions(variance), rtol=1e-4, atol=1e-7, err_msg=variance)
        np.testing.assert_allclose(reconstruction, theory.reconstruction(variance), rtol=1e-5, err_msg=variance)
    np.testing.assert_allclose(
        found["fixed_small"][0], 0.5 * theory.snr_gap * theory.residual[:-1], rtol=1e-4, atol=1e-7
    )
    # the learned terms are I(x0; x_s|x_t), which telescope
    np.testing.assert_allclose(found["learned"][0], np.diff(theory.information), rtol=1e-4, atol=1e-7)
    # β̃ < Var(x_s|x_t) always, and < β where alpha² + sigma² = 1 or alpha = 1
    assert np.all(theory.true > theory.posterior)
    if name != "rectified_flow":
        assert np.all(theory.true < theory.beta)
    total = {variance: theory.prior + terms.sum() + last for variance, (terms, last) in found.items()}
    np.testing.assert_allclose(total["learned"], ENTROPY + theory.mismatch, rtol=1e-4)
    # no other variance does as well, and all of them bound the entropy from above
    assert min(total["fixed_small"], total["fixed_large"]) > total["learned"] + 1e-3
    assert total["learned"] > ENTROPY - 1e-4


@nightly("name", ["late", "ve", "linear", "zero_snr", "quadratic"])
def test_the_estimate_is_unbiased(name):
    (process, grid), n, event = GRIDS[name], 8000, (2, 1)
    theory, denoise = Theory(process, grid), exact_denoiser(process, grid)

    @jax.jit
    def estimate(keys, x0):
        options = {"grid": grid, "likelihood": likelihoods.gaussian()}
        return [variational_bound(keys, process, denoise, x0, variance=v, **options) for v in VARIANCES]

    for variance, found in zip(VARIANCES, estimate(keys_of(n), data(n, event)), strict=True):
        assert isinstance(found, Bound)
        chex.assert_shape((found.prior, found.transitions, found.reconstruction), ((n,), (n, len(grid) - 2), (n,)))
        expected = np.append(theory.transitions(variance), [theory.reconstruction(variance), theory.prior]) * 2
        terms = np.float64(np.column_stack([found.transitions, found.reconstruction, found.prior]))
        error = terms.std(0) / np.sqrt(n)
        assert np.all(np.abs(terms.mean(0) - expected) < 4.5 * error + 1e-4 * np.abs(expected) + 1e-6), variance
        np.testing.assert_allclose(found.total, terms.sum(1), rtol=1e-4, atol=1e-4)


def gaps(steps, variance, std=STD, betas=lambda n: linear_betas(n, 0.1 / n, 20 / n)):
    """Bound less entropy and less the prior's part, of DDPM chains of T steps that all tend to one process."""
    found = []
    for n in steps:
        process, grid = from_betas(betas(n)), subset_grid(n, n)
        transitions, reconstruction = expected_terms(process, grid, std, (variance,))[variance]
        entropy = 0.5 * math.log(2 * math.pi * math.e * std**2)
        found.append(transitions.sum() + reconstruction + Theory(process, grid, std).information[0] - entropy)
    return np.array(found)


@pytest.mark.slow
def test_the_gap_falls_as_1_over_steps_with_the_large_variance():
    with jax.enable_x64(True):
        found = gaps((100, 400), "fixed_large")
    assert np.all(found > 0)
    np.testing.assert_allclose(found[0] / found[1], 4, rtol=0.05)


@pytest.mark.slow
def test_the_gap_of_the_small_variance_is_left_at_the_clean_end():
    """Near the data sigma² = i β, where β̃ misses Σ ½ (1/i − log(1 + 1/i)) = γ/2, and the last step ½ (1 − log 2)."""
    with jax.enable_x64(True):
        found = gaps((400, 6400), "fixed_small", betas=lambda n: np.full(n, 5 / n))
        # from a fixed noise up it does vanish, as 1/n
        process, above = vp(), []
        for n in (50, 200):
            grid = np.append(np.linspace(1, 0.1, n + 1), 0.0)
            theory = Theory(process, grid)
            transitions, _ = expected_terms(process, grid, variances=("fixed_small",))["fixed_small"]
            above.append(transitions.sum() - (theory.information[-1] - theory.information[0]))
    limit = np.euler_gamma / 2 + 0.5 * (1 - math.log(2))
    errors = np.abs(found - limit)  # of order log T/T
    assert errors[1] < 0.12 * errors[0]
    assert errors[1] < 0.012
    np.testing.assert_allclose(above[0] / above[1], 4, rtol=0.05)


@nightly("n", [3, 10, 200])
def test_the_large_variance_is_exact_for_data_of_unit_variance(n):
    """For x0 ~ N(0, I) the chain is stationary and Var(x_s|x_t) = β (Ho et al. 2020, §3.2)."""
    with jax.enable_x64(True):
        np.testing.assert_allclose(gaps((max(n, 25),), "fixed_large", std=1.0), 0, atol=1e-6)
        process = from_betas(linear_betas(50, 0.002, 0.4))
        grid = subset_grid(50, min(n, 50))
        theory = Theory(process, grid, 1.0)
    np.testing.assert_allclose(theory.true, theory.beta, rtol=1e-5)
    np.testing.assert_allclose(theory.last[1], theory.last[2], rtol=1e-5)


@pytest.mark.slow
def test_bits_of_levels_are_above_their_entropy_and_near_it():
    """Data on 256 levels, drawn from a discretised Gaussian, by the discretised likelihood: bits need no offset."""
    n, levels = 4000, np.linspace(-1, 1, 256)
    weights = np.exp(-((levels - MEAN) ** 2) / (2 * 0.2**2))
    weights /= weights.sum()
    entropy = -np.sum(weights * np.log2(weights))
    x0 = jnp.asarray(np.random.default_rng(0).choice(levels, (n, 1), p=weights), jnp.float32)
    process = from_betas(linear_betas(200, 0.1 / 200, 20 / 200))
    found, denoise = {}, gaussian_denoiser(process, MEAN, 0.2)
    for make in (likelihoods.discretised_gaussian, likelihoods.gaussian_softmax):
        run = partial(variational_bound, process=process, denoise=denoise, variance="fixed_large", likelihood=make())
        bound = jax.jit(lambda keys, x0, run=run: run(keys, x0=x0))(keys_of(n), x0)
        bits = np.float64(bound.total) / math.log(2)
        found[make.__name__] = bits.mean(), bits.std() / np.sqrt(n)
    for mean, error in found.values():
        assert entropy - 3 * error < mean < entropy + 0.1, (found, entropy)
        assert error < 0.03


@pytest.mark.slow
def test_the_default_is_the_whole_chain_and_256_levels():
    x0 = jnp.round(jax.random.uniform(jax.random.key(0), (3, 4)) * 255) / 127.5 - 1
    default = bound_of("whole_cosine_table", grid=None, likelihood=None)(keys_of(3), x0)
    given = bound_of("whole_cosine_table", likelihood=likelihoods.discretised_gaussian(), variance="fixed_small")
    assert default.transitions.shape == (3, 49)
    chex.assert_trees_all_equal(default, given(keys_of(3), x0))


@pytest.mark.slow
def test_every_sample_and_step_has_noise_of_its_own():
    """At x0 = MEAN a term of the exact denoiser is in proportion to eps²: between steps its correlation is 0."""
    run, x0, keys, n = bound_of("vp"), data(4000), keys_of(4000), 4000
    moved = run(jnp.concatenate([keys_of(n, 1)[1:], keys[:1]]), jnp.zeros_like(x0).at[-1].set(x0[0]))
    first, last = jax.tree.map(lambda x: x[0], run(keys, x0)), jax.tree.map(lambda x: x[-1], moved)
    chex.assert_trees_all_close(first, last, rtol=1e-5)
    found = run(keys, jnp.full((n, 1), MEAN))
    assert np.mean(np.diff(found.transitions, axis=0) != 0) > 0.9  # of the same data
    correlation = np.corrcoef(np.column_stack([found.transitions, found.reconstruction]).T)
    assert np.all(np.abs(correlation - np.eye(len(correlation))) < 5 / np.sqrt(n))


@pytest.mark.slow
def test_each_example_has_its_own_step():
    """bound_term at (B,) times is bound_term at each of them, L_0 included."""
    process, index = DISCRETE["cosine_table"], jnp.array([1, 2, 3, 25, 49, 50])
    x0, eps = jax.random.normal(jax.random.key(0), (2, 6, 4)) / 2
    s, t = (index - 1) / 50, index / 50
    x_t = perturb(process, x0, t, eps)

    @jax.jit
    def terms(x_t, x0, s, t):
        prediction = gaussian_denoiser(process, MEAN, STD)(x_t, t)._replace(
            variance_interpolation=jnp.full_like(x_t, 0.3)
        )
        options = {"likelihood": likelihoods.gaussian()}
        return [bound_term(process, prediction, x_t, x0, s, t, variance=v, **options) for v in VARIANCES]

    together = np.stack(terms(x_t, x0, s, t), 1)
    for b in range(6):
        alone = terms(x_t[b : b + 1], x0[b : b + 1], s[b], t[b])
        np.testing.assert_allclose(together[b], np.concatenate(alone), rtol=1e-4)


@pytest.mark.slow
def test_float32_keeps_the_digits_of_every_step_of_a_long_chain():
    n, (start, noise), found = 1000, np.random.default_rng(0).normal(size=(2, 1, 64)), []
    for dtype in (jnp.float32, jnp.float64):
        with jax.enable_x64(dtype == jnp.float64):
            process = from_betas(linear_betas(n))
            x0, eps = MEAN + STD * jnp.asarray(start, dtype), jnp.asarray(noise, dtype)
            options = {"variance": "fixed_large", "likelihood": likelihoods.gaussian()}

            def term(i, process=process, x0=x0, eps=eps, options=options):
                x_t, denoise = perturb(process, x0, i / n, eps), gaussian_denoiser(process, MEAN, STD)
                return bound_term(process, denoise(x_t, i / n), x_t, x0, (i - 1) / n, i / n, **options)[0]

            found.append(jax.jit(jax.vmap(term))(jnp.arange(1, n + 1, dtype=dtype)))
    assert [terms.dtype for terms in found] == [jnp.float32, jnp.float64]
    np.testing.assert_allclose(*found, rtol=2e-3, atol=1e-5)


# -- the reverse kernel --------------------------------------------------------------------------------------------


@pytest.mark.first_by_day
@pytest.mark.parametrize(
    "name", ["ve", "zero_snr", *(slow(name) for name in PROCESSES if name not in ("ve", "zero_snr"))]
)
def test_the_reverse_kernel_is_the_posterior_at_predicted_x0(name):
    process, grid = GRIDS[name]
    x_t, x0 = jax.random.normal(jax.random.key(0), (2, 3, 4))
    t, s = jnp.asarray(grid[[1, 3, 5]]), jnp.asarray(grid[[2, 5, 8]])
    fraction = jnp.linspace(0, 1, 12).reshape(3, 4)
    prediction = Prediction(x0, x_t, fraction)
    mean, std = posterior(process, x_t, x0, s, t)
    ratio = process.alpha(t) / process.alpha(s)
    beta = (process.variance(t) - ratio**2 * process.variance(s))[:, None]
    expected = {
        "fixed_small": std,
        "fixed_large": np.sqrt(beta),
        "learned": std ** (1 - fraction) * np.sqrt(beta) ** fraction,
    }
    for variance, std_expected in expected.items():
        found = reverse_kernel(process, prediction, x_t, s, t, variance)
        np.testing.assert_allclose(found.mean, mean, rtol=1e-6)
        np.testing.assert_allclose(*np.broadcast_arrays(found.std, std_expected), rtol=1e-3)
        alone = reverse_kernel(process, Prediction(x0[:1], x_t[:1], fraction[:1]), x_t[:1], s[0], t[0], variance)
        np.testing.assert_allclose(alone.std.squeeze(), found.std[:1].squeeze(), rtol=1e-5)
        # the step to s = 0 takes β̃
        last = reverse_kernel(process, prediction, x_t, 0.0, t, variance)
        np.testing.assert_allclose(*np.broadcast_arrays(last.std, posterior(process, x_t, x0, 0.0, t).std), rtol=1e-6)
    first, second = grid[-2], grid[-3]
    low, high = posterior(process, x_t, x0, first, second).std, process.sigma(first)
    expected = {"fixed_small": low, "fixed_large": high, "learned": low ** (1 - fraction) * high**fraction}
    for variance, std_expected in expected.items():
        found = final_kernel(process, prediction, first, second, variance)
        np.testing.assert_array_equal(found.mean, x0)
        np.testing.assert_allclose(found.std, std_expected, rtol=1e-5)


def test_the_final_kernel_of_a_ddpm_is_between_its_first_two_variances():
    """Of the linear schedule of 1000 steps: β̃_2 = 5.45319e-5 and β_1 = 1e-4 (Nichol & Dhariwal's code)."""
    prediction = Prediction(jnp.zeros((1, 1)), jnp.zeros((1, 1)))
    for variance, expected in (("fixed_small", 5.45319e-5), ("fixed_large", 1e-4)):
        std = final_kernel(PROCESSES["linear"], prediction, 1 / 1000, 2 / 1000, variance).std
        np.testing.assert_allclose(std**2, expected, rtol=1e-5)


# -- compilation ---------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_sweeps_compile_once_and_vmap_over_schedules():
    @chex.assert_max_traces(n=2)  # jit and vmap
    def total(process, grid, keys, x0):
        denoise = gaussian_denoiser(process, MEAN, STD)
        return variational_bound(keys, process, denoise, x0, grid=grid, likelihood=likelihoods.gaussian()).total

    compiled, x0, keys = jax.jit(total), data(3, (2,)), keys_of(3)
    betas, grids = jnp.array([5.0, 20.0, 20.0]), np.stack([uniform_grid(6), uniform_grid(6), quadratic_grid(6)])
    values = np.stack([compiled(vp(beta_max=beta), grid, keys, x0) for beta, grid in zip(betas, grids, strict=True)])
    assert np.all(np.diff(values, axis=0) != 0)
    found = jax.jit(jax.vmap(lambda beta, grid: total(vp(beta_max=beta), grid, keys, x0)))(betas, jnp.asarray(grids))
    np.testing.assert_allclose(found, values, rtol=1e-4)


def test_one_step_of_the_scan_holds_one_network():
    """The cost in memory and compilation does not grow with the number of steps."""
    programs = [jax.make_jaxpr(bound_of("vp", grid=uniform_grid(n)))(keys_of(2), data(2)) for n in (4, 40)]
    assert [str(program).count("scan[") for program in programs] == [1, 1]
    lines = [len(str(program).splitlines()) for program in programs]
    assert abs(lines[0] - lines[1]) < 0.05 * lines[0]


# -- refusals ------------------------------------------------------------------------------------------------------


def test_refusals(unchecked):
    process, x0, keys = from_betas(linear_betas(20, 0.005, 0.4)), data(4, (3,)), keys_of(4)
    denoise = gaussian_denoiser(process, MEAN, STD)
    run = lambda keys=keys, process=process, **options: variational_bound(keys, process, denoise, x0, **options)
    refuses(
        ("unknown variance 'medium'", lambda: run(variance="medium")),
        ("learned_variance=True", lambda: run(variance="learned")),
        ("at least two steps", lambda: run(grid=[1.0, 0.0])),
        (r"must end at 0, got \[1.0, 0.5, 0.1\]", lambda: run(grid=[1.0, 0.5, 0.1])),
        (r"descend strictly within \[0, 1\].*got \[0.  0.5 1. \]", lambda: run(grid=[0.0, 0.5, 1.0])),
        (r"use subset_grid\(20, n\)", lambda: run(grid=uniform_grid(7))),
        ("one for each of 4 samples", lambda: run(keys[:3])),
        ("a continuous process needs a grid", lambda: run(process=vp())),
        ("give the grid's two cleanest times", lambda: bound_term(vp(), denoise(x0, 0.5), x0, x0, 0.2, 0.5)),
    )
