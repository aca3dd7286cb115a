"""Encoding, decoding and sampling by diffrax against the exact laws of Gaussian and mixture data."""

import chex
import diffrax
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracles import CONTINUOUS, DISCRETE, Mixture, gaussian_denoiser, nightly, slow
from scipy.stats import norm

from jaxgen.core import fold_in, noise
from jaxgen.diffusion import denoiser, sde_coefficients
from jaxgen.samplers import ode_decode, ode_encode, sample_ode, sample_sde
from jaxgen.samplers.brownian import EqualStepNoise

MEAN, STD, T_MIN = 0.4, 0.5, 1e-5
MIXTURE = Mixture()
KEYS = jax.random.split(jax.random.key(0), 2000)


def only_by_day(day):
    return pytest.mark.parametrize("name", [name if name == day else slow(name) for name in CONTINUOUS])


def prior_noise(shape, keys=KEYS):
    return noise(fold_in(keys, 0), shape)


def pid(tolerance):
    return diffrax.PIDController(rtol=tolerance, atol=tolerance)


def below_1(name):
    """The latest time at which the process's SDE is finite, near enough."""
    return 0.999 if name in ("cosine", "rectified_flow") else 1.0


def law(process, t):
    alpha = np.asarray(process.alpha(t))
    return alpha * MEAN, np.sqrt((alpha * STD) ** 2 + np.asarray(process.variance(t)))


def check_moments(x, mean, variance, bias=0.0):
    """Within five standard errors of a Gaussian's mean and variance, plus the method's own relative bias."""
    n = x.size
    assert abs(x.mean() - mean) < 5 * np.sqrt(variance / n) + bias * np.sqrt(variance)
    assert abs(x.var() / variance - 1) < 5 * np.sqrt(2 / n) + 2 * bias


def check_mixture(x, process, t, bias=0.0):
    """Mean, variance and the weight of the lower mode of q_t, with error bars."""
    alpha, variance = np.asarray(process.alpha(t)), np.asarray(process.variance(t))
    weights, means = np.asarray(MIXTURE.weights), alpha * np.asarray(MIXTURE.means)
    variances = (alpha * np.asarray(MIXTURE.stds)) ** 2 + variance
    mean = np.sum(weights * means)
    total = np.sum(weights * (variances + (means - mean) ** 2))
    below = np.sum(weights * norm.cdf(0.0, means, np.sqrt(variances)))
    x = np.float64(x)
    assert abs(x.mean() - mean) < 5 * np.sqrt(total / x.size) + bias * np.sqrt(total)
    assert abs((x < 0).mean() - below) < 5 * np.sqrt(below * (1 - below) / x.size) + bias
    squares = (x - mean) ** 2
    assert abs(squares.mean() - total) < 5 * squares.std() / np.sqrt(x.size) + 2 * bias * total


# -- the ODE -------------------------------------------------------------------------------------------------------


@only_by_day("vp")
def test_encode_gives_the_exact_code_and_decode_undoes_it(name):
    """x_1 = m_1 + (s_1/s₀)(x₀ − m₀); and errors fall with the tolerance."""
    process = CONTINUOUS[name]
    with jax.enable_x64(True):
        x = jnp.asarray(MEAN + STD * np.random.default_rng(0).normal(size=(5, 2, 2)))
        (m0, s0), (m1, s1) = law(process, T_MIN), law(process, 1.0)
        denoise = gaussian_denoiser(process, MEAN, STD)

        @jax.jit
        def there_and_back(x, tolerance):
            code = ode_encode(process, denoise, x, controller=pid(tolerance))
            return code, ode_decode(process, denoise, code.x, controller=pid(tolerance))

        errors, ways = [], []
        for tolerance in (1e-3, 1e-5, 1e-7):
            code, back = there_and_back(x, tolerance)
            errors.append(np.max(np.abs(code.x - (m1 + s1 / s0 * (x - m0)))) / s1)
            ways.append(np.max(np.abs(back.x - x)))
        assert errors[0] > 5 * errors[1] > 25 * errors[2]
        assert ways[0] > 5 * ways[1] > 25 * ways[2]
        assert errors[2] < 1e-6
        assert ways[2] < 1e-6
        assert code.x.dtype == back.x.dtype == jnp.float64


@nightly("name", ["ve", "vp"])
def test_mixtures_come_back_in_float32(name):
    process, x = CONTINUOUS[name], jnp.linspace(-1.6, 1.3, 8)[:, None]
    code = ode_encode(process, MIXTURE.denoiser(process), x)
    back = ode_decode(process, MIXTURE.denoiser(process), code.x)
    np.testing.assert_allclose(back.x, x, atol=6e-3)
    assert np.all(np.diff(code.x[:, 0]) > 0)  # a flow on the line keeps the order
    assert back.x.dtype == jnp.float32


@only_by_day("ve")
def test_ode_samples_have_the_law_of_the_flow(name):
    """From the prior's own noise: x_t = m_t + (s_t/s_1)(x_1 − m_1), at t = t_min and on the way."""
    process = CONTINUOUS[name]
    start = process.prior_std * prior_noise((2,))
    m1, s1 = law(process, 1.0)
    denoise = gaussian_denoiser(process, MEAN, STD)
    run = jax.jit(lambda keys, t: sample_ode(keys, process, denoise, (2,), t_min=t))
    for t in (T_MIN, 0.3):
        found, (m, s) = run(KEYS, t), law(process, t)
        np.testing.assert_allclose(found.x, m + s / s1 * (start - m1), atol=4e-4 * max(1, s), rtol=1e-3)
    assert found.steps.shape == found.evaluations.shape == ()


@pytest.mark.slow
def test_the_start_below_1():
    """At t_max the noise is prior_std sigma(t_max)/sigma(1), as `sample` has it."""
    process, t_max = CONTINUOUS["edm"], 0.25
    found = sample_ode(KEYS, process, gaussian_denoiser(process, MEAN, STD), (2,), t_min=0.2499, t_max=t_max)
    np.testing.assert_allclose(found.x, 20 * prior_noise((2,)), rtol=1e-3, atol=1e-3)


@pytest.mark.slow
def test_per_sample_steps_and_conditioning():
    """The same alone or in a batch, each under its own condition; shared steps agree to tolerance."""
    process = CONTINUOUS["vp"]
    keys, cond = KEYS[:4], jnp.array([[-1.0], [0.0], [0.5], [2.0]])

    def network(x, t, cond):  # the score of a point mass at cond, softened
        return jnp.tanh(x - process.alpha(t)[:, None] * cond)

    denoise = denoiser(process, network)

    @jax.jit
    def own(keys, cond):
        return sample_ode(keys, process, denoise, (1,), t_min=1e-2, per_sample=True, cond=cond)

    with jax.enable_x64(True):  # rounding moves adaptive steps
        batch = own(keys, cond)
        assert batch.steps.shape == (4,)
        for i in range(4):
            alone = own(keys[i : i + 1], cond[i : i + 1])
            np.testing.assert_allclose(alone.x[0], batch.x[i], rtol=1e-9)
            assert alone.evaluations[0] == batch.evaluations[i]
        shared = sample_ode(keys, process, denoise, (1,), t_min=1e-2, cond=cond)
        np.testing.assert_allclose(shared.x, batch.x, rtol=1e-3, atol=1e-3)
        bound = denoiser(process, network, cond=cond)
        np.testing.assert_allclose(sample_ode(keys, process, bound, (1,), t_min=1e-2).x, shared.x, rtol=1e-6)


def drawn(process, denoise, shape, keys=KEYS, **options):
    """Samples of the SDE, compiled."""
    return jax.jit(lambda keys: sample_sde(keys, process, denoise, shape, **options))(keys)


# -- the SDE -------------------------------------------------------------------------------------------------------


def euler_law(process, t_min, t_max, steps, eta):
    """Mean and variance of Euler–Maruyama on data N(MEAN, STD²): each step is affine, in float64."""
    mean, variance = 0.0, (float(process.prior_std) * float(process.sigma(t_max) / process.sigma(1.0))) ** 2
    dt = (t_max - t_min) / steps
    for i in range(steps):
        t = t_max - i * dt
        f, g2 = (float(c) for c in sde_coefficients(process, t))
        m, s = (float(v) for v in law(process, t))
        # drift = f x + ½(1+η²) g² (x − m)/s²
        pull = 0.5 * (1 + eta**2) * g2 / s**2
        slope = 1 - dt * (f + pull)
        mean, variance = slope * mean + dt * pull * m, slope**2 * variance + eta**2 * g2 * dt
    return mean, variance


@pytest.mark.first_by_day
@pytest.mark.parametrize(
    ("name", "eta"), [slow(name, 1.0) for name in CONTINUOUS if name != "ve"] + [("ve", 1.0), ("vp", 0.5)]
)
def test_euler_maruyama_follows_its_exact_law(name, eta):
    process, t_max, steps = CONTINUOUS[name], below_1(name), 40
    found = drawn(process, gaussian_denoiser(process, MEAN, STD), (4,), steps=steps, t_max=t_max, eta=eta)
    check_moments(np.float64(found.x), *euler_law(process, T_MIN, t_max, steps, eta))
    assert found.steps == found.evaluations == steps


@pytest.mark.slow
def test_a_thousand_equal_steps_reach_the_data():
    """The default: the number of steps at which rounding of the last one has failed before."""
    process = CONTINUOUS["vp"]
    found = drawn(process, gaussian_denoiser(process, MEAN, STD), (1,))
    check_moments(np.float64(found.x), MEAN, STD**2, bias=0.01)
    assert found.steps == found.evaluations == 1000


@nightly(
    ("name", "solver"),
    [(name, diffrax.ShARK()) for name in ("rectified_flow", "sub_vp", "ve")]
    + [("vp", solver) for solver in (diffrax.SRA1(), diffrax.Heun(), diffrax.HalfSolver(diffrax.Euler()))],
)
def test_fixed_steps_sample_the_data(name, solver):
    """Additive noise: solvers of Itô and Stratonovich kind converge to one law."""
    process = CONTINUOUS[name]
    keys = KEYS[:500] if isinstance(solver, diffrax.HalfSolver) else KEYS
    options = {"solver": solver, "steps": 150, "t_max": below_1(name)}
    found = drawn(process, MIXTURE.denoiser(process), (1,), keys, **options)
    check_mixture(found.x, process, T_MIN, bias=0.02)
    assert found.evaluations.max() == 150 * (3 if isinstance(solver, diffrax.HalfSolver) else 2)


@nightly(("name", "solver"), [("vp", diffrax.ShARK()), ("edm", diffrax.SRA1()), ("vp", diffrax.Heun())])
def test_adaptive_steps_sample_the_data(name, solver):
    process = CONTINUOUS[name]
    denoise = gaussian_denoiser(process, MEAN, STD)
    found = drawn(process, denoise, (16,), KEYS[:250], solver=solver, controller=pid(1e-2))
    check_moments(np.float64(found.x), *(float(v) for v in (MEAN, STD**2)), bias=0.02)
    assert found.steps.shape == (250,)
    assert np.ptp(found.steps) > 0
    np.testing.assert_array_equal(found.evaluations, 2 * found.steps)


@pytest.mark.slow
def test_adaptive_steps_reach_the_weights_of_the_mixture():
    process = CONTINUOUS["vp"]
    options = {"solver": diffrax.ShARK(), "controller": pid(3e-2)}
    found = drawn(process, MIXTURE.denoiser(process), (1,), KEYS[:800], **options)
    check_mixture(found.x, process, T_MIN, bias=0.02)


@pytest.mark.slow
def test_tighter_tolerances_follow_the_same_brownian_path():
    process, keys = CONTINUOUS["vp"], KEYS[:30]

    @jax.jit
    def at(tolerance):
        denoise = gaussian_denoiser(process, MEAN, STD)
        return sample_sde(keys, process, denoise, (1,), solver=diffrax.ShARK(), controller=pid(tolerance), t_min=0.05).x

    coarse, fine, finest = (at(tolerance) for tolerance in (1e-1, 1e-2, 1e-3))
    far, near = (np.sqrt(np.mean((x - finest) ** 2)) for x in (coarse, fine))
    assert near < 0.5 * far
    assert near < 0.02


@nightly(("controller", "tolerance"), [(None, 1e-05), (pid(0.03), 0.01)])
def test_an_sde_sample_depends_on_its_own_key_alone(controller, tolerance):
    """Up to rounding, which in adaptive steps moves τ by 1e-7 and a Brownian path by the square root of it."""
    process, cond = CONTINUOUS["vp"], jnp.linspace(-1, 1, 6)[:, None]
    denoise = denoiser(process, lambda x, t, cond: x - process.alpha(t)[:, None] * cond)

    @jax.jit
    def found(keys, cond):
        return sample_sde(
            keys, process, denoise, (1,), solver=diffrax.ShARK(), steps=30, controller=controller, t_min=1e-2, cond=cond
        ).x

    batch = found(KEYS[:6], cond)
    for i in (0, 3):
        np.testing.assert_allclose(found(KEYS[i : i + 1], cond[i : i + 1])[0], batch[i], atol=tolerance)
    other = found(KEYS[6:12], cond)
    assert np.all(np.abs(other - batch) > 2e-2)


@pytest.mark.slow
def test_increments_are_independent_brownian_ones():
    """The noise alone, of a denoiser without drift: variance ∫ g² and independence over steps and samples."""
    process, steps = CONTINUOUS["ve"], 50
    found = sample_sde(
        KEYS, process, gaussian_denoiser(process, 0.0, 1e6), (3,), steps=steps, t_min=0.5, solver=diffrax.ShARK()
    )
    # a datum of boundless variance has no score: x_{t} = x_1 + ∫ g dw, with ∫ g² = sigma(1)² − sigma(.5)²
    variance = 50.0**2 + 50.0**2 - float(process.variance(0.5))
    check_moments(np.float64(found.x), 0.0, variance, bias=1e-3)
    start = 50.0 * prior_noise((3,))
    moved = np.float64(found.x - start)
    assert abs(np.corrcoef(moved.ravel(), np.float64(start).ravel())[0, 1]) < 5 / np.sqrt(moved.size)
    assert np.max(np.abs(np.corrcoef(moved.T) - np.eye(3))) < 5 / np.sqrt(len(moved))


def test_levy_areas_have_the_law_of_their_definition():
    """H = 1/h ∫ (W_r − r/h W_h) dr and K = 1/h² ∫ (W_r − r/h W_h)(h/2 − r) dr, on fine paths of length h."""
    h, n, points = 0.2, 10_000, 300
    path = EqualStepNoise(KEYS, jnp.float32(h), (5,), diffrax.SpaceTimeTimeLevyArea)
    found = path.evaluate(jnp.float32(3 * h), jnp.float32(4 * h), use_levy=True)
    found = np.stack([np.float64(area).ravel() for area in (found.W, found.H, found.K)])
    r = (np.arange(points) + 1) / points * h
    w = np.cumsum(np.random.default_rng(0).normal(size=(n, points)), 1) * np.sqrt(h / points)
    bridge = w - r / h * w[:, -1:]
    exact = np.stack([w[:, -1], bridge.mean(1), (bridge * (h / 2 - r)).mean(1) / h])
    for a, b in zip(found, exact, strict=True):
        assert abs(a.var() / b.var() - 1) < 5 * np.sqrt(4 / n)
    assert np.max(np.abs(np.corrcoef(found) - np.eye(3))) < 5 / np.sqrt(n)


@nightly("sampler", ["ode", "sde"])
def test_a_sweep_compiles_once_and_gradients_reach_the_denoiser(sampler):
    """x_{t_min} of data N(μ, s²) is linear in μ: its derivative is a difference."""
    chex.clear_trace_counter()

    @chex.assert_max_traces(n=2)  # alone and with its derivative
    def total(mean, std, process):
        denoise, keys, options = gaussian_denoiser(process, mean, std), KEYS[:4], {"t_min": 1e-2}
        if sampler == "sde":
            return sample_sde(keys, process, denoise, (1,), steps=20, **options).x.sum()
        return sample_ode(keys, process, denoise, (1,), **options).x.sum()

    run, process = jax.jit(total), CONTINUOUS["vp"]
    low, high = (run(mean, STD, process) for mean in (0.2, 0.6))
    np.testing.assert_allclose(jax.jit(jax.grad(total))(0.4, STD, process), (high - low) / 0.4, rtol=5e-3)
    assert abs(run(0.2, 0.8, process.replace(beta_max=10.0)) - low) > 1e-4


@nightly("impl", ["rbg", "unsafe_rbg"])
def test_keys_of_another_kind_are_each_their_sample_s_own(impl):
    process, keys = CONTINUOUS["vp"], jax.random.split(jax.random.key(0, impl=impl), 4)
    denoise = gaussian_denoiser(process, MEAN, STD)

    @jax.jit
    def run(keys):
        equal = {"controller": diffrax.ConstantStepSize(), "first_step": 0.1}
        flow = sample_ode(keys, process, denoise, (2,), t_min=0.3, **equal)
        return flow.x, sample_sde(keys, process, denoise, (2,), t_min=0.3, steps=10).x

    for whole, part in zip(run(keys), run(keys[2:]), strict=True):
        np.testing.assert_allclose(whole[2:], part, atol=1e-5)
        assert np.abs(np.diff(whole, axis=0)).min() > 1e-3


# -- refusals ------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_refusals(unchecked):
    process, x = CONTINUOUS["vp"], jnp.ones((2, 3))
    denoise, keys = gaussian_denoiser(process, MEAN, STD), KEYS[:2]
    discrete, cosine = DISCRETE["linear"], CONTINUOUS["cosine"]
    of_discrete, of_cosine = gaussian_denoiser(discrete, MEAN, STD), gaussian_denoiser(cosine, MEAN, STD)
    cases = [
        ("use a continuous process", lambda: ode_encode(discrete, of_discrete, x)),
        ("use a continuous process", lambda: ode_decode(discrete, of_discrete, x)),
        ("use a continuous process", lambda: sample_ode(keys, discrete, of_discrete, (3,))),
        ("use a continuous process", lambda: sample_sde(keys, discrete, of_discrete, (3,))),
        ("infinite at t=0", lambda: ode_encode(process, denoise, x, t_min=0.0)),
        ("take t_max < 1, such as 0.999", lambda: sample_sde(keys, cosine, of_cosine, (3,))),
        ("take t_max < 1", jax.jit(lambda keys: sample_sde(keys, CONTINUOUS["rectified_flow"], denoise, (3,)))),
        ("score is infinite at t_min=0", lambda: sample_sde(keys, CONTINUOUS["edm"], denoise, (3,), t_min=0.0)),
        (
            "take t_max < 1",
            jax.jit(lambda keys: sample_sde(keys, cosine, of_cosine, (3,), t_min=jax.random.uniform(keys[0]) / 2)),
        ),
        ("0 <= t_min < t_max <= 1", lambda: ode_decode(process, denoise, x, t_min=0.5, t_max=0.4)),
        ("eta must be finite and not negative", lambda: sample_sde(keys, process, denoise, (3,), eta=-1.0)),
        ("steps must be at least 1", lambda: sample_sde(keys, process, denoise, (3,), steps=0)),
        ("does not estimate its error", lambda: sample_sde(keys, process, denoise, (3,), controller=pid(1e-2))),
        ("typed keys", lambda: sample_ode(jax.random.key(0), process, denoise, (3,))),
        ("typed keys", lambda: sample_sde(jnp.zeros((2, 2), jnp.uint32), process, denoise, (3,))),
        ("same leading axis", lambda: ode_encode(process, denoise, x, cond=jnp.ones(3))),
    ]
    for message, refused in cases:
        with pytest.raises(ValueError, match=message):
            refused() if not hasattr(refused, "lower") else refused(keys)
    with pytest.raises(RuntimeError, match="max_steps=3"):
        sample_sde(keys, process, denoise, (3,), solver=diffrax.ShARK(), controller=pid(1e-2), max_steps=3)
