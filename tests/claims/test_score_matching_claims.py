"""Claims of S0 to S3 on score matching; where a source misprints a formula, the printed form is shown to be wrong."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracles import nightly, slow

from jaxgen.diffusion import cosine, denoiser, denoising_loss, edm, from_betas, linear_betas, vp
from jaxgen.samplers import langevin, sample
from jaxgen.score_matching import denoising, explicit, implicit, kernel_density, score_of_energy, sliced


@pytest.fixture(autouse=True)
def x64():
    with jax.enable_x64(True):
        yield


class Mixture:
    """A two-dimensional Gaussian mixture with full covariances: q_σ is the one with Σ_k + σ²I."""

    def __init__(self, weights, means, covariances):
        self.weights, self.means, self.covariances = map(np.array, (weights, means, covariances))

    def log_density(self, x, sigma=0.0):
        """log q_σ(x) of x (..., 2) -> (...)."""
        covariances = self.covariances + sigma**2 * np.eye(2)
        offsets = x[..., None, :] - self.means
        square = jnp.einsum("...ki,kij,...kj->...k", offsets, np.linalg.inv(covariances), offsets)
        log_joint = jnp.log(self.weights) - 0.5 * (square + jnp.log(np.linalg.det(2 * np.pi * covariances)))
        return jax.nn.logsumexp(log_joint, axis=-1)

    def score(self, sigma=0.0):
        return jax.jit(jax.vmap(jax.grad(lambda x: self.log_density(x, sigma))))

    @partial(jax.jit, static_argnums=(0, 2))
    def sample(self, key, n):
        which, noise = jax.random.split(key)
        component = jax.random.choice(which, len(self.weights), (n,), p=self.weights)
        factors = jnp.asarray(np.linalg.cholesky(self.covariances))[component]
        return jnp.asarray(self.means)[component] + jnp.einsum("nij,nj->ni", factors, jax.random.normal(noise, (n, 2)))


DATA = Mixture([0.4, 0.6], [[-1.0, 0.6], [1.1, -0.3]], [[[0.4, 0.25], [0.25, 0.5]], [[0.6, -0.3], [-0.3, 0.3]]])


def grid(half_width, step):
    axis = np.arange(-half_width, half_width + step / 2, step)
    return np.stack(np.meshgrid(axis, axis), -1).reshape(-1, 2)


GRID = grid(8.0, 0.2)


def weights_of(log_density, points):
    """Weights of an expectation by the trapezoidal rule, which converges faster than any power of the step."""
    step = np.ptp(points[:, 0]) / (np.sqrt(len(points)) - 1)
    weights = jnp.exp(jax.jit(log_density)(points)) * step**2
    np.testing.assert_allclose(weights.sum(), 1, rtol=1e-9)
    return weights


SCORES = {
    "shrinks": lambda x: -x / 2,
    "turns": lambda x: jnp.tanh(x @ jnp.array([[1.0, 0.9], [-0.4, 0.5]])) - 0.6 * x,
    "mixture": DATA.score(0.3),
}


def standard_error(draws):
    return np.std(draws, axis=0) / np.sqrt(len(draws))


def within(draws, exact, deviations=4.0):
    """The mean of the draws is the exact value within its standard error, which is returned."""
    error = standard_error(draws)
    np.testing.assert_array_less(np.abs(np.mean(draws, axis=0) - exact), deviations * error + 1e-12)
    return error


# -- explicit, implicit and sliced ---------------------------------------------------------------------------------


@pytest.mark.slow
def test_c1_8_the_score_does_not_depend_on_z():
    """∇_x log(e^{−E}/Z) = −∇E, so score matching's gradient in θ needs no Z, where maximum likelihood's does."""
    x = jnp.linspace(-6, 6, 1201)
    energy = lambda theta, x: theta * x[:, 0] ** 4 / 4 - x[:, 0] ** 2 / 2
    log_z = lambda theta: jnp.log(jnp.exp(-energy(theta, x[:, None])).sum() * (x[1] - x[0]))
    assert abs(log_z(0.5)) > 0.1
    points = jnp.asarray(np.random.default_rng(0).normal(size=(50, 1)))
    normalised = lambda theta, x: energy(theta, x) + log_z(theta)
    gradients = {}
    for name, e in {"e^-E": energy, "e^-E/Z": normalised}.items():
        log_density = lambda theta, x, e=e: -e(theta, x).mean()
        objective = lambda theta, x, e=e: implicit(score_of_energy(lambda x: e(theta, x)), x).mean()
        score = score_of_energy(lambda x, e=e: e(0.5, x))(points)
        gradients[name] = score, jax.grad(objective)(0.5, points), jax.grad(log_density)(0.5, points)
    for found, expected in zip(gradients["e^-E"][:2], gradients["e^-E/Z"][:2], strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-12)
    np.testing.assert_allclose(gradients["e^-E"][0], points - 0.5 * points**3, rtol=1e-12, atol=1e-12)
    assert abs(gradients["e^-E"][2] - gradients["e^-E/Z"][2]) > 0.1


def test_c1_9_implicit_is_explicit_plus_a_constant():
    """E[½‖s‖² + tr ∇s] = E ½‖s − ∇log p‖² − ½E‖∇log p‖², by quadrature; the homework prints ∇s for its trace."""
    x = jnp.asarray(GRID)
    p, target = weights_of(DATA.log_density, x), DATA.score()
    constant = -0.5 * jnp.sum(p[:, None] * target(x) ** 2)
    gaps = {"trace": [], "all entries": [], "antitrace": []}
    for score in SCORES.values():
        esm = p @ jax.jit(lambda x, score=score: explicit(score, target, x))(x)
        gaps["trace"].append(p @ jax.jit(lambda x, score=score: implicit(score, x))(x) - esm)
        jacobian = jax.jit(jax.vmap(jax.jacfwd(lambda row, score=score: score(row[None])[0])))(x)
        square = 0.5 * (score(x) ** 2).sum(-1)
        gaps["all entries"].append(p @ (square + jacobian.sum((1, 2))) - esm)
        gaps["antitrace"].append(p @ (square + jacobian[:, 0, 1] + jacobian[:, 1, 0]) - esm)
    np.testing.assert_allclose(gaps["trace"], constant, rtol=1e-8)
    # any other reduction of ∇s to a number is off, and not by a constant
    assert np.ptp(gaps["all entries"]) > 0.1
    assert np.ptp(gaps["antitrace"]) > 0.1


@pytest.mark.parametrize("distribution", ["rademacher", slow("gaussian"), slow("sphere")])
def test_c1_9_sliced_is_an_unbiased_estimate(distribution):
    """Over the whole of p: E_p E_v of SSM and of SSM-VR is E_p of the implicit objective."""
    n, score = 100_000, SCORES["turns"]
    grid_points = jnp.asarray(GRID)
    exact = weights_of(DATA.log_density, grid_points) @ implicit(score, grid_points)
    x = DATA.sample(jax.random.key(0), n)
    for reduced in (False, True):
        run = partial(sliced, score=score, distribution=distribution, variance_reduced=reduced)
        found = jax.jit(lambda key, x, run=run: run(key, x=x))(jax.random.key(1), x)
        error = within(found, exact)
        assert error < 0.01
        # and given x, which takes its own spread out
        within(found - implicit(score, x), 0.0)


@pytest.mark.slow
def test_c3_1_objectives_2_1_and_2_2_differ_by_a_constant():
    """On the seminar's mixture: equal gradients in every parameter of a model, and none at the truth."""
    mixture = Mixture([0.8, 0.2], [[5.0, 5.0], [-5.0, -5.0]], [np.eye(2), np.eye(2)])
    x = jnp.asarray(grid(14.0, 0.25))
    p = weights_of(mixture.log_density, x)
    truth = {"logit": jnp.log(4.0), "means": jnp.asarray(mixture.means), "log_std": jnp.zeros(2)}

    def energy(theta, x):
        square = ((x[:, None] - theta["means"]) ** 2).sum(-1) / jnp.exp(2 * theta["log_std"])
        return -jax.nn.logsumexp(jnp.array([theta["logit"], 0.0]) - 0.5 * square - 2 * theta["log_std"], axis=-1)

    model = lambda theta: score_of_energy(lambda x: energy(theta, x))
    gradient_21 = jax.jit(jax.grad(lambda theta: p @ explicit(model(theta), mixture.score(), x)))
    gradient_22 = jax.jit(jax.grad(lambda theta: p @ implicit(model(theta), x)))
    other = {"logit": jnp.array(0.3), "means": truth["means"] / 5, "log_std": jnp.array([0.4, 0.7])}
    for theta in (truth, other):
        for name in theta:
            found, expected = gradient_22(theta)[name], gradient_21(theta)[name]
            np.testing.assert_allclose(found, expected, rtol=1e-7, atol=1e-10)
            size = np.abs(expected).max()
            assert size < 1e-9 if theta is truth else size > 1e-3


# -- denoising ---------------------------------------------------------------------------------------------------


def recording(score):
    """The score, and the list of what it was asked."""
    seen = []
    return (lambda x: seen.append(x) or score(x)), seen


def test_c0_6a_explicit_is_denoising_plus_a_constant():
    """E_{x,ε} ½‖s(x̃) + ε/σ‖² = E_{q_σ} ½‖s − ∇log q_σ‖² + d/2σ² − ½E_{q_σ}‖∇log q_σ‖².

    The exam prints p_data under the first expectation: that one is not a constant away.
    """
    sigma, n = 0.7, 200_000
    x, data = jnp.asarray(GRID), DATA.sample(jax.random.key(0), n)
    target = DATA.score(sigma)
    q, p = weights_of(lambda x: DATA.log_density(x, sigma), x), weights_of(DATA.log_density, x)
    constant = 1 / sigma**2 - 0.5 * jnp.sum(q[:, None] * target(x) ** 2)
    dsm, under_q, under_p = {}, {}, {}
    for name, score in SCORES.items():
        dsm[name] = np.asarray(jax.jit(lambda x, score=score: denoising(jax.random.key(1), score, x, sigma))(data))
        errors = jax.jit(lambda x, score=score: explicit(score, target, x))(x)
        under_q[name], under_p[name] = float(q @ errors), float(p @ errors)
        within(dsm[name], under_q[name] + constant)
    gap = dsm["shrinks"] - dsm["turns"]  # of the same noise
    error = within(gap, under_q["shrinks"] - under_q["turns"])
    assert abs(gap.mean() - (under_p["shrinks"] - under_p["turns"])) > 20 * error


@nightly("sigma", [0.3, 2.0])
def test_c0_6b_sigma_times_the_score_is_minus_the_predicted_noise(sigma):
    """With s = −ε̂/σ denoising score matching is ‖ε̂ − ε‖²/2σ²; its optimum on data {x_m} is ε̂ = E[ε|x̃]."""
    points = DATA.sample(jax.random.key(0), 40)
    predicted = lambda x: jnp.tanh(x[:, ::-1]) + 0.3 * x
    score, seen = recording(lambda x: -predicted(x) / sigma)
    found = denoising(jax.random.key(1), score, points, sigma)
    eps = (seen[0] - points) / sigma
    np.testing.assert_allclose(found, ((predicted(seen[0]) - eps) ** 2).sum(-1) / (2 * sigma**2), rtol=1e-8)
    for wrong in (lambda x: predicted(x) / sigma, lambda x: -predicted(x), lambda x: -sigma * predicted(x)):
        assert np.abs(denoising(jax.random.key(1), wrong, points, sigma) - found).max() > 0.1
    # E[ε|x̃] = Σ_m P(x_m|x̃) (x̃ − x_m)/σ
    noise = np.asarray(seen[0][:, None] - points) / sigma
    likelihood = np.exp(-0.5 * (noise**2).sum(-1))
    mean_noise = (likelihood[..., None] * noise).sum(1) / likelihood.sum(1, keepdims=True)
    np.testing.assert_allclose(sigma * kernel_density(seen[0], points, sigma).score, -mean_noise, rtol=1e-8, atol=1e-9)


def test_c3_4_the_target_is_minus_the_displacement_over_sigma_squared():
    """∇_x̃ log N(x̃; x, σ²I) = −(x̃ − x)/σ²: a score that says so costs nothing, one of another sign or power does."""
    x, sigma = DATA.sample(jax.random.key(0), 100), 0.4
    loss = lambda score: np.asarray(denoising(jax.random.key(1), score, x, sigma))
    np.testing.assert_allclose(loss(lambda noised: -(noised - x) / sigma**2), 0, atol=1e-20)
    kernel = lambda noised, x: jax.scipy.stats.norm.logpdf(noised, x, sigma).sum()
    np.testing.assert_allclose(loss(lambda noised: jax.vmap(jax.grad(kernel))(noised, x)), 0, atol=1e-20)
    for wrong in (lambda v: v / sigma**2, lambda v: -v / sigma, lambda v: -v / (2 * sigma**2)):
        assert loss(lambda noised, wrong=wrong: wrong(noised - x)).mean() > 0.5


@pytest.mark.slow
def test_c1_13_the_optimum_is_the_score_with_every_covariance_widened():
    """E[−ε/σ | x̃] by quadrature over x is the score of Σ_k w_k N(μ_k, Σ_k + σ²I), and denoising is least there."""
    sigma, n = 0.8, 100_000
    x, noised = jnp.asarray(GRID), jnp.asarray(grid(2.0, 1.0))
    p = weights_of(DATA.log_density, x)
    displacement = (x - noised[:, None]) / sigma**2
    posterior = p * jnp.exp(-0.5 * sigma**2 * (displacement**2).sum(-1))
    mean = (posterior[..., None] * displacement).sum(1) / posterior.sum(1, keepdims=True)
    optimum = DATA.score(sigma)
    np.testing.assert_allclose(optimum(noised), mean, rtol=1e-8)
    data, key = DATA.sample(jax.random.key(0), n), jax.random.key(1)
    q = weights_of(lambda x: DATA.log_density(x, sigma), x)
    least = np.asarray(denoising(key, optimum, data, sigma))
    # Σ_k as they are, Σ_k + σI, Σ_k + 2σ²I, and means that are off
    moved = Mixture(DATA.weights, DATA.means + 0.1, DATA.covariances)
    for other in (DATA.score(), DATA.score(sigma**0.5), DATA.score(2**0.5 * sigma), moved.score(sigma)):
        excess = np.asarray(denoising(key, other, data, sigma)) - least  # of the same noise
        error = within(excess, q @ explicit(other, optimum, x))
        assert excess.mean() > 5 * error


@pytest.mark.slow
def test_c3_2_denoising_finds_the_data_score_as_sigma_vanishes():
    """The optimum ∇log q_σ is ∇log p + O(σ²): what ∇log p loses to it under q_σ falls as σ⁴, sixteenfold per half."""
    x, data, key = jnp.asarray(GRID), DATA.sample(jax.random.key(0), 200_000), jax.random.key(1)
    losses = []
    for sigma in (0.4, 0.2, 0.1, 0.05):
        q = weights_of(lambda x, sigma=sigma: DATA.log_density(x, sigma), x)
        losses.append(float(q @ explicit(DATA.score(), DATA.score(sigma), x)))
        excess = denoising(key, DATA.score(), data, sigma) - denoising(key, DATA.score(sigma), data, sigma)
        error = within(np.asarray(excess), losses[-1])
        if sigma == 0.4:
            assert losses[-1] > 10 * error
    ratios = np.array(losses[:-1]) / losses[1:]
    assert np.all(np.diff(ratios) > 0)
    np.testing.assert_allclose(ratios[-1], 16, rtol=0.1)


@nightly("process", [vp(), cosine(), from_betas(linear_betas(100))], ids=["vp", "cosine", "ddpm"])
def test_c3_8_l_simple_is_weighted_denoising_score_matching(process):
    """Per example and for the same noise: mean (ε − ε_θ)² = (2σ²/d) ½‖s + ε/σ‖², s = −ε_θ/σ, of data alpha x0."""
    x0 = jax.random.normal(jax.random.key(0), (50, 2, 3))
    t = jnp.arange(1, 51) / 50
    network = lambda x, t, cond: jnp.tanh(x) + 0.2 * t[:, None, None]
    _, noise_key = jax.random.split(jax.random.key(1))
    seen = []

    def eps_model(x, t, cond):
        seen.append(x)
        return network(x, t, cond)

    simple = denoising_loss(jax.random.key(1), process, eps_model, x0, times=lambda key, n: t)
    alpha, sigma = process.alpha(t), process.sigma(t)
    score, asked = recording(lambda x: -network(x, t, None) / sigma[:, None, None])
    dsm = denoising(noise_key, score, alpha[:, None, None] * x0, sigma)
    np.testing.assert_allclose(asked[0], seen[0], rtol=1e-5)  # the same x_t in both, but for a float32 table
    np.testing.assert_allclose(simple, 2 * sigma**2 / 6 * dsm, rtol=1e-5)
    assert np.abs(simple / (2 * dsm / 6) - 1).max() > 0.5  # λ = σ², not 1


# -- kernel densities --------------------------------------------------------------------------------------------

POINTS = np.array([[-1.2, 0.3], [0.4, 1.0], [0.9, -0.8], [-0.3, -1.1], [1.5, 0.6]])


def kernel_log_density(x, sigma):
    kernels = jnp.exp(-0.5 * ((x - POINTS) ** 2).sum(-1) / sigma**2) / (2 * jnp.pi * sigma**2)
    return jnp.log(kernels.mean())


@pytest.mark.slow
def test_c2_8a_the_kernel_density_score():
    """∇log (1/M) Σ_m N(x; x_m, σ²I) = (1/M) Σ_m N_m (x_m − x)/σ² / ((1/M) Σ_m N_m).

    The printed formula has no 1/M in its numerator, and is M times too large.
    """
    sigma, x = 0.6, jnp.asarray(grid(2.0, 0.5))
    found = kernel_density(x, jnp.asarray(POINTS), sigma).score
    np.testing.assert_allclose(found, jax.vmap(jax.grad(lambda x: kernel_log_density(x, sigma)))(x), rtol=1e-9)
    offsets = POINTS - x[:, None]
    kernels = np.exp(-0.5 * (offsets**2).sum(-1) / sigma**2) / (2 * np.pi * sigma**2)
    numerator, density = (kernels[..., None] * offsets / sigma**2).sum(1), kernels.mean(-1, keepdims=True)
    np.testing.assert_allclose(found, numerator / 5 / density, rtol=1e-9)
    printed = numerator / density
    assert np.abs(printed - found).max() > 1
    np.testing.assert_allclose(printed, 5 * found, rtol=1e-9)


@pytest.mark.slow
def test_c2_8b_the_kernel_density_score_alone_minimises_j1():
    """J₁(s) = E_{q_σ} ½‖s − ∇log q_σ‖² is 0 at the kernel-density score and ½E‖h‖² at h from it."""
    sigma, x = 0.5, jnp.asarray(GRID)
    q = weights_of(jax.vmap(lambda x: kernel_log_density(x, sigma)), x)
    target = jax.vmap(jax.grad(lambda x: kernel_log_density(x, sigma)))
    best = lambda x: kernel_density(x, jnp.asarray(POINTS), sigma).score
    bulk = q > 1e-30  # beyond, the density itself is not representable
    j1 = lambda score: jnp.sum(jnp.where(bulk, q * explicit(score, target, jnp.where(bulk[:, None], x, 0)), 0))
    assert j1(best) < 1e-20
    for h in (lambda x: 0.1 * jnp.sin(3 * x), lambda x: 0.02 * x[:, ::-1]):
        np.testing.assert_allclose(j1(lambda x, h=h: best(x) + h(x)), 0.5 * jnp.sum(q[:, None] * h(x) ** 2), rtol=1e-6)


def test_c2_8c_j2_is_j1_plus_a_constant():
    """On a finite set: E_m E_ε ½‖s(x_m + σε) + ε/σ‖² = E_{q_σ} ½‖s − ∇log q_σ‖² + C, C the same for every s."""
    sigma, n = 0.5, 200_000
    points, x = jnp.asarray(POINTS), jnp.asarray(GRID)
    best = lambda x: kernel_density(x, points, sigma).score
    q = weights_of(lambda x: kernel_density(x, points, sigma).log_density, x)
    constant = 1 / sigma**2 - 0.5 * jnp.sum(q[:, None] * best(x) ** 2)
    assert constant > 0.3
    data = jnp.tile(points, (n // 5, 1))
    for score in (*SCORES.values(), best):
        j2 = np.asarray(denoising(jax.random.key(0), score, data, sigma))
        error = within(j2, q @ explicit(score, best, x) + constant)
        assert error < 0.02 * constant


@nightly("sigma", [0.2, 0.7])
def test_c2_8c_denoising_on_a_finite_set_is_least_at_the_kernel_density_score(sigma):
    """With common noise, moving the score by h costs ½E‖h‖² in expectation, whatever h."""
    points = jnp.asarray(POINTS)
    data = jnp.tile(points, (20_000, 1))
    best, seen = recording(lambda x: kernel_density(x, points, sigma).score)
    least = denoising(jax.random.key(0), best, data, sigma)
    for seed in range(3):
        weights, phases = jax.random.normal(jax.random.key(seed + 10), (2, 2, 2))
        h = lambda x, weights=weights, phases=phases: 0.3 * jnp.sin(2 * x @ weights + phases[0])
        excess = denoising(jax.random.key(0), lambda x, h=h: best(x) + h(x), data, sigma) - least
        cost = 0.5 * (h(seen[0]) ** 2).sum(-1)
        error = within(np.asarray(excess - cost), 0.0)
        assert excess.mean() > 5 * error


@pytest.mark.slow
def test_c2_8d_denoising_then_langevin_samples_q_sigma():
    """Langevin with what denoising converges to has the moments of the noised data, not of the data."""
    sigma, n, step = 0.8, 8000, 0.05
    points, process = jnp.asarray(POINTS, jnp.float32), edm(10.0)
    score = lambda x, t, cond: kernel_density(x, points, process.sigma(t)).score
    denoise = denoiser(process, score, predicts="score")
    keys, start = jax.random.split(jax.random.key(0), n), 3 * jax.random.normal(jax.random.key(1), (n, 2), jnp.float32)
    times = np.array([sigma / 10, 0.0])
    x = np.float64(sample(keys, process, denoise, langevin(step, 400), times, (2,), start=start))
    mean, covariance = POINTS.mean(0), np.cov(POINTS.T, bias=True) + sigma**2 * np.eye(2)
    spread = np.sqrt(np.diag(covariance))
    assert np.all(np.abs(x.mean(0) - mean) < 5 * spread / np.sqrt(n))
    scale = np.outer(spread, spread)
    bias = step / (4 * sigma**2)  # of the step, at most: on N(m, v) the variance is v/(1 − ε/4v)
    tolerance = (bias + 5 * np.sqrt(2 / n)) * scale
    assert np.all(np.abs(np.cov(x.T) - covariance) < tolerance)
    assert np.all(x.var(0) > POINTS.var(0) + sigma**2 / 2)
    # and the law is theirs: the share within σ of any point
    near = lambda x: (np.sqrt(((x[:, None] - POINTS) ** 2).sum(-1)).min(-1) < sigma).mean()
    exact = POINTS[np.arange(200_000) % 5] + sigma * np.random.default_rng(0).normal(size=(200_000, 2))
    assert abs(near(x) - near(exact)) < 0.01 + 4 * np.sqrt(0.25 / n)
    assert near(exact) < 0.9  # the data's own share is 1
