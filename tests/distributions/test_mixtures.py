"""Gaussian mixtures against scipy, quadrature and their own samples; under every process against autodiff."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracles import slow
from scipy.special import logsumexp
from scipy.stats import chi2, chisquare, kstest, multivariate_normal

from jaxgen.distributions import GaussianMixture, random_mixture, song_ermon_mixture

SEEDS = range(60)


def three():
    factors = np.random.default_rng(0).normal(size=(3, 3, 3))
    return GaussianMixture(
        np.array([0.5, 0.2, 0.3]),
        np.array([[0.0, 1.0, -1.0], [2.0, 0.0, 0.5], [-1.0, -1.0, 1.0]]),
        np.stack([factor @ factor.T + 0.1 * np.eye(3) for factor in factors]),
    )


MIXTURES = {"seminar": song_ermon_mixture, "student": lambda: random_mixture(810199123), "three": three}
every_mixture = pytest.mark.parametrize("name", MIXTURES)


def parts(mixture):
    return [[np.asarray(leaf, np.float64) for leaf in part] for part in zip(*jax.tree.leaves(mixture), strict=True)]


def scipy_log_joint(mixture, x):
    """log w_k N(x; μ_k, Σ_k), (..., K)."""
    x = np.asarray(x, np.float64)
    return np.stack([np.log(w) + multivariate_normal(m, c).logpdf(x) for w, m, c in parts(mixture)], -1)


def scipy_score(mixture, x, step=1e-5):
    """Central differences of scipy's log-density, (N, d)."""
    steps = step * np.eye(x.shape[-1])
    log_p = lambda x: logsumexp(scipy_log_joint(mixture, x), axis=-1)
    return np.stack([(log_p(x + h) - log_p(x - h)) / (2 * step) for h in steps], -1)


@jax.jit
def answers(mixture, x):
    return mixture.log_density(x), mixture.responsibilities(x), mixture.score(x)


# -- densities ---------------------------------------------------------------------------------------------------


@pytest.mark.first_by_day
@every_mixture
def test_density_score_and_responsibilities_are_scipys(name):
    with jax.enable_x64(True):
        mixture = MIXTURES[name]()
        x = mixture.sample(jax.random.key(0), 50)
        x = jnp.concatenate([x, (x + x[::-1]) / 2, 3 * x])
        joint = scipy_log_joint(mixture, x)
        log_density, responsibilities, score = answers(mixture, x)
        np.testing.assert_allclose(log_density, logsumexp(joint, -1), rtol=1e-11)
        shares = np.exp(joint - logsumexp(joint, -1, keepdims=True))
        np.testing.assert_allclose(responsibilities, shares, rtol=1e-8, atol=1e-12)
        np.testing.assert_allclose(score, scipy_score(mixture, np.asarray(x)), rtol=1e-5, atol=1e-6)


@pytest.mark.slow
@every_mixture
def test_any_shape_of_points(name):
    mixture = MIXTURES[name]()
    x = mixture.sample(jax.random.key(0), 6)
    d = x.shape[-1]
    close = lambda found, expected: chex.assert_trees_all_close(found, expected, rtol=1e-5, atol=1e-6)
    whole = mixture.log_density(x), mixture.responsibilities(x), mixture.score(x)
    close(answers(mixture, x), whole)
    close(jax.tree.map(lambda a: a.reshape(6, *a.shape[2:]), answers(mixture, x.reshape(2, 3, d))), whole)
    close(answers(mixture, x[4]), jax.tree.map(lambda a: a[4], whole))
    close(jax.vmap(answers, (None, 0))(mixture, x), whole)


@pytest.mark.slow
def test_far_away_the_nearest_component_rules():
    """At a thousand deviations nothing overflows in float32: the score is that component's −Σ⁻¹(x − μ)."""
    mixture = song_ermon_mixture()
    x = jnp.array([[2000.0, 1000.0], [-1000.0, -3000.0]])
    np.testing.assert_allclose(mixture.score(x), [[-1995, -995], [995, 2995]], rtol=1e-6)
    np.testing.assert_array_equal(mixture.responsibilities(x), [[1, 0], [0, 1]])
    assert np.isfinite(mixture.log_density(x)).all()


@pytest.mark.slow
def test_float32_arrays_give_float32_answers_also_under_x64():
    single = song_ermon_mixture()
    with jax.enable_x64(True):
        double = song_ermon_mixture()
        for mixture, dtype in ((single, jnp.float32), (double, jnp.float64)):
            x = mixture.sample(jax.random.key(0), 5)
            found = x, answers(mixture, x), mixture.perturbed(jnp.float32(0.5), jnp.float64(0.1))
            assert {leaf.dtype for leaf in jax.tree.leaves(found)} == {jnp.dtype(dtype)}


# -- draws -------------------------------------------------------------------------------------------------------


@pytest.mark.first_by_day
@every_mixture
def test_draws_have_the_components_laws(name):
    """Each component as often as its weight, and (x−μ)ᵀΣ⁻¹(x−μ) ~ χ²_d, mean and covariance within five errors."""
    n, mixture = 20_000, MIXTURES[name]()
    x, component = (np.asarray(a) for a in jax.jit(lambda key: mixture.sample_labelled(key, n))(jax.random.key(3)))
    counts = np.bincount(component, minlength=len(mixture.weights))
    assert chisquare(counts, n * np.float64(mixture.weights) / np.float64(mixture.weights).sum()).pvalue > 1e-3
    for k, (_, mean, covariance) in enumerate(parts(mixture)):
        offset = np.float64(x[component == k]) - mean
        distance = np.einsum("ni,ij,nj->n", offset, np.linalg.inv(covariance), offset)
        assert kstest(distance, chi2(len(mean)).cdf).pvalue > 1e-3
        error = np.sqrt(np.diag(covariance) / counts[k])
        assert np.all(np.abs(offset.mean(0)) < 5 * error)
        spread = np.sqrt(np.outer(np.diag(covariance), np.diag(covariance)))
        np.testing.assert_allclose(np.cov(offset.T) / spread, covariance / spread, atol=5 * np.sqrt(2 / counts[k]))


# -- noise -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("alpha", "sigma"), [slow(1.0, 1.0), (0.6, 0.8), slow(0.05, 0.9)])
def test_noised_density_score_and_posterior_mean_are_bayes(alpha, sigma):
    """p(x) = ∫ N(x; αx0, σ²) p(x0) dx0 and E[x0 | x], by scipy's density on a fine grid."""
    mixture = GaussianMixture(
        np.array([0.35, 0.65]),
        np.array([[1.0, -0.5], [-1.0, 0.6]]),
        np.array([[[0.5, 0.3], [0.3, 0.6]], [[0.8, -0.2], [-0.2, 0.4]]]),
    )
    axis = np.linspace(-8, 8, 401)
    x0 = np.stack(np.meshgrid(axis, axis, indexing="ij"), -1).reshape(-1, 2)
    prior = np.exp(logsumexp(scipy_log_joint(mixture, x0), axis=-1)) * (axis[1] - axis[0]) ** 2
    with jax.enable_x64(True):
        mixture = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float64), mixture)
        x = jnp.asarray([[0.2, -0.4], [1.5, 1.0], [-2.0, 0.3]])
        noised = mixture.perturbed(alpha, sigma)
        for point, log_p, gradient, mean in zip(
            x, noised.log_density(x), noised.score(x), mixture.posterior_mean(x, alpha, sigma), strict=True
        ):
            offset = np.asarray(point) - alpha * x0
            joint = prior * np.exp(-(offset**2).sum(-1) / (2 * sigma**2)) / (2 * np.pi * sigma**2)
            np.testing.assert_allclose(log_p, np.log(joint.sum()), atol=1e-6)
            posterior = joint / joint.sum()
            np.testing.assert_allclose(gradient, -(posterior @ offset) / sigma**2, atol=1e-6)
            np.testing.assert_allclose(mean, posterior @ x0, atol=1e-6)


@pytest.mark.slow
def test_one_noise_per_example_is_the_loop_over_examples():
    mixture = three()
    n = 5
    x = mixture.sample(jax.random.key(0), n)
    alpha, sigma = jnp.linspace(0.2, 1.0, n), jnp.linspace(3.0, 0.1, n)

    @jax.jit
    def answers(x, a, s):
        noised = mixture.perturbed(a, s)
        return noised.score(x), noised.log_density(x), mixture.posterior_mean(x, a, s)

    many, each = answers(x, alpha, sigma), jax.vmap(answers)(x, alpha, sigma)
    for i, row in enumerate(zip(x, alpha, sigma, strict=True)):
        of = lambda found, i=i: jax.tree.map(lambda leaf: leaf[i], found)
        for found in (of(many), of(each)):
            chex.assert_trees_all_close(found, answers(*row), rtol=2e-5, atol=1e-5)
    # one of the two may be shared
    np.testing.assert_allclose(
        mixture.perturbed(1, sigma).score(x), mixture.perturbed(jnp.ones(n), sigma).score(x), rtol=1e-6
    )
    # and every point may be seen under every noise
    table = mixture.perturbed(1, sigma).score(x[:, None])
    assert table.shape == (n, n, 3)
    np.testing.assert_allclose(table[2, 4], mixture.perturbed(1, sigma[4]).score(x[2]), rtol=2e-5, atol=1e-5)


def test_noise_adds_up():
    """Noised twice is noised once: α₂(α₁x + σ₁ε) + σ₂ε."""
    mixture = three()
    twice = mixture.perturbed(0.8, 0.5).perturbed(0.5, 1.2)
    chex.assert_trees_all_close(twice, mixture.perturbed(0.4, np.hypot(0.5 * 0.5, 1.2)), rtol=1e-5)
    chex.assert_trees_all_close(mixture.perturbed(1, 0), mixture, rtol=1e-6)


def test_the_posterior_mean_at_both_ends():
    """Without signal it is the data's mean, without noise x/alpha; float32 keeps its digits close to both."""
    mixture = song_ermon_mixture()
    x = jnp.array([[1.0, -2.0], [4.0, 6.0]])
    np.testing.assert_allclose(mixture.posterior_mean(x, 0.0, 1.0), [[3.0, 3.0]] * 2, rtol=1e-6)
    np.testing.assert_allclose(mixture.posterior_mean(x, 0.5, 0.0), 2 * x, rtol=1e-5)
    with jax.enable_x64(True):
        exact = np.asarray(song_ermon_mixture().posterior_mean(jnp.asarray(x, jnp.float64), 1e-4, 1.0))
    np.testing.assert_allclose(mixture.posterior_mean(x, 1e-4, 1.0), exact, rtol=1e-5)
    tweedie = (x + mixture.perturbed(1e-4, 1.0).score(x)) / 1e-4
    assert np.abs(tweedie - exact).max() > 100 * np.abs(mixture.posterior_mean(x, 1e-4, 1.0) - exact).max()


# -- as a pytree -------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_an_argument_of_jit_vmap_and_grad():
    traces = chex.assert_max_traces(lambda mixture, x: mixture.log_density(x).sum(), n=1)
    total = jax.jit(traces)
    x = song_ermon_mixture().sample(jax.random.key(0), 10)
    for mixture in (song_ermon_mixture(), random_mixture(1), random_mixture(2)):
        np.testing.assert_allclose(total(mixture, x), mixture.log_density(x).sum(), rtol=1e-5)
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), random_mixture(1), random_mixture(2))
    each = jax.vmap(lambda mixture: mixture.log_density(x))(stacked)
    np.testing.assert_allclose(each[1], random_mixture(2).log_density(x), rtol=1e-5)
    # built inside, nothing is looked at: concrete weights that sum to 3 would be refused
    build = lambda w: GaussianMixture(w, jnp.zeros((2, 2)), jnp.stack([jnp.eye(2)] * 2)).log_density(jnp.zeros(2))
    np.testing.assert_allclose(jax.jit(build)(jnp.array([1.0, 2.0])), np.log(3) - np.log(2 * np.pi), rtol=1e-6)


@pytest.mark.slow
def test_gradients_of_the_parameters():
    """∂ log p/∂w_k = p(k|x)/w_k, and the gradients in the means add up to −score: moving all is moving x back."""
    with jax.enable_x64(True):
        mixture = three()
        x = mixture.sample(jax.random.key(2), 1)[0]
        gradient = jax.jit(jax.grad(lambda mixture: mixture.log_density(x)))(mixture)
        np.testing.assert_allclose(gradient.weights, mixture.responsibilities(x) / mixture.weights, rtol=1e-10)
        np.testing.assert_allclose(gradient.means.sum(0), -mixture.score(x), rtol=1e-10)
        log_q = jax.jit(lambda sigma: mixture.perturbed(1.0, sigma).log_density(x))
        step = 1e-5
        slope = (log_q(0.7 + step) - log_q(0.7 - step)) / (2 * step)
        np.testing.assert_allclose(jax.grad(log_q)(0.7), slope, rtol=1e-7)
        # the score's own derivative, as sliced score matching and the corrector's analysis take it
        jacobian, hessian = jax.jit(jax.jacfwd(mixture.score))(x), jax.jit(jax.hessian(mixture.log_density))(x)
        np.testing.assert_allclose(jacobian, hessian, rtol=1e-8, atol=1e-10)


# -- the two makers ----------------------------------------------------------------------------------------------


def test_students_mixtures_lie_in_their_ranges():
    drawn = [random_mixture(seed) for seed in SEEDS]
    first = np.array([mixture.weights[0] for mixture in drawn])
    means = np.stack([mixture.means for mixture in drawn]).astype(np.float64)
    eigenvalues = np.linalg.eigvalsh(np.stack([mixture.covariances for mixture in drawn]).astype(np.float64))
    distance = np.linalg.norm(means[:, 0] - means[:, 1], axis=-1)
    for values, low, high in ((first, 0.2, 0.8), (distance, 11, 14), (means.mean(1), -2, 2), (eigenvalues, 0.5, 2)):
        slack = 1e-5 * (high - low)
        assert low - slack <= values.min()
        assert values.max() <= high + slack
        assert np.ptp(values) > 0.8 * (high - low)  # and they fill them
    direction = np.arctan2(*(means[:, 0] - means[:, 1]).T)
    assert kstest((direction / (2 * np.pi)) % 1, "uniform").pvalue > 1e-3
    off_diagonal = np.array([mixture.covariances[:, 0, 1] for mixture in drawn])
    assert np.mean(np.abs(off_diagonal) > 0.05) > 0.7  # full, not diagonal
    assert kstest((first - 0.2) / 0.6, "uniform").pvalue > 1e-3
    chex.assert_trees_all_equal(random_mixture(7), drawn[7])
    random_mixture(10**15)  # longer than 32 bits


def modes(mixture, sigma):
    """How many modes a mixture of two has under noise: all lie on its ridgeline (Ray & Lindsay 2005, theorem 1)."""
    (_, m1, c1), (_, m2, c2) = parts(mixture)
    p1, p2 = (np.linalg.inv(c + sigma**2 * np.eye(2)) for c in (c1, c2))
    a = np.linspace(0, 1, 4001)[:, None, None]
    ridge = np.linalg.solve((1 - a) * p1 + a * p2, ((1 - a) * (p1 @ m1)[:, None] + a * (p2 @ m2)[:, None]))[..., 0]
    noised = GaussianMixture(mixture.weights, mixture.means, mixture.covariances + sigma**2 * jnp.eye(2))
    height = logsumexp(scipy_log_joint(noised, ridge), axis=-1)
    return 1 + np.sum((height[1:-1] < height[:-2]) & (height[1:-1] < height[2:]))


@pytest.mark.slow
def test_two_modes_up_to_sigma_3_and_one_at_7():
    for mixture in (song_ermon_mixture(), *map(random_mixture, SEEDS)):
        assert [modes(mixture, sigma) for sigma in (0, 1, 3, 7)] == [2, 2, 2, 1]


def test_rounding_is_no_asymmetry():
    for scale in (1e-9, 1.0, 1e9):
        root = np.random.default_rng(0).normal(size=(2, 2, 2))
        covariances = np.float32(scale * root @ np.swapaxes(root, -1, -2))
        covariances[:, 0, 1] *= 1 + 1e-6
        assert GaussianMixture(np.array([1, 1]) / 2, np.zeros((2, 2), int), covariances).means.dtype == jnp.float32


# -- refusals ----------------------------------------------------------------------------------------------------

W, M, C = np.array([0.5, 0.5]), np.zeros((2, 2)), np.stack([np.eye(2)] * 2)


REFUSED = [
    (lambda: GaussianMixture(np.array([0.5, 0.6]), M, C), "sum to 1"),
    (lambda: GaussianMixture(np.array([1.5, -0.5]), M, C), "positive"),
    (lambda: GaussianMixture(np.array([1.0, 0.0]), M, C), "positive"),
    (lambda: GaussianMixture(np.array([np.nan, 1.0]), M, C), "positive"),
    (lambda: GaussianMixture(W, M, np.array([[[1, 0.5], [0, 1]]] * 2)), "symmetric"),
    (lambda: GaussianMixture(W, M, np.array([[[1e-9, -1e-9], [0, 1e-9]]] * 2)), "symmetric"),
    (lambda: GaussianMixture(W, M, np.array([[[1e9, 1e-4], [-1e-4, 1e-9]]] * 2)), "symmetric"),
    (lambda: GaussianMixture(W, M, -C), "positive definite"),
    (lambda: GaussianMixture(W, M, np.array([[[1.0, 2.0], [2.0, 1.0]]] * 2)), "positive definite"),
    (lambda: GaussianMixture(W, M, np.nan * C), "finite"),
    (lambda: GaussianMixture(W, M, C[:, :1]), r"covariances \(K, d, d\)"),
    (lambda: GaussianMixture(W, M[:1], C), r"weights \(K,\)"),
    (lambda: GaussianMixture(W, M[0], C), r"means \(K, d\)"),
    (lambda: GaussianMixture(W[:1], M, C), r"weights \(K,\)"),
    (lambda: song_ermon_mixture().perturbed(1, jnp.ones(3)).sample(jax.random.key(0), 4), "vmap"),
    (lambda: random_mixture(-1), "negative"),
]


def test_refusals(unchecked):
    for make, message in REFUSED:
        with pytest.raises(ValueError, match=message):
            make()
