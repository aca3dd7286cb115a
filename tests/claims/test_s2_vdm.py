"""Claims of S2 on variational diffusion models: L_T → L_∞, what L_∞ depends on, and what the bounds are bounds of.

On data N(0, s² I) the exact denoiser errs by E‖eps − E[eps|x_t]‖² = d e(γ), e(γ) = sigmoid(log s² − γ), so that L_T and
L_∞ are sums and integrals.
"""

from functools import partial

import diffrax
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from oracles import Mixture, gaussian_denoiser, nightly, siblings_slow
from scipy.stats import norm

from jaxgen.diffusion import (
    GammaProcess,
    gamma_conditioned,
    learned_schedule,
    linear_log_snr,
    log_likelihood,
    marginal,
    times,
    value_and_derivative,
    vdm_bound,
)
from jaxgen.distributions import likelihoods

STD, DIMS = 0.7, 16
LOW, HIGH = -6.0, 4.0
KEY = jax.random.key(0)
MIXTURE = Mixture()


class CosineLike(GammaProcess):
    """The cosine schedule, γ = 2 log tan(angle), between two ends."""

    def gamma(self, t):
        first, last = (jnp.arctan(jnp.exp(jnp.asarray(end / 2, t.dtype))) for end in (LOW, HIGH))
        return 2 * jnp.log(jnp.tan(first + (last - first) * t))


class Steepening(GammaProcess):
    def gamma(self, t):
        return LOW + (HIGH - LOW) * (0.1 * t + 0.9 * t**4)


class Steady(GammaProcess):
    """The schedule on which γ' e(γ) is the same at every t: log s² − γ = log expm1(y), with y linear in t."""

    def gamma(self, t):
        y = [jax.nn.softplus(jnp.asarray(2 * np.log(STD) - end, t.dtype)) for end in (LOW, HIGH)]
        return 2 * np.log(STD) - jnp.log(jnp.expm1((1 - t) * y[0] + t * y[1]))


def scattered(seed):
    process = learned_schedule(jax.random.key(seed), LOW, HIGH, 8)
    shape = process.shape
    return process.replace(shape=shape.replace(l1=shape.l1 - 1.0, l3=2 * jax.random.normal(jax.random.key(seed), (8,))))


EVEN = times.uniform(minimum=0.0)
SHAPES = {
    "linear_log_snr": linear_log_snr(LOW, HIGH),
    "cosine": CosineLike(),
    "steepening": Steepening(),
    "steady": Steady(),
    "random": jax.jit(scattered)(1),
    "another": jax.jit(scattered)(2),
}


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def exact(process, network):
    return lambda x, t, cond: gaussian_denoiser(process, 0.0, STD)(x, t).eps


def nothing(x, t, cond):
    return x


def gamma64(process, t):
    with jax.enable_x64(True):
        return np.asarray(process.gamma(np.asarray(t, np.float64)))


def error(gamma):
    return DIMS * sigmoid(2 * np.log(STD) - gamma)


def closed_l_infinity():
    return DIMS / 2 * (np.logaddexp(0, 2 * np.log(STD) - LOW) - np.logaddexp(0, 2 * np.log(STD) - HIGH))


def closed_l_t(process, steps):
    """Σ_i ½ expm1(γ_t − γ_s) d e(γ_t), s = (i−1)/T, t = i/T."""
    gamma = gamma64(process, np.arange(steps + 1) / steps)
    return np.sum(0.5 * np.expm1(np.diff(gamma)) * error(gamma[1:]))


@partial(jax.jit, static_argnums=(1, 2, 3))
def drawn_terms(process, steps, n, times):
    x0 = STD * jax.random.normal(jax.random.key(5), (n, DIMS))
    options = {"precondition": exact, "steps": steps, "likelihood": likelihoods.gaussian(), "times": times}
    return vdm_bound(KEY, process, nothing, x0, **options).diffusion


def diffusion_terms(process, steps, n, times=None):
    return np.float64(drawn_terms(process, steps, n, times))


# -- C2.6g: L_T → L_∞ ----------------------------------------------------------------------------------------------


@nightly("name", SHAPES)
def test_c2_6g_the_sums_tend_to_the_integral(name):
    """From above, falling each time the steps are doubled, as 1/T."""
    process = SHAPES[name]
    limit = closed_l_infinity()
    gaps = np.array([closed_l_t(process, 2**k) - limit for k in range(3, 12)])
    assert np.all(gaps > 0)
    assert np.all(np.diff(gaps) < 0)
    np.testing.assert_allclose(gaps[-2] / gaps[-1], 2, rtol=0.02)
    # expm1 adds ½ Δγ² e, the right end of a step ½ Δγ² e'(γ), and e + e' = d sigmoid²
    t = (np.arange(200_000) + 0.5) / 200_000
    slope = np.diff(gamma64(process, np.arange(200_001) / 200_000)) * 200_000
    constant = 0.25 * np.mean(slope**2 * error(gamma64(process, t)) ** 2) / DIMS
    np.testing.assert_allclose(gaps[-1] * 2**11, constant, rtol=0.03)


@pytest.mark.parametrize("steps", siblings_slow([2, 4, 8, 16, 32, 64, None], 2, None))
def test_c2_6g_the_estimate_is_that_sum_or_integral(steps):
    n = 40_000
    process = SHAPES["linear_log_snr"]
    found = diffusion_terms(process, steps, n)
    expected = closed_l_infinity() if steps is None else closed_l_t(process, steps)
    standard_error = found.std() / np.sqrt(n)
    assert standard_error < 0.01 * expected
    assert abs(found.mean() - expected) < 4 * standard_error
    if steps is not None and steps <= 32:  # and would tell the sum from the integral
        assert found.mean() - closed_l_infinity() > 8 * standard_error


@pytest.mark.slow
def test_c2_6g_a_chain_from_s_of_1_is_no_bound():
    """With s(i) = i/T in place of (i−1)/T the first step is lost, and L_T comes to L_∞ from below."""
    process, n = linear_log_snr(-1.0, 0.5), 40_000
    limit = DIMS / 2 * (np.logaddexp(0, 2 * np.log(STD) + 1) - np.logaddexp(0, 2 * np.log(STD) - 0.5))
    for steps in (4, 8, 16, 256):
        gamma = gamma64(process, np.arange(steps + 1) / steps)
        right = 0.5 * np.expm1(np.diff(gamma)) * error(gamma[1:])
        assert right[1:].sum() < limit < right.sum()
    right = 0.5 * np.expm1(np.diff(gamma64(process, np.arange(5) / 4))) * error(gamma64(process, np.arange(1, 5) / 4))
    for first, expected in ((1, right.sum()), (2, right[1:].sum() * 4 / 3)):
        times = lambda key, n, first=first: jax.random.randint(key, (n,), first, 5) / 4
        found = diffusion_terms(process, 4, n, times=times)
        assert abs(found.mean() - expected) < 4 * found.std() / np.sqrt(n) < 0.02 * expected


# -- L_∞ does not depend on the schedule's shape -------------------------------------------------------------------


@pytest.mark.first_by_day
@pytest.mark.parametrize("name", siblings_slow(SHAPES, "steady", "random"))
def test_c2_6g_l_infinity_depends_on_the_ends_alone(name):
    n, process = 60_000, SHAPES[name]
    found = diffusion_terms(process, None, n, times=EVEN)
    standard_error = found.std() / np.sqrt(n)
    assert standard_error < 0.02 * closed_l_infinity()
    assert abs(found.mean() - closed_l_infinity()) < 4 * standard_error
    if name == "steady":  # what is left is the noise's: of a χ² of d degrees, 2/d of the mean squared
        relative = (found / found.mean() - 1) ** 2
        assert abs(relative.mean() - 2 / DIMS) < 4 * relative.std() / np.sqrt(n)
    else:
        assert (found / found.mean()).var() > 1.3 * 2 / DIMS


@pytest.mark.slow
def test_c2_6g_in_few_steps_the_shape_matters():
    few = [closed_l_t(process, 8) for process in SHAPES.values()]
    assert np.ptp(few) > 0.3 * closed_l_infinity()
    found = [diffusion_terms(SHAPES[name], 8, 20_000) for name in ("linear_log_snr", "steepening")]
    for terms, name in zip(found, ("linear_log_snr", "steepening"), strict=True):
        assert abs(terms.mean() - closed_l_t(SHAPES[name], 8)) < 4 * terms.std() / np.sqrt(20_000)


@pytest.mark.slow
def test_c2_6g_only_for_a_network_that_sees_the_noise():
    """A network that was told γ keeps its L_∞ when the schedule bends; told t, it loses it."""
    n = 40_000
    x0 = STD * jax.random.normal(jax.random.key(5), (n, DIMS))

    def network(x, time, cond):  # exact on the straight schedule, time being t there
        gamma = (LOW + (HIGH - LOW) * time)[:, None]
        alpha, sigma = jnp.sqrt(jax.nn.sigmoid(-gamma)), jnp.sqrt(jax.nn.sigmoid(gamma))
        return sigma * x / (alpha**2 * STD**2 + sigma**2)

    conditioned = lambda process, network: gamma_conditioned(process, network, LOW, HIGH)

    @jax.jit
    def terms(process):
        options = {"likelihood": likelihoods.gaussian()}
        bounds = [vdm_bound(KEY, process, network, x0, precondition=p, **options) for p in (conditioned, None)]
        return [bound.diffusion for bound in bounds]

    for process in (SHAPES["steepening"], SHAPES["cosine"]):
        told_gamma, told_t = (np.float64(found) for found in terms(process))
        assert abs(told_gamma.mean() - closed_l_infinity()) < 4 * told_gamma.std() / np.sqrt(n)
        lost = told_t - told_gamma  # at the same times and noise
        assert lost.mean() > 8 * lost.std() / np.sqrt(n)


# -- what the bounds are bounds of ---------------------------------------------------------------------------------


def evaluate(process, precondition, x0):
    return jax.jit(
        lambda process, x0: (
            vdm_bound(KEY, process, nothing, x0, precondition=precondition, likelihood=likelihoods.gaussian()).total
        )
    )(process, x0)


@pytest.mark.parametrize("low", siblings_slow([-2.0, -4.0, -8.0], -2.0))
def test_c2_6_the_bound_on_gaussian_data_is_the_nll_and_a_known_gap(low):
    """E total = E[−log p] + ½ d log(1 + sigma_0²/(alpha_0 s)²) + KL(q(z_1) ‖ N(0, 1)), which close as γ(0) falls."""
    n, process = 100_000, linear_log_snr(low, 3.0)
    found = np.float64(evaluate(process, exact, STD * jax.random.normal(jax.random.key(5), (n, DIMS))))
    nll = DIMS / 2 * np.log(2 * np.pi * np.e * STD**2)
    alpha2 = sigmoid(-3.0)
    kl = DIMS / 2 * (alpha2 * (STD**2 - 1) - np.log1p(alpha2 * (STD**2 - 1)))
    gap = DIMS / 2 * np.log1p(np.exp(low) / STD**2) + kl
    standard_error = found.std() / np.sqrt(n)
    assert abs(found.mean() - (nll + gap)) < 4 * standard_error
    assert gap > 0
    if low == -2.0:
        assert found.mean() > nll + 20 * standard_error
    if low == -8.0:
        assert gap - kl < 0.01


def entropy(process, t, scale):
    """−E log of the density of x_t/scale for the mixture, by quadrature in float64."""
    x = np.linspace(-9, 9, 60_001)
    alpha, variance = float(process.alpha(t)), float(process.variance(t))
    components = zip(MIXTURE.weights, MIXTURE.means, MIXTURE.stds, strict=True)
    q = sum(w * norm.pdf(x, alpha * m / scale, np.sqrt((alpha * s) ** 2 + variance) / scale) for w, m, s in components)
    return -np.sum(q * np.log(np.maximum(q, 1e-300))) * (x[1] - x[0]), q, x


@pytest.mark.slow
def test_c2_6_bound_and_ode_on_a_mixture_agree_and_lie_above_the_nll():
    """In expectation both are the entropy of z_0/alpha_0 and KL(q(z_1) ‖ N(0, 1)); the exact NLL is below."""
    process = linear_log_snr(-5.0, 3.0)
    precondition = lambda process, network: lambda x, t, cond: MIXTURE.denoiser(process)(x, t).eps
    n = 200_000
    bound = np.float64(evaluate(process, precondition, MIXTURE.sample(jax.random.key(5), n)))
    entropy_0, _, _ = entropy(process, 0.0, float(process.alpha(0.0)))
    _, last, x = entropy(process, 1.0, 1.0)
    kl = np.sum(last * (np.log(np.maximum(last, 1e-300)) - norm.logpdf(x))) * (x[1] - x[0])
    assert 1e-5 < kl < 0.01
    bound_error = bound.std() / np.sqrt(n)
    assert bound_error < 0.01
    assert abs(bound.mean() - entropy_0 - kl) < 4 * bound_error
    # the ODE's density of z_0, by which that of z_0/alpha_0 is alpha_0 times as high
    n = 4000
    x0 = MIXTURE.sample(jax.random.key(6), n)
    mean, std = marginal(process, x0, 0.0)
    z0 = mean + std * jax.random.normal(jax.random.key(7), x0.shape)
    controller = diffrax.PIDController(rtol=1e-4, atol=1e-4)
    found = jax.jit(
        lambda z0: log_likelihood(process, MIXTURE.denoiser(process), z0, t_min=0.0, controller=controller)
    )(z0)
    ode = -np.float64(found.log_density) - float(process.log_alpha(0.0))
    ode_error = ode.std() / np.sqrt(n)
    assert abs(ode.mean() - entropy_0 - kl) < 4 * ode_error
    assert abs(ode.mean() - bound.mean()) < 4 * np.hypot(ode_error, bound_error)
    # and the data's own entropy, which no bound may reach
    clean, _, _ = entropy(linear_log_snr(-40.0, 3.0), 0.0, 1.0)
    assert entropy_0 > clean + 0.02
    assert bound.mean() > clean + 4 * bound_error


@pytest.mark.slow
def test_c2_6_fewer_steps_lie_further_above():
    """bound_T > bound_∞ ≥ NLL on the mixture too."""
    process, x0 = linear_log_snr(-5.0, 3.0), MIXTURE.sample(jax.random.key(5), 100_000)
    options = {
        "precondition": lambda process, network: lambda x, t, cond: MIXTURE.denoiser(process)(x, t).eps,
        "likelihood": likelihoods.gaussian(),
    }
    found = jax.jit(lambda: [vdm_bound(KEY, process, nothing, x0, steps=n, **options).diffusion for n in (4, 64, None)])
    four, many, limit = np.float64(found())
    for terms, errors in ((four, 4), (many, 2)):
        assert terms.mean() - limit.mean() > errors * np.hypot(terms.std(), limit.std()) / np.sqrt(len(x0))


# -- the shape that makes the estimate steady ----------------------------------------------------------------------


def variance_over_time(process):
    """Mean and variance over t of E L(t) = ½ γ'(t) d e(γ(t))."""
    t = (np.arange(20_000) + 0.5) / 20_000
    gamma, slope = value_and_derivative(process, process.gamma, t)
    values = 0.5 * np.float64(slope) * error(np.float64(gamma))
    return values.mean(), values.var()


def test_c2_6_c2_6g_the_variance_is_least_where_gamma_rises_as_one_over_the_error():
    """E L² ≥ (E L)² = L_∞², with equality where γ' e(γ) is constant (Cauchy–Schwarz)."""
    mean, variance = variance_over_time(SHAPES["steady"])
    np.testing.assert_allclose(mean, closed_l_infinity(), rtol=1e-5)
    assert variance < 1e-6 * mean**2
    for name in set(SHAPES) - {"steady"}:
        mean, variance = variance_over_time(SHAPES[name])
        np.testing.assert_allclose(mean, closed_l_infinity(), rtol=1e-3)
        assert variance > 0.02 * mean**2


@pytest.mark.slow
def test_c2_6_training_the_shape_makes_the_estimate_steady():
    """By `variance_gradient`, from the ends of the paper: ten times steadier over t, at the same L_∞."""
    process, optimizer, batch = learned_schedule(KEY, features=128), optax.adam(1e-2), 64

    def loss(shape, key):
        data_key, key = jax.random.split(key)
        x0 = STD * jax.random.normal(data_key, (batch, DIMS))
        bound = vdm_bound(
            key, process.replace(shape=shape), nothing, x0, precondition=exact, likelihood=likelihoods.gaussian(),
            variance_gradient=True,
        )  # fmt: skip
        return bound.total.mean()

    @jax.jit
    def train(shape):
        def step(carry, key):
            shape, state = carry
            updates, state = optimizer.update(jax.grad(loss)(shape, key), state)
            return (optax.apply_updates(shape, updates), state), None

        return jax.lax.scan(step, (shape, optimizer.init(shape)), jax.random.split(KEY, 2000))[0][0]

    trained = process.replace(shape=train(process.shape))
    before, after = variance_over_time(linear_log_snr()), variance_over_time(trained)
    np.testing.assert_allclose(after[0], before[0], rtol=1e-3)
    assert after[1] < before[1] / 10
    # and as the estimate itself has it, noise included
    n = 40_000
    terms = {
        name: diffusion_terms(p, None, n, times=EVEN) for name, p in (("fixed", linear_log_snr()), ("trained", trained))
    }
    gap = terms["fixed"].mean() - terms["trained"].mean()
    assert abs(gap) < 4 * np.hypot(terms["fixed"].std(), terms["trained"].std()) / np.sqrt(n)
    assert terms["trained"].var() < terms["fixed"].var() / 2
