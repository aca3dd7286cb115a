"""Likelihoods against closed forms, and the divergence estimators against their theory."""

import math

import diffrax
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracles import CONTINUOUS, DISCRETE, Mixture, gaussian_denoiser, nightly, slow
from refusals import refuses
from scipy.stats import norm

from jaxgen.core import exact_divergence, hutchinson
from jaxgen.data import dequantise
from jaxgen.diffusion import denoiser, log_likelihood, score, vp
from jaxgen.metrics import bits_per_dim, dequantisation_offset

MEAN, STD, T_MIN = 0.4, 0.5, 1e-5
MIXTURE = Mixture()
POINTS = np.linspace(-1.7, 1.4, 9)[:, None]
every_process = nightly("name", CONTINUOUS)


def pid(tolerance):
    return diffrax.PIDController(rtol=tolerance, atol=tolerance)


def log_prior(process, z):
    return norm.logpdf(np.asarray(z), 0, np.asarray(process.prior_std)).reshape(len(z), -1).sum(-1)


def gaussian_law(process, t):
    """Mean and standard deviation of q_t for data N(MEAN, STD²)."""
    alpha = np.asarray(process.alpha(t))
    return alpha * MEAN, np.sqrt((alpha * STD) ** 2 + np.asarray(process.variance(t)))


@pytest.mark.parametrize("name", [n if n == "rectified_flow" else slow(n) for n in CONTINUOUS])
def test_c3_11_gaussian_likelihood_and_code(name):
    """The ODE of N(m₀, s₀²) is x_1 = m_1 + (s_1/s₀)(x₀ − m₀), so log p = Σ log N(x_1; 0, prior²) + log(s_1/s₀)."""
    process = CONTINUOUS[name]
    with jax.enable_x64(True):
        x = jnp.asarray(MEAN + STD * np.random.default_rng(0).normal(size=(4, 2, 3)))
        found = jax.jit(
            lambda x: log_likelihood(process, gaussian_denoiser(process, MEAN, STD), x, controller=pid(1e-7))
        )(x)
        (m0, s0), (m1, s1) = gaussian_law(process, T_MIN), gaussian_law(process, 1.0)
        code = m1 + s1 / s0 * (x - m0)
        np.testing.assert_allclose(found.latent, code, rtol=1e-5, atol=1e-5)
        exact = log_prior(process, code) + 6 * np.log(s1 / s0)
        np.testing.assert_allclose(found.log_density, exact, atol=6e-5)  # 1e-5 nats per dimension
        # and that is the density of q at t_min, but for the prior's distance from q_1
        q = norm.logpdf(x, m0, s0).reshape(4, -1).sum(-1)
        gap = log_prior(process, code) - norm.logpdf(code, m1, s1).reshape(4, -1).sum(-1)
        np.testing.assert_allclose(found.log_density - gap, q, atol=6e-5)
        if name in ("cosine", "rectified_flow"):  # no signal is left at 1
            np.testing.assert_allclose(found.log_density, q, atol=6e-5)


@every_process
def test_c3_11_mixture_likelihood_and_code(name):
    """The flow keeps quantiles, F_1(x_1) = F₀(x₀), and log p(x₀) − log q₀(x₀) = log prior(x_1) − log q_1(x_1)."""
    process = CONTINUOUS[name]
    with jax.enable_x64(True):
        x = jnp.asarray(POINTS)
        found = jax.jit(lambda x: log_likelihood(process, MIXTURE.denoiser(process), x, controller=pid(1e-7)))(x)
        level = lambda x, t: MIXTURE.distribution(process, x[:, 0], t)
        np.testing.assert_allclose(level(found.latent, 1.0), level(x, T_MIN), atol=1e-6, rtol=1e-5)
        gap = log_prior(process, found.latent) - MIXTURE.log_density(process, found.latent, 1.0)
        exact = MIXTURE.log_density(process, x, T_MIN)
        np.testing.assert_allclose(found.log_density - gap, exact, atol=1e-4)
        if name in ("cosine", "rectified_flow"):
            np.testing.assert_allclose(found.log_density, exact, atol=1e-4)


@every_process
def test_the_default_tolerance_in_float32(name):
    process, x = CONTINUOUS[name], jnp.asarray(POINTS, jnp.float32)
    found = jax.jit(lambda x: log_likelihood(process, MIXTURE.denoiser(process), x))(x)
    assert found.log_density.dtype == found.latent.dtype == jnp.float32
    gap = log_prior(process, found.latent) - MIXTURE.log_density(process, found.latent, 1.0)
    np.testing.assert_allclose(found.log_density - gap, MIXTURE.log_density(process, x, T_MIN), atol=5e-3)
    assert 30 < found.evaluations < 250


@nightly("t_min", [1e-3, 0.1, 0.4])
def test_what_is_measured_is_q_at_t_min(t_min):
    process = CONTINUOUS["cosine"]
    x = jnp.asarray(POINTS, jnp.float32)
    found = log_likelihood(process, MIXTURE.denoiser(process), x, t_min=t_min, controller=pid(1e-6))
    np.testing.assert_allclose(found.log_density, MIXTURE.log_density(process, POINTS, t_min), atol=1e-3)


@pytest.mark.slow
def test_the_prior_below_1_shrinks_as_sigma_does():
    process, t_max = CONTINUOUS["edm"], 0.5
    with jax.enable_x64(True):
        x = jnp.asarray(POINTS)
        found = log_likelihood(process, MIXTURE.denoiser(process), x, t_max=t_max, controller=pid(1e-7))
        gap = norm.logpdf(found.latent[:, 0], 0, 40.0) - MIXTURE.log_density(process, found.latent, t_max)
        np.testing.assert_allclose(found.log_density - gap, MIXTURE.log_density(process, x, T_MIN), atol=1e-4)


@every_process
def test_the_gradient_in_x_is_the_exact_score(name):
    """∇ log p = ∇ log q at t_min, once the prior's distance from q_1 at the code is taken off."""
    process, per_sample = CONTINUOUS[name], name == "rectified_flow"
    with jax.enable_x64(True):
        x = jnp.asarray(POINTS)

        def total(x):
            found = log_likelihood(
                process, MIXTURE.denoiser(process), x, t_min=1e-3, controller=pid(1e-6), per_sample=per_sample
            )
            prior = jax.scipy.stats.norm.logpdf(found.latent[:, 0], 0, process.prior_std)
            return jnp.sum(found.log_density - (prior - MIXTURE.log_density(process, found.latent, 1.0)))

        exact = score(process, MIXTURE.denoiser(process)(x, 1e-3), 1e-3)
        np.testing.assert_allclose(jax.jit(jax.grad(total))(x), exact, rtol=1e-3, atol=5e-3)


def network(parameters, x, t, cond):
    """A small network that predicts eps; cond shifts it."""
    hidden = jnp.tanh(x @ parameters["in"] + t[:, None] * parameters["time"] + (0 if cond is None else cond))
    return hidden @ parameters["out"]


def parameters(dims=2, width=4, dtype=jnp.float32):
    keys = jax.random.split(jax.random.key(3), 3)
    shapes = {"in": (dims, width), "time": (width,), "out": (width, dims)}
    return {n: 0.5 * jax.random.normal(k, s, dtype) for (n, s), k in zip(shapes.items(), keys, strict=True)}


@pytest.mark.slow
def test_gradients_of_the_network_are_its_finite_differences():
    process = CONTINUOUS["vp"]
    with jax.enable_x64(True):
        theta = parameters(dtype=jnp.float64)
        x = jax.random.normal(jax.random.key(1), (3, 2), jnp.float64)

        @jax.jit
        def total(theta):
            options = {"t_min": 1e-2, "controller": pid(1e-8)}
            divergence = hutchinson(jax.random.split(jax.random.key(2), 3), (2,))
            denoise = denoiser(process, lambda x, t, cond: network(theta, x, t, cond))
            return log_likelihood(process, denoise, x, divergence=divergence, **options).log_density.sum()

        gradient = jax.grad(total)(theta)
        for name in theta:
            at = (0,) * theta[name].ndim
            high, low = (total(theta | {name: theta[name].at[at].add(step)}) for step in (1e-4, -1e-4))
            np.testing.assert_allclose(gradient[name][at], (high - low) / 2e-4, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_the_density_of_a_network_integrates_to_1():
    """Whatever the network, its ODE carries a density: ∫ p dx = 1 on a grid that holds all of the mass."""
    process, theta = vp(0.1, 2.0), parameters(dims=1)
    x = jnp.linspace(-30, 30, 3001)[:, None]
    denoise = denoiser(process, lambda x, t, cond: network(theta, x, t, cond))
    found = log_likelihood(process, denoise, x, t_min=1e-2, controller=pid(1e-6))
    np.testing.assert_allclose(np.exp(np.float64(found.log_density)).sum() * 0.02, 1, atol=2e-3)


# -- divergences -------------------------------------------------------------------------------------------------

MATRIX = np.random.default_rng(1).normal(size=(5, 5)).astype(np.float32)


def linear(x):
    return x @ MATRIX.T


def test_exact_divergence_is_the_trace():
    x = jax.random.normal(jax.random.key(0), (4, 5))
    value, divergence = exact_divergence(linear, x)
    np.testing.assert_allclose(value, linear(x), rtol=1e-6)
    np.testing.assert_allclose(divergence, np.full(4, np.trace(MATRIX)), rtol=1e-5)
    # of an event with axes: v = x³ has ∇·v = Σ 3x²
    x = jax.random.normal(jax.random.key(0), (4, 2, 3))
    value, divergence = jax.jit(lambda x: exact_divergence(lambda x: x**3, x))(x)
    np.testing.assert_allclose(value, x**3, rtol=1e-6)
    np.testing.assert_allclose(divergence, (3 * x**2).sum((1, 2)), rtol=1e-5)


@pytest.mark.parametrize(
    ("distribution", "probes"), [("rademacher", 1), ("gaussian", 4), slow("rademacher", 4), slow("gaussian", 1)]
)
def test_hutchinson_is_unbiased_with_the_variance_of_theory(distribution, probes):
    """Var = 2 Σ_{i≠j} S_ij²/n for signs and 2 ‖S‖²/n for Gaussian noise, S = (A + Aᵀ)/2."""
    n = 40_000
    divergence = hutchinson(jax.random.split(jax.random.key(0), n), (5,), probes, distribution)
    value, found = jax.jit(divergence, static_argnums=0)(linear, jnp.ones((n, 5)))
    found = np.float64(found)
    symmetric = (MATRIX + MATRIX.T) / 2
    kept = symmetric - np.diag(np.diag(symmetric)) if distribution == "rademacher" else symmetric
    variance = 2 * np.sum(kept**2) / probes
    assert abs(found.mean() - np.trace(MATRIX)) < 4 * np.sqrt(variance / n)
    squares = (found - found.mean()) ** 2
    assert abs(squares.mean() - variance) < 4 * squares.std() / np.sqrt(n)
    assert squares.std() / np.sqrt(n) < 0.03 * variance  # or the line above could not fail
    np.testing.assert_allclose(value, linear(np.ones((n, 5))), rtol=1e-5)


def test_probes_come_from_the_samples_own_key():
    keys = jax.random.split(jax.random.key(0), 6)
    all_of_them = hutchinson(keys, (5,))(linear, jnp.ones((6, 5)))[1]
    some = hutchinson(keys[2:4], (5,))(linear, jnp.ones((2, 5)))[1]
    np.testing.assert_array_equal(all_of_them[2:4], some)
    assert len(set(np.asarray(all_of_them).tolist())) > 3


@nightly("per_sample", [False, True])
def test_one_probe_is_exact_where_the_jacobian_is_diagonal(per_sample):
    """Independent coordinates: the off-diagonal of the Jacobian is 0, so signs have no variance."""
    process = CONTINUOUS["rectified_flow"]
    x = jax.random.normal(jax.random.key(1), (3, 4))
    denoise = gaussian_denoiser(process, MEAN, STD)
    keys = jax.random.split(jax.random.key(0), 3)
    options = {"divergence": hutchinson(keys, (4,)), "per_sample": per_sample, "controller": pid(1e-6)}
    found = log_likelihood(process, denoise, x, **options)
    m, s = gaussian_law(process, T_MIN)
    np.testing.assert_allclose(found.log_density, norm.logpdf(x, m, s).sum(-1), atol=1e-3)
    assert found.steps.shape == ((3,) if per_sample else ())


@pytest.mark.slow
def test_hutchinson_likelihood_is_unbiased():
    """In correlated dimensions: the mean over probes of log p is the exact log p."""
    process, theta = CONTINUOUS["vp"], parameters()
    denoise = denoiser(process, lambda x, t, cond: network(theta, x, t, cond))
    n = 4000
    x = jnp.tile(jnp.array([[0.7, -0.4]]), (n, 1))
    keys = jax.random.split(jax.random.key(0), n)
    options = {"t_min": 1e-2, "controller": pid(1e-6)}
    exact = log_likelihood(process, denoise, x[:1], **options).log_density[0]
    divergence = hutchinson(keys, (2,), 1, "gaussian")
    found = np.asarray(log_likelihood(process, denoise, x, divergence=divergence, **options).log_density)
    assert found.std() > 0.05
    assert abs(found.mean() - exact) < 4 * found.std() / np.sqrt(n)


@pytest.mark.slow
def test_a_divergence_of_ones_own():
    """A function that knows the answer: for data N(0, s²), ∇·v = d · (log s_t)'."""
    process = CONTINUOUS["rectified_flow"]

    def naive(field, x):
        return field(x), jax.vmap(lambda row: jnp.trace(jax.jacfwd(lambda r: field(r[None])[0])(row)))(x)

    x = jax.random.normal(jax.random.key(1), (3, 2))
    denoise = gaussian_denoiser(process, MEAN, STD)
    own, exact = (log_likelihood(process, denoise, x, divergence=d).log_density for d in (naive, exact_divergence))
    np.testing.assert_allclose(own, exact, rtol=1e-5)


# -- batches, conditioning, compilation ----------------------------------------------------------------------------


@pytest.mark.slow
def test_neighbours_and_conditioning():
    """per_sample: the same alone or in a batch, each under its own condition; shared steps: the same to tolerance."""
    process, theta = CONTINUOUS["vp"], parameters()
    x, cond = jax.random.normal(jax.random.key(1), (4, 2)), jnp.array([[-1.0], [0.0], [0.5], [3.0]])
    keys = jax.random.split(jax.random.key(0), 4)
    denoise = denoiser(process, lambda x, t, cond: network(theta, x, t, cond))

    @jax.jit
    def alone(key, x, cond):
        return log_likelihood(
            process, denoise, x[None], divergence=hutchinson(key[None], (2,)), cond=cond[None], per_sample=True
        )

    def batch(**options):
        return log_likelihood(process, denoise, x, divergence=hutchinson(keys, (2,)), cond=cond, **options)

    own, shared = batch(per_sample=True), batch()
    for i in range(4):
        one = alone(keys[i], x[i], cond[i])
        np.testing.assert_allclose(own.log_density[i], one.log_density[0], rtol=1e-6)
        np.testing.assert_allclose(own.latent[i], one.latent[0], rtol=1e-5, atol=1e-6)
        assert own.evaluations[i] == one.evaluations[0]
    np.testing.assert_allclose(shared.log_density, own.log_density, atol=2e-3)
    bound = denoiser(process, lambda x, t, cond: network(theta, x, t, cond), cond=cond)
    again = log_likelihood(process, bound, x, divergence=hutchinson(keys, (2,)))
    np.testing.assert_allclose(again.log_density, shared.log_density, rtol=1e-6)
    assert np.ptp(own.log_density) > 0.1


# -- bits per dimension --------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_bits_do_not_depend_on_the_scaling():
    """The flow of data N(m, s²) on [0, 1] and of the same data on [−1, 1], with their own offsets."""
    process = CONTINUOUS["rectified_flow"]
    images = jax.random.randint(jax.random.key(0), (5, 4), 0, 256).astype(jnp.uint8)
    keys = jax.random.split(jax.random.key(1), 5)
    bits = []
    for low, mean, std in ((0.0, 0.5, 0.25), (-1.0, 0.0, 0.5)):
        y = dequantise(keys, images, low=low)
        found = log_likelihood(process, gaussian_denoiser(process, mean, std), y, t_min=1e-4, controller=pid(1e-6))
        bits.append(bits_per_dim(found.log_density, 4, dequantisation_offset(256, low, 1.0)))
    np.testing.assert_allclose(bits[0], bits[1], atol=1e-3)
    # independent: −log₂ of the Gaussian density on the scale of the integers, plus nothing
    expected = -norm.logpdf(np.float64(y), 0.0, 0.5).mean(-1) / math.log(2) + 7
    np.testing.assert_allclose(bits[1], expected, atol=1e-3)


# -- refusals ------------------------------------------------------------------------------------------------------


def test_refusals(unchecked):
    process, x = CONTINUOUS["vp"], jnp.ones((2, 3))
    denoise = gaussian_denoiser(process, MEAN, STD)
    discrete = DISCRETE["linear"]
    keys = jax.random.split(jax.random.key(0), 2)
    refuses(
        ("use a continuous process", lambda: log_likelihood(discrete, gaussian_denoiser(discrete, MEAN, STD), x)),
        (
            r"needs a batch axis and an event, \(B, \*event\), got \(3,\)",
            lambda: log_likelihood(process, denoise, x[0]),
        ),
        ("infinite at t=0", lambda: log_likelihood(process, denoise, x, t_min=0.0)),
        ("0 <= t_min < t_max <= 1", lambda: log_likelihood(process, denoise, x, t_max=2.0)),
        ("rademacher or gaussian", lambda: hutchinson(keys, (3,), distribution="uniform")),
        ("probes must be at least 1", lambda: hutchinson(keys, (3,), 0)),
        (
            "probes were drawn for 2 samples of shape",
            lambda: log_likelihood(process, denoise, x, divergence=hutchinson(keys, (4,))),
        ),
        ("same leading axis", lambda: log_likelihood(process, denoise, x, cond=jnp.ones(3))),
    )
