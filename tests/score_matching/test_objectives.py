"""Score matching objectives against closed forms, each other and automatic differentiation."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from absl.testing import parameterized

from jaxgen.score_matching import (
    denoising,
    explicit,
    implicit,
    kernel_density,
    noise_conditional,
    score_of_energy,
    sliced,
)

DISTRIBUTIONS = ["rademacher", "gaussian", "sphere"]
RNG = np.random.default_rng(0)
MATRIX = RNG.normal(size=(4, 4))
WEIGHTS = {"in": RNG.normal(size=(4, 7)), "out": 0.5 * RNG.normal(size=(7, 4)), "bias": RNG.normal(size=7)}


@pytest.fixture(autouse=True)
def x64(request):
    """Float64 but for the variants, which are about what users run."""
    with jax.enable_x64(request.cls is None):
        yield


def free(parameters, x):
    """A score that is no gradient: its Jacobian is not symmetric."""
    flat = x.reshape(len(x), -1)
    return (jnp.tanh(flat @ parameters["in"] + parameters["bias"]) @ parameters["out"] - 0.8 * flat).reshape(x.shape)


def energy(parameters, x):
    flat = x.reshape(len(x), -1)
    return 0.3 * (flat**2).sum(-1) + jnp.logaddexp(flat @ parameters["in"], 0).sum(-1)


def jacobians(score, x):
    """∇s of each example, (B, d, d), by reverse mode over one example at a time."""
    one = lambda row: score(row.reshape(1, *x.shape[1:])).ravel()
    return jax.vmap(jax.jacrev(one))(x.reshape(len(x), -1))


SCORES = {"free": lambda x: free(WEIGHTS, x), "energy": score_of_energy(lambda x: energy(WEIGHTS, x))}
every_score = pytest.mark.parametrize("name", SCORES)
every_event = pytest.mark.parametrize("event", [(4,), (2, 1, 2)])


def within(draws, exact, deviations=4.0):
    """The mean of the draws along axis 0 is the exact value, within its standard error."""
    draws = np.asarray(draws)
    error = draws.std(0) / np.sqrt(len(draws))
    np.testing.assert_array_less(np.abs(draws.mean(0) - exact), deviations * error + 1e-12)
    return error


# -- closed forms ------------------------------------------------------------------------------------------------


def gaussian_design(sigma, dims):
    """Points whose mean and covariance are exactly those of N(0, σ²I): ±σ√d along each axis."""
    axes = sigma * np.sqrt(dims) * np.eye(dims)
    return jnp.asarray(np.concatenate([axes, -axes]))


@pytest.mark.parametrize("dims", [1, 3])
def test_a_gaussian_by_a_gaussian(dims):
    """J(τ) = ½dσ²/τ⁴ − d/τ² for s = −x/τ², least at τ = σ where it is −d/(2σ²); explicit is ½dσ²(1/τ² − 1/σ²)²."""
    sigma = 0.7
    x = gaussian_design(sigma, dims)

    @jax.jit
    def found(tau):
        return implicit(lambda x: -x / tau**2, x).mean()

    for tau in (0.4, 0.7, 1.1):
        np.testing.assert_allclose(found(tau), dims * sigma**2 / (2 * tau**4) - dims / tau**2, rtol=1e-12)
        distance = explicit(lambda x, tau=tau: -x / tau**2, lambda x: -x / sigma**2, x).mean()
        np.testing.assert_allclose(distance, 0.5 * dims * sigma**2 * (tau**-2 - sigma**-2) ** 2, atol=1e-12)
        np.testing.assert_allclose(distance, found(tau) + dims / (2 * sigma**2), atol=1e-12)
    np.testing.assert_allclose(found(sigma), -dims / (2 * sigma**2), rtol=1e-12)
    np.testing.assert_allclose(jax.grad(found)(sigma), 0, atol=1e-10)
    assert jax.grad(jax.grad(found))(sigma) > 1


def test_denoising_of_a_gaussian():
    """E ½‖−x̃/c + ε/σ‖² = ½d((s² + σ²)/c² − 2/c + 1/σ²) for data N(0, s²I), least at c = s² + σ²."""
    n, dims, s, sigma = 100_000, 3, 0.5, 0.8
    x = s * jax.random.normal(jax.random.key(0), (n, dims))
    for c in (0.6, s**2 + sigma**2, 1.5):
        found = denoising(jax.random.key(1), lambda x, c=c: -x / c, x, sigma)
        exact = 0.5 * dims * ((s**2 + sigma**2) / c**2 - 2 / c + 1 / sigma**2)
        assert np.all(within(found, exact) < 0.02 * exact)
    slope = jax.jacfwd(lambda c: denoising(jax.random.key(1), lambda x: -x / c, x, sigma))(s**2 + sigma**2)
    within(slope, 0.0)


@every_score
@every_event
def test_implicit_is_half_the_square_plus_the_trace(name, event):
    score = SCORES[name]
    x = jax.random.normal(jax.random.key(0), (5, *event))
    jacobian = jax.jit(lambda x: jacobians(score, x))(x)
    expected = 0.5 * (score(x) ** 2).reshape(5, -1).sum(-1) + jnp.trace(jacobian, axis1=1, axis2=2)
    for block in (1, 3, 32):
        found = jax.jit(lambda x, block=block: implicit(score, x, block=block))(x)
        np.testing.assert_allclose(found, expected, rtol=1e-10)
    asymmetry = jnp.abs(jacobian - jacobian.swapaxes(1, 2)).max()
    assert asymmetry > 0.1 if name == "free" else asymmetry < 1e-12


def test_the_score_of_an_energy_is_minus_its_gradient():
    x = jax.random.normal(jax.random.key(0), (3, 4))
    one = lambda row: energy(WEIGHTS, row[None])[0]
    expected = -jax.jit(jax.vmap(jax.grad(one)))(x)
    np.testing.assert_allclose(SCORES["energy"](x), expected, rtol=1e-10)
    # and implicit is then ½‖∇E‖² − ΔE
    laplacian = jax.jit(jax.vmap(lambda row: jnp.trace(jax.hessian(one)(row))))(x)
    found = jax.jit(lambda x: implicit(SCORES["energy"], x))(x)
    np.testing.assert_allclose(found, 0.5 * (expected**2).sum(-1) - laplacian, rtol=1e-10)


# -- sliced ------------------------------------------------------------------------------------------------------


@every_score
@pytest.mark.parametrize("event", [(4,), (2, 2)])
def test_sliced_is_an_unbiased_estimate_of_implicit(name, event):
    score, n = SCORES[name], 20_000
    x = jax.random.normal(jax.random.key(len(event)), (1, *event))
    exact, trace = implicit(score, x)[0], jnp.trace(jacobians(score, x)[0])

    @jax.jit
    def estimates(key, x):
        repeated = jnp.broadcast_to(x, (n, *event))
        return {
            (distribution, reduced): sliced(key, score, repeated, distribution=distribution, variance_reduced=reduced)
            for distribution in DISTRIBUTIONS
            for reduced in (False, True)
        }

    for (_, reduced), found in estimates(jax.random.key(2), x).items():
        error = within(found, exact)
        unit_sphere = exact - 0.75 * (trace if reduced else exact)  # what v of length 1 would give
        assert abs(unit_sphere - exact) > 12 * error


def variance_of(h, distribution):
    """Var vᵀHv of symmetric H, by the fourth moments of v."""
    d, squares = len(h), np.sum(h**2)
    match distribution:
        case "rademacher":
            return 2 * (squares - np.sum(np.diag(h) ** 2))
        case "gaussian":
            return 2 * squares
        case "sphere":
            return 2 * d / (d + 2) * (squares - np.trace(h) ** 2 / d)


@pytest.mark.parametrize("projections", [1, 3])
@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
def test_variances_of_the_sliced_estimators(distribution, projections):
    """On s = Ax both estimators are vᵀHv, H = sym A + ½ssᵀ, or sym A and a constant for SSM-VR, which varies less."""
    n, x = 60_000, np.array([0.9, -0.5, 0.4, 0.7])
    s = MATRIX @ x
    symmetric = (MATRIX + MATRIX.T) / 2
    assert np.abs(MATRIX - MATRIX.T).max() > 0.5
    variances = {}
    for reduced, h in ((False, symmetric + 0.5 * np.outer(s, s)), (True, symmetric)):
        found = sliced(
            jax.random.key(1),
            lambda x: x @ MATRIX.T,
            jnp.broadcast_to(x, (n, 4)),
            projections=projections,
            distribution=distribution,
            variance_reduced=reduced,
        )
        within(found, 0.5 * s @ s + np.trace(MATRIX))
        variances[reduced] = variance_of(h, distribution) / projections
        squares = (np.asarray(found) - found.mean()) ** 2
        error = within(squares, variances[reduced])
        assert error < 0.05 * variances[reduced]  # or the line above could not fail
    assert variances[True] < 0.8 * variances[False]


def test_sliced_in_one_dimension_is_exact_for_signs():
    x = jax.random.normal(jax.random.key(0), (6, 1))
    for reduced in (False, True):
        found = sliced(jax.random.key(1), jnp.sin, x, variance_reduced=reduced)
        np.testing.assert_allclose(found, 0.5 * jnp.sin(x[:, 0]) ** 2 + jnp.cos(x[:, 0]), rtol=1e-12)


@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
def test_projections_have_the_identity_for_covariance(distribution):
    """E vvᵀ = I, read from the score s = e_i x_j, whose vᵀ∇s v is v_i v_j."""
    n = 50_000
    x = jnp.zeros((n, 3))
    for i in range(3):
        for j in range(3):
            score = lambda x, i=i, j=j: jnp.zeros_like(x).at[:, i].set(x[:, j])
            found = sliced(jax.random.key(3), score, x, distribution=distribution)
            np.testing.assert_allclose(found.mean(), float(i == j), atol=5 * np.sqrt(2 / n))


def test_projections_are_drawn_for_each_example_and_each_time():
    score = lambda x: x @ MATRIX.T
    x = jnp.ones((100, 4))
    one = sliced(jax.random.key(0), score, x, distribution="gaussian")
    assert len(np.unique(one)) == 100
    assert not np.any(one == sliced(jax.random.key(1), score, x, distribution="gaussian"))
    np.testing.assert_array_equal(one, sliced(jax.random.key(0), score, x, distribution="gaussian"))


# -- gradients in the parameters: J = explicit + const ---------------------------------------------------------------

MEANS, SPREADS, SHARES = np.array([[-1.0, 0.5], [1.2, -0.4]]), np.array([0.5, 0.8]), np.array([0.4, 0.6])


def log_mixture(x, sigma=0.0):
    """log density at x (2,) of two round Gaussians, noised by σ."""
    variance = SPREADS**2 + sigma**2
    return jax.nn.logsumexp(
        jnp.log(SHARES) - 0.5 * ((x - MEANS) ** 2).sum(-1) / variance - jnp.log(2 * jnp.pi * variance)
    )


def draw_mixture(key, n):
    which, noise = jax.random.split(key)
    component = jax.random.choice(which, 2, (n,), p=SHARES)
    return jnp.asarray(MEANS)[component] + jnp.asarray(SPREADS)[component, None] * jax.random.normal(noise, (n, 2))


def model(theta, x):
    """Two parameters, a nonlinear score with an asymmetric Jacobian."""
    return theta[0] * jnp.tanh(x @ jnp.array([[1.0, 0.7], [-0.2, 0.5]])) - theta[1] * x


OBJECTIVES = {
    "implicit": lambda key, score, x: implicit(score, x),
    "sliced": lambda key, score, x: sliced(key, score, x),
    "sliced_gaussian_vr": lambda key, score, x: sliced(
        key, score, x, projections=2, distribution="gaussian", variance_reduced=True
    ),
    "denoising": lambda key, score, x: denoising(key, score, x, 0.6),
}


@pytest.mark.parametrize("name", OBJECTIVES)
def test_gradients_are_those_of_the_explicit_objective(name):
    """∇_θ of each objective has the mean of ∇_θ of the explicit one, at any θ: they differ by a constant."""
    n, sigma = 100_000, 0.6 if name == "denoising" else 0.0
    theta = jnp.array([0.8, 0.6])
    data, noise, key = jax.random.split(jax.random.key(0), 3)
    x = draw_mixture(data, n)

    @jax.jit
    def gradients(x):
        found = jax.jacfwd(lambda theta: OBJECTIVES[name](key, lambda x: model(theta, x), x))(theta)
        noised = x + sigma * jax.random.normal(noise, x.shape)
        target = jax.vmap(jax.grad(lambda x: log_mixture(x, sigma)))
        return found, jax.jacfwd(lambda theta: explicit(lambda x: model(theta, x), target, noised))(theta)

    found, expected = gradients(x)
    error = within(found - expected, 0.0)  # the same x in both: unequal only in noise
    assert np.all(error < 0.05 * np.abs(expected.mean(0)))
    # training takes the reverse mode
    reverse = jax.grad(lambda theta: OBJECTIVES[name](key, lambda x: model(theta, x), x).mean())(theta)
    np.testing.assert_allclose(reverse, found.mean(0), rtol=1e-9)


def test_the_gradient_of_implicit_does_not_keep_every_derivative():
    """A wide network in 128 dimensions: memory of one block, not of all d derivatives."""
    dims, width, batch = 128, 256, 16
    weights = jnp.ones((dims, width)), jnp.ones((width, dims))
    x = jnp.ones((batch, dims))

    def memory(block):
        loss = lambda w: implicit(lambda x: jnp.tanh(x @ w[0]) @ w[1], x, block=block).sum()
        return jax.jit(jax.grad(loss)).lower(weights).compile().memory_analysis().temp_size_in_bytes

    assert memory(dims) > dims * width * batch * 8
    assert memory(4) < memory(dims) / 4


# -- noise-conditional -------------------------------------------------------------------------------------------


def test_noise_conditional_weighs_denoising_at_each_examples_level():
    sigmas, seen = jnp.geomspace(2.0, 0.1, 5), []
    x = jax.random.normal(jax.random.key(0), (40, 2, 2))

    def score(noised, sigma):
        seen.append((noised, sigma))
        return -noised / (1 + sigma[:, None, None] ** 2)

    found = noise_conditional(jax.random.key(1), score, x, sigmas)
    ((noised, sigma),) = seen
    assert sigma.shape == (40,)
    assert np.abs(sigma[:, None] - sigmas).min(-1).max() == 0
    level = sigma[:, None, None]
    error = -noised / (1 + level**2) + (noised - x) / level**2
    np.testing.assert_allclose(found, 0.5 * sigma**2 * (error**2).sum((1, 2)), rtol=1e-8)
    own = noise_conditional(jax.random.key(1), score, x, sigmas, weighting=lambda sigma: 1 + sigma)
    np.testing.assert_allclose(own, found / sigma**2 * (1 + sigma), rtol=1e-8)


def test_noise_conditional_is_the_mean_over_the_ladder():
    """For N(0, s²I) and s(x, σ) = −x/c: (1/L) Σ λ(σ_i) ½d((s² + σ_i²)/c² − 2/c + 1/σ_i²), levels equally likely."""
    n, dims, s, c = 200_000, 2, 0.5, 0.9
    sigmas = np.geomspace(2.0, 0.1, 5)
    x = s * jax.random.normal(jax.random.key(0), (n, dims))
    seen = []

    def score(noised, sigma):
        seen.append(sigma)
        return -noised / c

    found = noise_conditional(jax.random.key(1), score, x, sigmas)
    per_level = 0.5 * dims * sigmas**2 * ((s**2 + sigmas**2) / c**2 - 2 / c + 1 / sigmas**2)
    within(found, per_level.mean())
    level = np.abs(np.asarray(seen[0])[:, None] - sigmas).argmin(-1)
    np.testing.assert_allclose(np.bincount(level) / n, 0.2, atol=5 * np.sqrt(0.16 / n))
    for i in range(5):
        within(np.asarray(found)[level == i], per_level[i])
    assert np.ptp(per_level) > 0.5


def test_a_sigma_for_each_example():
    x, sigmas, seen = jax.random.normal(jax.random.key(1), (4, 3)), jnp.array([0.2, 0.5, 1.0, 4.0]), []
    found = denoising(jax.random.key(2), lambda x: seen.append(x) or -x, x, sigmas)
    eps = (seen[0] - x) / sigmas[:, None]
    np.testing.assert_allclose(found, 0.5 * ((eps / sigmas[:, None] - seen[0]) ** 2).sum(-1), rtol=1e-10)
    assert np.abs(eps).max() < 5


# -- batches, compilation, types ---------------------------------------------------------------------------------

X = np.random.default_rng(5).normal(size=(3, 4)).astype(np.float32)
POINTS = np.random.default_rng(6).normal(size=(9, 4)).astype(np.float32)
SMALL = jax.tree.map(lambda w: np.asarray(w, np.float32), WEIGHTS)


def small(x):
    return free(SMALL, x)


def all_sliced(seed, x):
    return [
        sliced(jax.random.key(seed), small, x, projections=2, distribution=distribution, variance_reduced=reduced)
        for distribution in DISTRIBUTIONS
        for reduced in (False, True)
    ]


FUNCTIONS = {
    "exact": (lambda x: (explicit(small, jnp.sin, x), implicit(small, x, block=3)), X),
    "energy": (lambda x: implicit(score_of_energy(lambda x: energy(SMALL, x)), x), X),
    "sliced": (all_sliced, np.asarray(0), X),
    "denoising": (
        lambda seed, x, sigma: denoising(jax.random.key(seed), small, x, sigma),
        np.asarray(0),
        X,
        np.float32([0.3, 1.0, 2.0]),
    ),
    "noise_conditional": (
        lambda seed, x, sigmas: noise_conditional(
            jax.random.key(seed), lambda x, sigma: small(x) / sigma[:, None], x, sigmas
        ),
        np.asarray(0),
        X,
        np.float32([0.3, 1.0]),
    ),
    "kernel_density": (lambda x, points, sigma: kernel_density(x, points, sigma, block=4), X, POINTS, np.float32(0.5)),
}
CASES = [{"testcase_name": name, "function": case[0], "args": case[1:]} for name, case in FUNCTIONS.items()]


class VariantsTest(chex.TestCase):
    @chex.variants(with_jit=True, without_jit=True, with_device=True, with_pmap=True)
    @parameterized.named_parameters(CASES)
    def test_same_numbers(self, function, args):
        args = jax.tree.map(jnp.asarray, args)
        found = self.variant(function)(*args)
        assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(found))
        chex.assert_trees_all_close(found, function(*args), rtol=2e-5, atol=1e-5)


def test_vmap_over_levels_and_parameters_is_the_loop():
    x, sigmas = jax.random.normal(jax.random.key(0), (3, 4)), jnp.array([0.3, 1.0])
    scales = jnp.array([0.5, 2.0])

    def every(sigma, scale):
        score = lambda x: scale * free(WEIGHTS, x)
        key = jax.random.key(1)
        return (
            implicit(score, x, block=3),
            sliced(key, score, x, projections=2),
            denoising(key, score, x, sigma),
            noise_conditional(key, lambda x, level: score(x), x, sigma * sigmas),
            kernel_density(x, scale * x, sigma, block=2),
        )

    together = jax.jit(jax.vmap(every))(sigmas, scales)
    for i in range(2):
        alone = jax.jit(every)(sigmas[i], scales[i])
        chex.assert_trees_all_close(jax.tree.map(lambda v, i=i: v[i], together), alone, rtol=1e-9, atol=1e-10)


def test_new_values_do_not_compile_anew():
    @jax.jit
    @chex.assert_max_traces(n=1)
    def losses(key, theta, x, sigma, points):
        score = lambda x: model(theta, x)
        return (
            implicit(score, x)
            + sliced(key, score, x)
            + denoising(key, score, x, sigma)
            + noise_conditional(key, lambda x, _: score(x), x, sigma * jnp.array([1.0, 2.0]))
            + explicit(score, lambda x: kernel_density(x, points, sigma).score, x)
        )

    found = [
        losses(jax.random.key(i), jnp.array([0.5, i]), i * jnp.ones((3, 2)), 0.1 + i, i * jnp.eye(2)) for i in range(3)
    ]
    assert np.all(np.isfinite(found))
    assert len(np.unique(found)) > 6


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float32])
def test_a_result_is_float32_at_least(dtype):
    x = jnp.linspace(-1, 1, 12, dtype=dtype).reshape(3, 4)

    @jax.jit
    def every(x):
        score, key = lambda x: -x / 2, jax.random.key(0)
        return {
            "explicit": explicit(score, lambda x: -x, x),
            "implicit": implicit(score, x),
            "sliced": sliced(key, score, x),
            "denoising": denoising(key, score, x, 0.5),
            "noise_conditional": noise_conditional(key, lambda x, sigma: -x, x, np.array([0.5, 1.0])),
            "kernel_density": kernel_density(x, x, 0.5).log_density,
        }

    found = every(x)
    assert {value.dtype for value in found.values()} == {jnp.dtype(jnp.float32)}
    square = (np.float64(x) ** 2).sum(-1)
    np.testing.assert_allclose(found["implicit"], square / 8 - 2, rtol=0.02)
    np.testing.assert_allclose(found["explicit"], square / 8, rtol=0.02)


def test_the_variance_reduced_flag_of_a_constant_score():
    """s = a has no Jacobian: SSM is ½(vᵀa)², which varies, and SSM-VR is ½‖a‖² exactly."""
    a = jnp.array([1.0, -2.0, 0.5])
    x = jnp.zeros((50, 3))
    score = lambda x: jnp.broadcast_to(a, x.shape) + 0 * x
    np.testing.assert_allclose(sliced(jax.random.key(0), score, x, variance_reduced=True), 0.5 * (a**2).sum())
    plain = np.asarray(sliced(jax.random.key(0), score, x))
    signs = np.array([[1, i, j] for i in (-1, 1) for j in (-1, 1)])
    np.testing.assert_allclose(np.unique(plain.round(9)), np.unique(0.5 * (signs @ np.asarray(a)) ** 2))


@every_event
def test_no_examples_have_no_losses(event):
    key, x, score = jax.random.key(0), jnp.zeros((0, *event)), lambda x: -x
    for losses in (
        explicit(score, score, x),
        implicit(score, x),
        sliced(key, score, x, distribution="sphere"),
        denoising(key, score, x, 0.5),
        noise_conditional(key, lambda x, sigma: score(x), x, np.array([0.5, 1.0])),
        kernel_density(x, jnp.ones((3, *event)), 0.5).log_density,
    ):
        assert losses.shape == (0,)


# -- refusals ----------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("unchecked")
def test_refusals():
    key, x, score = jax.random.key(0), jnp.ones((3, 2)), lambda x: -x
    wrong = lambda x: x.sum(-1)
    points = jnp.ones((5, 2))
    cases = {
        "return x's shape": [
            lambda: explicit(wrong, score, x),
            lambda: explicit(score, wrong, x),
            lambda: implicit(wrong, x),
            lambda: sliced(key, wrong, x),
            lambda: denoising(key, wrong, x, 0.5),
            lambda: jax.jit(lambda x: denoising(key, wrong, x, 0.5))(x),
            lambda: noise_conditional(key, lambda x, sigma: sigma, x, [0.5]),
        ],
        "one value per example": [lambda: score_of_energy(lambda x: x)(x), lambda: score_of_energy(jnp.sum)(x)],
        "choose one of rademacher, gaussian, sphere": [lambda: sliced(key, score, x, distribution="uniform")],
        "at least one projection": [lambda: sliced(key, score, x, projections=0)],
        "sigma must be positive": [
            lambda: denoising(key, score, x, 0.0),
            lambda: denoising(key, score, x, jnp.array([1.0, -1.0, 1.0])),
            lambda: denoising(key, score, x, jnp.nan),
            lambda: kernel_density(x, points, -1.0),
            lambda: kernel_density(x, points, jnp.inf),
        ],
        "sigmas must be positive": [lambda: noise_conditional(key, lambda x, s: -x, x, [1.0, 0.0])],
        "one per example": [
            lambda: denoising(key, score, x, jnp.ones(2)),
            lambda: denoising(key, score, x, jnp.ones((3, 1))),
            lambda: kernel_density(x, points, jnp.ones(5)),
        ],
        r"shape \(L,\)": [
            lambda: noise_conditional(key, lambda x, s: -x, x, 1.0),
            lambda: noise_conditional(key, lambda x, s: -x, x, jnp.ones(0)),
        ],
        "points must have shape": [
            lambda: kernel_density(x, jnp.ones((5, 3)), 1.0),
            lambda: kernel_density(x, jnp.ones((0, 2)), 1.0),
        ],
        "block must be at least 1": [
            lambda: kernel_density(x, points, 1.0, block=0),
            lambda: implicit(score, x, block=0),
        ],
    }
    for message, refused in cases.items():
        for refuse in refused:
            with pytest.raises(ValueError, match=message):
                refuse()


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("sigma", [1e-40, 1e39])
def test_a_sigma_that_its_type_cannot_hold_is_refused(sigma):
    """float32 would flush it to 0, or to infinity; at its smallest normal number a point's own density is right."""
    key, x = jax.random.key(0), jnp.ones((3, 2), jnp.float32)
    for refuse in (
        lambda: denoising(key, lambda x: -x, x, sigma),
        lambda: noise_conditional(key, lambda x, s: -x, x, [1.0, sigma]),
        lambda: kernel_density(x, x, sigma),
    ):
        with pytest.raises(ValueError, match=r"from 1\.2e-38 to 3\.4e\+38 in float32"):
            refuse()
    least = float(np.finfo(np.float32).tiny)
    found = kernel_density(x, x, least)
    np.testing.assert_allclose(found.log_density, -np.log(2 * np.pi) - 2 * np.log(least), rtol=1e-6)
    np.testing.assert_array_equal(found.score, 0)
    assert np.isfinite(kernel_density(x.astype(jnp.float64), x.astype(jnp.float64), sigma).log_density).all()


def test_a_traced_sigma_is_let_through():
    x = jnp.ones((3, 2))
    found = jax.jit(lambda sigma: denoising(jax.random.key(0), lambda x: -x, x, sigma))(0.5)
    np.testing.assert_allclose(found, denoising(jax.random.key(0), lambda x: -x, x, 0.5), rtol=1e-6)
