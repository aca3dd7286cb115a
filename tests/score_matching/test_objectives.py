"""Score matching objectives against closed forms, each other and automatic differentiation."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracles import nightly, slow

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
def x64():
    with jax.enable_x64(True):
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
every_event = pytest.mark.parametrize("event", [(2, 1, 2), slow((4,))])


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


@nightly("dims", [1, 3])
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


@pytest.mark.first_by_day
@every_score
@every_event
def test_implicit_is_half_the_square_plus_the_trace(name, event):
    score = SCORES[name]
    x = jax.random.normal(jax.random.key(0), (5, *event))
    jacobian = jax.jit(lambda x: jacobians(score, x))(x)
    expected = 0.5 * (score(x) ** 2).reshape(5, -1).sum(-1) + jnp.trace(jacobian, axis1=1, axis2=2)
    for block in (3, 32):
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


@pytest.mark.first_by_day
@pytest.mark.parametrize("projections", [slow(1), 3])
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


@pytest.mark.parametrize("distribution", ["sphere", slow("gaussian"), slow("rademacher")])
def test_projections_have_the_identity_for_covariance(distribution):
    """E vvᵀ = I, read from the scores s = e_i x_j, whose vᵀ∇s v is v_i v_j."""
    n, pairs = 50_000, jnp.array([(i, j) for i in range(3) for j in range(3)])

    def product(pair):
        score = lambda x: jnp.zeros_like(x).at[:, pair[0]].set(x[:, pair[1]])
        return sliced(jax.random.key(3), score, jnp.zeros((n, 3)), distribution=distribution).mean()

    found = jax.jit(jax.vmap(product))(pairs)
    np.testing.assert_allclose(found, np.eye(3).ravel(), atol=5 * np.sqrt(2 / n))


def test_projections_are_drawn_for_each_example_and_each_time():
    score = lambda x: x @ MATRIX.T
    x = jnp.ones((100, 4))
    one = sliced(jax.random.key(0), score, x, distribution="gaussian")
    assert len(np.unique(one)) == 100
    assert not np.any(one == sliced(jax.random.key(1), score, x, distribution="gaussian"))
    np.testing.assert_array_equal(one, sliced(jax.random.key(0), score, x, distribution="gaussian"))


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
    own = noise_conditional(jax.random.key(1), score, x, sigmas, weighting=lambda sigma: 1 + sigma)
    np.testing.assert_allclose(own, found / seen[0] ** 2 * (1 + seen[0]), rtol=1e-8)


# -- batches, compilation, types ---------------------------------------------------------------------------------


def test_a_result_is_float32_at_least():
    x = jnp.linspace(-1, 1, 12, dtype=jnp.bfloat16).reshape(3, 4)

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


@pytest.mark.slow
def test_no_examples_have_no_losses():
    event = (2, 1, 2)
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


def test_refusals(unchecked):
    key, x, points = jax.random.key(0), jnp.ones((3, 2)), jnp.ones((5, 2))
    score, wrong = (lambda x: -x), (lambda x: x.sum(-1))
    conditional = lambda sigmas: noise_conditional(key, lambda x, sigma: -x, x, sigmas)
    dsm, kernel = partial(denoising, key, score, x), partial(kernel_density, x, points)
    ssm = partial(sliced, key, score, x)
    cases = [
        (partial(denoising, key, score, jnp.ones((3, 2), jnp.uint8), 0.5), "data must be floating point, got uint8"),
        (partial(explicit, wrong, score, x), "return x's shape"),
        (partial(explicit, score, wrong, x), "return x's shape"),
        (partial(implicit, wrong, x), "return x's shape"),
        (partial(sliced, key, wrong, x), "return x's shape"),
        (partial(jax.jit(lambda x: denoising(key, wrong, x, 0.5)), x), "return x's shape"),
        (partial(noise_conditional, key, lambda x, sigma: sigma, x, [0.5]), "return x's shape"),
        (partial(score_of_energy(lambda x: x), x), "one value per example"),
        (partial(score_of_energy(jnp.sum), x), "one value per example"),
        (partial(ssm, distribution="uniform"), "choose one of rademacher, gaussian, sphere"),
        (partial(ssm, projections=0), "projections must be at least 1"),
        *((partial(dsm, sigma), "sigma must be positive") for sigma in (0.0, jnp.array([1.0, -1.0, 1.0]), jnp.nan)),
        *((partial(kernel, sigma), "sigma must be positive") for sigma in (-1.0, jnp.inf)),
        (partial(conditional, [1.0, 0.0]), "sigmas must be positive"),
        *((partial(dsm, jnp.ones(shape)), "one per example") for shape in (2, (3, 1))),
        (partial(kernel, jnp.ones(5)), "one per example"),
        *((partial(conditional, sigmas), r"shape \(L,\)") for sigmas in (1.0, jnp.ones(0))),
        *((partial(kernel_density, x, jnp.ones(shape), 1.0), "points must have") for shape in ((5, 3), (0, 2))),
        (partial(kernel, 1.0, block=0), "block must be at least 1"),
        (partial(implicit, score, x, block=0), "block must be at least 1"),
    ]
    narrow = jnp.ones((3, 2), jnp.float32)
    for sigma in (1e-40, 1e39):  # float32 would flush the one to 0, the other to infinity; float64 holds both
        cases += [
            (partial(denoising, key, score, narrow, sigma), r"from 1\.2e-38 to 3\.4e\+38 in float32"),
            (partial(kernel_density, narrow, narrow, sigma), r"from 1\.2e-38 to 3\.4e\+38 in float32"),
        ]
        assert np.isfinite(kernel_density(x, x, sigma).log_density).all()
    for refused, message in cases:
        with pytest.raises(ValueError, match=message):
            refused()
    least = float(np.finfo(np.float32).tiny)
    found = kernel_density(narrow, narrow, least)
    np.testing.assert_allclose(found.log_density, -np.log(2 * np.pi) - 2 * np.log(least), rtol=1e-6)
    np.testing.assert_array_equal(found.score, 0)
