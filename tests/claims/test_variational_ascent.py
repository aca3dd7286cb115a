"""Claims of S2 on the mean field: coordinate ascent never lowers the ELBO, and each update is the optimum."""

import itertools
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracles import nightly, slow
from scipy import optimize, special, stats

from jaxgen.variational import bayesian_mixture, coordinate_ascent, normal_gamma

RNG = np.random.default_rng(0)
PRIOR = normal_gamma.NormalGamma(0.3, 0.7, 1.5, 0.8)
NUMBERS = RNG.normal(1.0, 0.7, 7)
PRIOR_VARIANCE = 4.0
ROWS = RNG.normal(size=(12, 2)) + 3 * RNG.integers(0, 2, (12, 1))


@pytest.fixture(autouse=True)
def x64():
    with jax.enable_x64(True):
        yield


def random_normal_gamma(rng):
    return normal_gamma.Factors(rng.normal(), rng.gamma(1, 3), rng.gamma(2), rng.gamma(2))


def random_mixture(rng, components=3):
    return bayesian_mixture.Factors(
        2 * rng.normal(size=(components, 2)), rng.gamma(1, 1, components), rng.dirichlet(np.ones(components), len(ROWS))
    )


MODELS = {
    "normal gamma": (
        partial(normal_gamma.elbo, PRIOR), random_normal_gamma, NUMBERS,
        {
            "mean": partial(normal_gamma.update_mean, PRIOR),
            "precision": partial(normal_gamma.update_precision, PRIOR),
        },
    ),
    "mixture": (
        partial(bayesian_mixture.elbo, PRIOR_VARIANCE), random_mixture, ROWS,
        {
            "assignments": bayesian_mixture.update_assignments,
            "means": partial(bayesian_mixture.update_means, PRIOR_VARIANCE),
        },
    ),
}  # fmt: skip
every_model = pytest.mark.parametrize("name", MODELS)


def compiled(name):
    elbo, start, x, updates = MODELS[name]
    x = jnp.asarray(x)
    return (
        jax.jit(lambda q: elbo(x, q)),
        lambda rng: jax.tree.map(jnp.asarray, start(rng)),
        {kind: jax.jit(partial(update, x)) for kind, update in updates.items()},
    )


UNCONSTRAINED = {  # to factors from any real numbers
    "normal gamma": lambda v: normal_gamma.Factors(v[0], jnp.exp(v[1]), jnp.exp(v[2]), jnp.exp(v[3])),
    "mixture": lambda v: bayesian_mixture.Factors(
        v[:6].reshape(3, 2), jnp.exp(v[6:9]), jax.nn.softmax(v[9:].reshape(len(ROWS), 3))
    ),
}


def numerical_optimum(name, seed):
    """A local optimum of the ELBO over all factors at once, by L-BFGS."""
    elbo, _, _ = compiled(name)
    back, size = UNCONSTRAINED[name], {"normal gamma": 4, "mixture": 9 + 3 * len(ROWS)}[name]
    value = jax.jit(jax.value_and_grad(lambda v: -elbo(back(v))))
    start = np.random.default_rng(seed).normal(size=size)
    for _ in range(2):  # L-BFGS may stop early; begun again, it forgets the curvature it has collected
        start = optimize.minimize(
            lambda v: tuple(map(np.asarray, value(jnp.asarray(v)))), start, jac=True, method="L-BFGS-B",
            options={"maxiter": 5000, "maxfun": 20_000, "ftol": 1e-16, "gtol": 1e-10},
        ).x  # fmt: skip
    return back(jnp.asarray(start))


@nightly("name", MODELS)
def test_c2_2_no_update_lowers_the_elbo(name):
    """Each update alone, from random factors and from factors that are best already, which a wrong one would leave."""
    elbo, start, updates = compiled(name)
    rng = np.random.default_rng(1)
    for kind, update in updates.items():
        rises = []
        for _ in range(50):
            q = start(rng)
            rises.append(float(elbo(update(q)) - elbo(q)))
        assert min(rises) > -1e-9, kind
        assert np.median(rises) > 0.1, kind
        for seed in range(3):
            q = numerical_optimum(name, seed)
            assert -1e-9 < elbo(update(q)) - elbo(q) < 1e-3, kind


@pytest.mark.first_by_day
@every_model
def test_c2_2_coordinate_ascent_never_lowers_the_elbo_and_ends_in_an_optimum(name):
    """After every update of sweeps from ten starts; at the end no gradient is left, in any direction."""
    elbo, start, updates = compiled(name)
    run = jax.jit(lambda q: coordinate_ascent(list(updates.values()), elbo, q, 2000))
    for seed in range(10):
        found = run(start(np.random.default_rng(seed)))
        path = np.concatenate([[found.start], np.ravel(found.elbos)])
        assert np.diff(path).min() > -1e-11 * np.abs(path).max()
        assert path[-1] > path[0] + 0.1
        gradient = jax.grad(elbo)(found.factors)
        if name == "mixture":  # on the simplex only differences between components count
            gradient = gradient._replace(
                responsibilities=found.factors.responsibilities
                * (gradient.responsibilities - (gradient.responsibilities * found.factors.responsibilities).sum(
                    -1, keepdims=True))
            )  # fmt: skip
        for leaf in jax.tree.leaves(gradient):
            np.testing.assert_allclose(leaf, 0, atol=1e-6)


def test_c2_2_the_normal_gamma_bound_stays_below_the_evidence():
    """By the Student's evidence; and the optimum of the mean field is strictly below."""
    elbo, start, updates = compiled("normal gamma")
    found = coordinate_ascent(list(updates.values()), elbo, start(RNG), 100)
    n = len(NUMBERS)
    scale = PRIOR.rate / PRIOR.shape * (np.eye(n) + 1 / PRIOR.strength)
    evidence = stats.multivariate_t(np.full(n, PRIOR.mean), scale, df=2 * PRIOR.shape).logpdf(NUMBERS)
    assert 1e-3 < evidence - found.elbos[-1, -1] < 0.2


# -- C2.5: q_j* ∝ exp E_{−j} log p(x, z) ------------------------------------------------------------------------------


def normal_gamma_log_joint(mu, tau):
    """log p(x, μ, τ) with scipy, broadcasting."""
    total = stats.norm(PRIOR.mean, 1 / np.sqrt(PRIOR.strength * tau)).logpdf(mu)
    total = total + stats.gamma(PRIOR.shape, scale=1 / PRIOR.rate).logpdf(tau)
    for x in NUMBERS:
        total = total + stats.norm(mu, 1 / np.sqrt(tau)).logpdf(x)
    return total


def normalised(log_density, cell):
    log_density = log_density - log_density.max()
    return log_density - np.log(np.sum(np.exp(log_density) * cell))


def test_c2_5_the_means_update_is_exp_of_the_expected_log_joint():
    """q(μ) on a grid, with E over q(τ) by quadrature."""
    q = normal_gamma.Factors(0.1, 2.0, 3.2, 1.4)
    tau = np.exp(np.linspace(-14, 5, 4001))
    weights = stats.gamma(q.shape, scale=1 / q.rate).pdf(tau) * tau * 19 / 4000
    mu = np.linspace(-3, 4, 2001)
    expected = np.array([np.sum(weights * normal_gamma_log_joint(m, tau)) for m in mu[::20]])
    found = normal_gamma.update_mean(PRIOR, jnp.asarray(NUMBERS), q)
    exact = stats.norm(found.mean, 1 / np.sqrt(found.precision)).logpdf(mu[::20])
    np.testing.assert_allclose(normalised(expected, mu[20] - mu[0]), exact, atol=1e-5)
    assert (found.shape, found.rate) == (q.shape, q.rate)


def test_c2_5_the_precisions_update_is_exp_of_the_expected_log_joint():
    """q(τ) on a grid, with E over q(μ) by Gauss–Hermite, exact for a quadratic."""
    q = normal_gamma.Factors(0.6, 5.0, 1.0, 1.0)
    nodes, weights = np.polynomial.hermite_e.hermegauss(5)
    mu = q.mean + nodes / np.sqrt(q.precision)
    tau = np.exp(np.linspace(-12, 4, 4001))
    expected = (weights / weights.sum()) @ normal_gamma_log_joint(mu[:, None], tau)
    found = normal_gamma.update_precision(PRIOR, jnp.asarray(NUMBERS), q)
    exact = stats.gamma(found.shape, scale=1 / found.rate).logpdf(tau)
    inside = (tau > 0.05) & (tau < 20)
    np.testing.assert_allclose(normalised(expected, tau * 16 / 4000)[inside], exact[inside], atol=1e-6)
    assert (found.mean, found.precision) == (q.mean, q.precision)


@pytest.mark.parametrize("components", [slow(2), 3])
def test_c2_5_the_assignments_update_is_exp_of_the_expected_log_joint(components):
    """q(c_n) ∝ exp E_{q(μ)} log N(x_n; μ_c, I), the expectation by Gauss–Hermite in each coordinate."""
    q = random_mixture(np.random.default_rng(2), components)
    nodes, weights = np.polynomial.hermite_e.hermegauss(4)
    weights = weights / weights.sum()
    expected = np.zeros((len(ROWS), components))
    for (n, x), k, i in itertools.product(enumerate(ROWS), range(components), range(2)):
        mu = q.means[k, i] + np.sqrt(q.variances[k]) * nodes
        expected[n, k] += weights @ stats.norm(mu, 1).logpdf(x[i])
    found = bayesian_mixture.update_assignments(jnp.asarray(ROWS), jax.tree.map(jnp.asarray, q))
    np.testing.assert_allclose(found.responsibilities, special.softmax(expected, -1), rtol=1e-9)
    np.testing.assert_array_equal(found.means, q.means)
    np.testing.assert_array_equal(found.variances, q.variances)


def test_c2_5_the_mixtures_means_update_is_exp_of_the_expected_log_joint():
    """q(μ_k) on a grid along each coordinate, E over q(c) being a sum of responsibilities."""
    q = random_mixture(np.random.default_rng(3))
    found = bayesian_mixture.update_means(PRIOR_VARIANCE, jnp.asarray(ROWS), jax.tree.map(jnp.asarray, q))
    grid = np.linspace(-12, 12, 4801)
    for k, i in itertools.product(range(3), range(2)):
        expected = stats.norm(0, np.sqrt(PRIOR_VARIANCE)).logpdf(grid)
        for n, x in enumerate(ROWS):
            expected = expected + q.responsibilities[n, k] * stats.norm(grid, 1).logpdf(x[i])
        exact = stats.norm(found.means[k, i], np.sqrt(found.variances[k])).logpdf(grid)
        inside = exact > -30
        np.testing.assert_allclose(normalised(expected, grid[1] - grid[0])[inside], exact[inside], atol=1e-8)
    np.testing.assert_array_equal(found.responsibilities, q.responsibilities)


@every_model
@pytest.mark.slow
def test_c2_5_no_other_factor_is_better(name):
    """Each updated factor, shaken in every parameter, the others as they are: the ELBO is lower, and level at it."""
    elbo, start, updates = compiled(name)
    rng = np.random.default_rng(4)
    for update in updates.values():
        q = start(rng)
        best = update(q)
        changed = [not np.array_equal(a, b) for a, b in zip(q, best, strict=True)]
        assert any(changed)
        for _ in range(30):
            shaken = type(q)(
                *(
                    shake(rng, field, leaf) if moved else leaf
                    for field, leaf, moved in zip(q._fields, best, changed, strict=True)
                )
            )
            fall = elbo(best) - elbo(shaken)
            assert fall > 0
        for field, leaf in jax.grad(elbo)(best)._asdict().items():
            if field in ("mean", "precision", "shape", "rate", "means", "variances"):
                moved = changed[q._fields.index(field)]
                assert np.all(np.abs(leaf) < 1e-8) or not moved, field


def shake(rng, field, leaf):
    leaf = np.asarray(leaf)
    if field in ("mean", "means"):
        return jnp.asarray(leaf + 0.05 * rng.normal(size=leaf.shape))
    if field == "responsibilities":
        return jax.nn.softmax(jnp.log(leaf) + 0.1 * rng.normal(size=leaf.shape))
    return jnp.asarray(leaf * np.exp(0.1 * rng.normal(size=leaf.shape)))
