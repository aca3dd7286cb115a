"""NCSNv2's techniques against their equations, scipy, the paper's settings, and the exact law of Langevin dynamics."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from affine_law import law
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import gaussian_denoiser, nightly, slow
from refusals import refuses
from scipy.optimize import brentq, minimize_scalar
from scipy.spatial.distance import pdist
from scipy.stats import chisquare, norm

from jaxgen.diffusion import denoiser, denoising_loss, edm, ncsn, noise_grid, score, ve, weighting
from jaxgen.samplers import annealed_langevin

# sigma_1, L, T and the step α of the settings published with the paper; sigma_L = .01
PUBLISHED = {
    "cifar10": (50, 232, 5, 6.2e-6),
    "celeba": (90, 500, 5, 3.3e-6),
    "bedroom": (190, 1086, 3, 1.8e-6),
    "ffhq": (348, 2311, 3, 0.9e-6),
}
LAST = 0.01


# -- the first level ---------------------------------------------------------------------------------------------

RNG = np.random.default_rng(0)
DISTANCE = jax.jit(ncsn.max_pairwise_distance, static_argnames=("block", "subset"))
SHAPES = [slow(event, block) for event in ((), (3,), (4, 4, 3)) for block in (1, 7, 16, 50, 64, 1000)]
POINTS = {
    **{f"scale {scale}": scale * np.random.default_rng(5).normal(size=(40, 3))
       for scale in (1e-37, 1e-25, 1e-3, 1e10, 1e20, 1e37)},
    # where ‖a‖² + ‖b‖² − 2a·b of the points themselves is off by tens
    "far from the origin": 1e4 + RNG.normal(size=(40, 3)),
    **{f"pair {i} {j}": RNG.normal(size=(40, 3)) + 100 * np.eye(40)[:, [i] * 3] - 100 * np.eye(40)[:, [j] * 3]
       for i, j in ((0, 1), (0, 39), (17, 18), (38, 39), (20, 36))},
    "far": [[1e38, 0], [-2e38, 0]],
    "largest": [[2e38, 0], [3e38, 0]],
    "smallest": [[2e-38, 0], [-3e-38, 0]],
    "least": [[1.2e-38, 0], [0, 0]],
    "small beside large": [[3e38, 1e-37], [3e38, 3e-37], [3e38, 0]],
    "sum overflows": RNG.uniform(1e36, 2e36, (1000, 3)),
    "all large": RNG.uniform(3e38, 3.4e38, (1000, 1)),
}  # fmt: skip


@pytest.mark.parametrize(("event", "block"), [((4, 4, 3), 7), *SHAPES])
def test_max_pairwise_distance_is_scipys(event, block):
    x = np.random.default_rng(0).normal(size=(50, *event)).astype(np.float32)
    expected = pdist(np.float64(x).reshape(50, -1)).max()
    np.testing.assert_allclose(ncsn.max_pairwise_distance(x, block=block), expected, rtol=1e-6)
    np.testing.assert_allclose(DISTANCE(x, block=block), expected, rtol=1e-6)


@pytest.mark.first_by_day
@pytest.mark.parametrize("name", POINTS)
def test_points_anywhere_and_of_any_scale_keep_their_digits(name):
    x = np.asarray(POINTS[name], np.float32)
    np.testing.assert_allclose(DISTANCE(x, block=16 if len(x) == 40 else 300), pdist(np.float64(x)).max(), rtol=1e-6)


def test_distances_that_are_not_finite_and_0():
    nan, inf = (jnp.zeros((5, 1)).at[3].set(value) for value in (jnp.nan, jnp.inf))
    assert jnp.isnan(DISTANCE(nan)) & jnp.isnan(DISTANCE(inf))
    for far in ([3e38, -3e38, 0, 0, 0], [0, 3e38, -3e38, 0, 0]):
        assert not jnp.isfinite(DISTANCE(np.asarray(far, np.float32)[:, None]))
    assert DISTANCE(jnp.full((5, 1), 0.3)) == 0


def test_float64_stays_and_halves_are_widened():
    x = np.random.default_rng(3).normal(size=(60, 4))
    with jax.enable_x64(True):
        found = DISTANCE(jnp.asarray(x), block=16)
    assert found.dtype == jnp.float64
    np.testing.assert_allclose(found, pdist(x).max(), rtol=1e-14)
    half = jnp.asarray(x, jnp.bfloat16)
    found = DISTANCE(half, block=16)
    assert found.dtype == jnp.float32
    np.testing.assert_allclose(found, pdist(np.asarray(half, np.float64)).max(), rtol=1e-6)


@pytest.mark.slow
def test_a_subset_is_drawn_by_the_key():
    x = np.random.default_rng(4).normal(size=(100, 2)).astype(np.float32)
    found = np.array([DISTANCE(x, subset=30, key=key) for key in jax.random.split(jax.random.key(0), 20)])
    assert len(set(found.tolist())) > 3
    assert np.abs(found[:, None] - pdist(x)).min(-1).max() < 1e-5  # each is the distance of a pair
    assert np.all(found <= DISTANCE(x))
    assert DISTANCE(x, subset=100) == DISTANCE(x)


def test_memory_is_a_tiles():
    """Twenty thousand points have 1.6 GB of distances; what is held beside the points is less than 2 MB."""
    compiled = DISTANCE.lower(jax.ShapeDtypeStruct((20_000, 4), jnp.float32), block=256).compile()
    assert compiled.memory_analysis().temp_size_in_bytes < 2e6


# -- the levels --------------------------------------------------------------------------------------------------


@settings(max_examples=15, deadline=None)
@given(st.integers(5, 10**6), st.floats(0.01, 0.99))
def test_c3_5_the_ratio_solves_the_overlap_equation(dims, overlap):
    """Φ(√(2D)(γ−1)+3γ) − Φ(√(2D)(γ−1)−3γ) is the overlap, Φ the distribution function."""
    width = np.sqrt(2 * dims)
    shared = lambda g: norm.cdf(width * (g - 1) + 3 * g) - norm.cdf(width * (g - 1) - 3 * g)
    gamma = ncsn.overlap_ratio(dims, overlap)
    assert shared(gamma) == pytest.approx(overlap, abs=1e-9)
    if dims > 50:
        assert gamma == pytest.approx(brentq(lambda g: shared(g) - overlap, 1, 4, xtol=1e-13), abs=1e-9)


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_papers_levels(name):
    first, n, *_ = PUBLISHED[name]
    sigmas = ncsn.geometric_sigmas(first, LAST, n)
    assert sigmas.shape == (n,)
    assert sigmas.dtype == np.float64
    np.testing.assert_allclose(sigmas[[0, -1]], [first, LAST], rtol=1e-12)
    np.testing.assert_allclose(sigmas, np.exp(np.linspace(np.log(first), np.log(LAST), n)), rtol=1e-12)
    assert ncsn.num_noise_levels(first, LAST, sigmas[0] / sigmas[1]) == n


def test_the_papers_cifar_levels_are_finer_than_half_an_overlap():
    """232 levels from 50 to .01 have the ratio 1.0376, below γ(3072) = 1.0398; 220 are the fewest for that."""
    gamma, papers = ncsn.overlap_ratio(3072), 5000 ** (1 / 231)
    assert gamma > papers
    width = np.sqrt(2 * 3072) * (papers - 1)
    shared = norm.cdf(width + 3 * papers) - norm.cdf(width - 3 * papers)
    assert round(shared, 3) == 0.567
    assert ncsn.overlap_ratio(3072, shared) == pytest.approx(papers, abs=1e-10)
    assert ncsn.num_noise_levels(50, LAST, gamma) == 1 + int(np.ceil(np.log(5000) / np.log(1.03979642)))


@settings(max_examples=15, deadline=None)
@given(st.floats(1e-4, 1.0), st.floats(1.01, 1e4), st.floats(1.001, 9.0))
def test_levels_are_the_fewest(last, span, gamma):
    first = last * span
    n = ncsn.num_noise_levels(first, last, gamma)
    assert (first / last) ** (1 / (n - 1)) <= gamma * (1 + 1e-6)
    assert n == 2 or (first / last) ** (1 / (n - 2)) > gamma * (1 - 1e-6)


@pytest.mark.parametrize(("first", "gamma", "n"), [(8, 2, 4), (1000, 10, 4), (3**7, 3, 8), (2, 2, 2), (2.0001, 2, 3)])
def test_levels_of_whole_powers(first, gamma, n):
    assert ncsn.num_noise_levels(first, 1, gamma) == n
    if first != 2.0001:
        np.testing.assert_allclose(ncsn.geometric_sigmas(first, 1, n), float(gamma) ** np.arange(n)[::-1], rtol=1e-12)


# -- the step ----------------------------------------------------------------------------------------------------


def law_of_levels(step, process, times, steps, variance):
    """Variance of x after `steps` moves of `annealed_langevin` at each level of the grid; the data are one point, 0."""
    # one move for each time of a grid, those of a level at times as good as equal, so that each has noise of its own;
    # the end is a level too if it is ve's own
    last = 1e-10 * np.arange(steps)[::-1] if times[-1] == 0 else times[-1:]
    times = np.append(np.asarray(times)[:-1, None] - 1e-10 * np.arange(steps), last)
    move = annealed_langevin(step, LAST, 1)
    mean, variance = law(move, process, gaussian_denoiser(process, 0.0, 0.0), times, 0.0, variance)
    assert mean == 0
    return float(variance)


def one_level(step, first, n, steps, level):
    """Variance over σ² after the Langevin steps of one level, begun at that of the level before."""
    gamma, process = (first / LAST) ** (1 / (n - 1)), ve(LAST, float(first))
    t = 1 - level / (n - 1)
    sigma = LAST * (first / LAST) ** t
    return law_of_levels(step, process, [t, t - 1e-8], steps, (gamma * sigma) ** 2) / sigma**2


@pytest.mark.parametrize(
    ("first", "n", "steps"),
    [(50, 232, 5), slow(348, 2311, 3), slow(1.0, 10, 5), slow(1.0, 4, 1), slow(5, 3, 20)],
)
def test_the_variance_equation_is_the_law_of_the_sampler(first, n, steps):
    """Proposition 3, by the exact mean and variance of `annealed_langevin` itself, at two levels and three steps."""
    with jax.enable_x64(True):
        gamma, best = (first / LAST) ** (1 / (n - 1)), ncsn.step_size(first, LAST, n, steps)
        for step in (0.5 * best, best, 1.2 * best):
            for level in (1, n // 2):
                expected = float(ncsn.variance_ratio(step, LAST, gamma, steps))
                assert one_level(step, first, n, steps, level) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(
    ("first", "n", "steps"),
    [(50, 232, 5), slow(90, 500, 5), slow(1.0, 10, 5), slow(1.0, 4, 1), slow(5, 3, 20)],
)
def test_the_step_brings_the_samplers_variance_nearest_to_1(first, n, steps):
    """No step does better, on a grid over all stable ones and by scipy; neighbours and the paper's α do worse."""
    gamma, best = (first / LAST) ** (1 / (n - 1)), ncsn.step_size(first, LAST, n, steps)
    distance = lambda step: np.abs(ncsn.variance_ratio(step, LAST, gamma, steps) - 1)
    everywhere = np.linspace(1e-6, 1 - 1e-6, 100_001) * 4 * LAST**2
    assert distance(best) <= distance(everywhere).min() * (1 + 1e-12)
    nearest = everywhere[distance(everywhere).argmin()]
    assert abs(best - nearest) <= everywhere[1] - everywhere[0]
    found = minimize_scalar(
        distance, bounds=(nearest * 0.8, nearest * 1.2), method="bounded", options={"xatol": 1e-12 * nearest}
    )
    assert best == pytest.approx(found.x, rel=1e-5)
    with jax.enable_x64(True):
        measured = [abs(one_level(f * best, first, n, steps, 1) - 1) for f in (0.5, 0.97, 1.0, 1.03)]
    assert np.argmin(measured) == 2


@pytest.mark.slow
def test_a_level_of_the_sampler_is_that_many_moves():
    """x0 at 0 and T steps at once: what is left of x is (1 − u)^T of it, by differentiating the sampler itself."""
    with jax.enable_x64(True):
        process, step, t = ve(LAST, 50.0), ncsn.step_size(50, LAST, 232, 5), jnp.float64(0.4)
        sampler, keys = annealed_langevin(step, LAST, 5), jax.random.split(jax.random.key(0), 1)
        denoise = gaussian_denoiser(process, 0.0, 0.0)
        after = lambda x: sampler.step(keys, process, denoise, t, t - 0.1, x.reshape(1, 1), None)[0][0, 0]
        kept = (1 - step / (2 * LAST**2)) ** 5
        np.testing.assert_allclose(jax.grad(after)(jnp.float64(0.3)), kept, rtol=1e-10)


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_step_is_twice_the_published_one(name):
    """Published to two digits (one for ffhq), and in the convention x + α score + √(2α) z."""
    first, n, steps, published = PUBLISHED[name]
    assert ncsn.step_size(first, LAST, n, steps) / 2 == pytest.approx(published, abs=0.05e-6)


def test_the_published_setting_is_near_1():
    """For CIFAR-10 one level leaves the variance within 6 % of σ²; ten times too small a step leaves the start's γ²."""
    gamma, step = 5000 ** (1 / 231), ncsn.step_size(50, LAST, 232, 5)
    assert 1 < ncsn.variance_ratio(step, LAST, gamma, 5) < 1.06
    assert ncsn.variance_ratio(step / 10, LAST, gamma, 5) > 1.07
    assert ncsn.variance_ratio(step * 5, LAST, gamma, 5) > 1.1


@pytest.mark.parametrize(("first", "n", "steps"), [slow(50, 232, 5), (1.0, 30, 5)])
def test_all_levels(first, n, steps):
    """Level by level the law follows v ← w(γ²v − q) + q from the prior, the last level included, and stays near 1."""
    with jax.enable_x64(True):
        process, step = ve(LAST, float(first)), ncsn.step_size(first, LAST, n, steps)
        sigmas = ncsn.geometric_sigmas(first, LAST, n)
        grid = noise_grid(process, sigmas)
        assert len(grid) == n
        np.testing.assert_allclose(process.sigma(jnp.asarray(grid)), sigmas, rtol=1e-5)
        variance = law_of_levels(step, process, grid, steps, float(first) ** 2)
        u, gamma = step / (2 * LAST**2), (first / LAST) ** (1 / (n - 1))
        q, expected = 1 / (1 - u / 2), 1 / gamma**2
        for _ in range(n):
            expected = (1 - u) ** (2 * steps) * (gamma**2 * expected - q) + q
        assert variance / LAST**2 == pytest.approx(expected, rel=1e-4)
        # a settled chain is a little wider than one level's, which began at σ exactly
        assert 1 < expected < 1.2


# -- training and the network ------------------------------------------------------------------------------------


@nightly("n", [2, 10, 232])
def test_training_and_sampling_see_the_same_levels(n):
    process, sigmas = ve(LAST, 50.0), ncsn.geometric_sigmas(50, LAST, n)
    t = np.asarray(ncsn.noise_level_times(n)(jax.random.key(0), 400 * n))
    index = t * (n - 1)
    np.testing.assert_allclose(index, np.round(index), atol=1e-4)
    level = n - 1 - np.round(index).astype(int)
    np.testing.assert_allclose(process.sigma(t), sigmas[level], rtol=1e-5)
    counts = np.bincount(level, minlength=n)
    assert len(counts) == n
    assert chisquare(counts).pvalue > 1e-3
    np.testing.assert_allclose(noise_grid(process, sigmas), np.linspace(1, 0, n), atol=2e-6)


def test_the_network_sees_no_time_and_is_scaled_by_sigma():
    process, seen = ve(LAST, 50.0), []

    def network(x, t, cond):
        seen.append(t)
        return jnp.tanh(x) + cond

    x, t = jax.random.normal(jax.random.key(0), (4, 3)), jnp.array([0.0, 0.3, 0.7, 1.0])
    wrapped = ncsn.sigma_scaled_score(process, network)
    sigma = (LAST * 5000 ** np.float64(t))[:, None]
    np.testing.assert_allclose(wrapped(x, t, 0.5), (np.tanh(x) + 0.5) / sigma, rtol=1e-5)
    assert all(np.all(np.asarray(time) == 0) for time in seen)
    prediction = denoiser(process, wrapped, predicts="score", cond=0.5)(x, t)
    np.testing.assert_allclose(score(process, prediction, t), (np.tanh(x) + 0.5) / sigma, rtol=1e-5)
    np.testing.assert_allclose(prediction.eps, -(np.tanh(x) + 0.5), rtol=1e-5)


@pytest.mark.slow
def test_the_weighted_loss_is_that_of_the_raw_output():
    """λ(σ) = σ² times ‖f/σ + ε/σ‖² is ‖f(x) + ε‖² at every level (NCSN, eq. 5): no level outweighs another."""
    process, network = ve(LAST, 50.0), lambda x, t, cond: jnp.tanh(x)
    x0 = jax.random.normal(jax.random.key(0), (64, 3))
    key, times = jax.random.key(1), ncsn.noise_level_times(10)
    scaled = ncsn.sigma_scaled_score(process, network)
    options = {"predicts": "score", "weighting": weighting.simple(), "times": times}
    found = denoising_loss(key, process, scaled, x0, **options)
    raw = denoising_loss(key, process, lambda x, t, cond: -jnp.tanh(x), x0, times=times)
    np.testing.assert_allclose(found, raw, rtol=1e-4)


def test_where_there_is_no_noise_the_score_is_0():
    wrapped = ncsn.sigma_scaled_score(edm(10.0), lambda x, t, cond: x)
    np.testing.assert_array_equal(wrapped(jnp.ones((2, 3)), jnp.array([0.0, 1.0]), None)[0], 0)


# -- refusals ----------------------------------------------------------------------------------------------------

X = np.zeros((4, 2), np.float32)


def test_refusals(unchecked):
    refuses(
        ("floating point", lambda: ncsn.max_pairwise_distance(np.zeros((4, 2), np.uint8))),
        ("two examples", lambda: ncsn.max_pairwise_distance(X[:1])),
        ("block", lambda: ncsn.max_pairwise_distance(X, block=0)),
        ("subset=1", lambda: ncsn.max_pairwise_distance(X, subset=1, key=jax.random.key(0))),
        ("give a key", lambda: ncsn.max_pairwise_distance(X, subset=2)),
        ("dims >= 5", lambda: ncsn.overlap_ratio(4)),
        ("overlap", lambda: ncsn.overlap_ratio(784, 0.0)),
        ("overlap", lambda: ncsn.overlap_ratio(784, 0.999)),
        ("sigma_last < sigma_first", lambda: ncsn.num_noise_levels(1.0, 2.0, 1.1)),
        ("above 1", lambda: ncsn.num_noise_levels(2.0, 1.0, 1.0)),
        ("sigma_last", lambda: ncsn.geometric_sigmas(2.0, 0.0, 5)),
        ("n=1", lambda: ncsn.geometric_sigmas(2.0, 1.0, 1)),
        ("sigma_first", lambda: ncsn.geometric_sigmas(float("inf"), 1.0, 5)),
        ("n must be at least 2", lambda: ncsn.noise_level_times(1)),
        ("steps must be at least 1", lambda: ncsn.step_size(2.0, 1.0, 5, 0)),
        ("sigma_last < sigma_first", lambda: ncsn.step_size(1.0, 1.0, 5, 1)),
        ("step_size", lambda: ncsn.variance_ratio(0.0, 1.0, 1.1, 5)),
        ("step_size", lambda: ncsn.variance_ratio(4.0, 1.0, 1.1, 5)),
    )
