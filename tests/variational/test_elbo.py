"""Bounds and their gradient estimators against quadrature, enumeration and what is known of their noise."""

import itertools
from functools import cache, partial

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracles import nightly, slow
from scipy import special

from jaxgen.distributions import (
    GammaParams,
    MeanFieldParams,
    categorical,
    full_gaussian,
    full_gaussian_params,
    gamma,
    mean_field_gaussian,
    product,
)
from jaxgen.variational import doubly_reparameterised, importance_weighted, reparameterised, score_function, vimco

STICKING = partial(reparameterised, sticking_the_landing=True)
PLAIN_SCORE = partial(score_function, leave_one_out=False)
OF_ELBO = {
    "reparameterised": reparameterised, "sticking the landing": STICKING, "score function": PLAIN_SCORE,
    "leave one out": score_function,
}  # fmt: skip
OF_WEIGHTED = {
    "importance weighted": importance_weighted, "doubly reparameterised": doubly_reparameterised, "vimco": vimco,
}  # fmt: skip
EVERY = OF_ELBO | OF_WEIGHTED
PATHWISE = ["reparameterised", "sticking the landing", "importance weighted", "doubly reparameterised"]

PARAMS, THETA = {"mean": 0.4, "log_std": -0.3}, 1.3
NODES, WEIGHTS = np.polynomial.hermite_e.hermegauss(60)
WEIGHTS = WEIGHTS / np.sqrt(2 * np.pi)


def log_joint(theta, z):
    """A density that is no Gaussian: two bumps whose place θ tells."""
    return jnp.logaddexp(-0.5 * (z - theta) ** 2, -2 * (z + 0.5) ** 2) - 0.1 * z**2


def log_normal(mean, log_std, z):
    return -0.5 * ((z - mean) / jnp.exp(log_std)) ** 2 - log_std - 0.5 * np.log(2 * np.pi)


def exact_bound(params, theta, samples):
    """E log (1/K) Σ_k p(z_k)/q(z_k) over K = 1 or 2 draws, by Gauss–Hermite quadrature, differentiable."""
    z = params["mean"] + jnp.exp(params["log_std"]) * NODES
    log_w = log_joint(theta, z) - log_normal(params["mean"], params["log_std"], z)
    if samples == 1:
        return jnp.sum(WEIGHTS * log_w)
    pairs = jnp.logaddexp(log_w[:, None], log_w) - np.log(2)
    return jnp.sum(WEIGHTS[:, None] * WEIGHTS * pairs)


def estimated(estimator, params, theta, key, samples):
    q = MeanFieldParams(params["mean"], params["log_std"])
    return estimator(key, partial(log_joint, theta), mean_field_gaussian(), q, samples=samples)


@cache
def many(names, samples, n, log_std=PARAMS["log_std"]):
    """Values (n,) and gradients (n, 3) in (mean, log_std, θ) of some estimators at the same keys, by name."""
    params, theta = jax.tree.map(jnp.float32, (PARAMS | {"log_std": log_std}, THETA))

    def one(key):
        return {
            name: jax.value_and_grad(lambda p, t, name=name: estimated(EVERY[name], p, t, key, samples), (0, 1))(
                params, theta
            )
            for name in names
        }

    found = jax.jit(jax.vmap(one))(jax.random.split(jax.random.key(7), n))
    return {
        name: (np.asarray(values, np.float64), np.stack([*(p[k] for k in PARAMS), t], -1).astype(np.float64))
        for name, (values, (p, t)) in found.items()
    }


def exact(samples):
    with jax.enable_x64(True):
        value, (of_params, of_theta) = jax.value_and_grad(exact_bound, (0, 1))(PARAMS, THETA, samples)
        return float(value), np.array([of_params["mean"], of_params["log_std"], of_theta])


def within(draws, wanted, deviations=4.5):
    error = draws.std(0) / np.sqrt(len(draws))
    assert np.all(np.abs(draws.mean(0) - wanted) < deviations * error), (draws.mean(0), wanted, error)


@pytest.mark.parametrize("name", OF_ELBO)
@pytest.mark.parametrize("samples", [2, slow(5)])
def test_estimates_of_the_elbo_and_of_its_gradient_are_unbiased(name, samples):
    values, gradients = many(tuple(OF_ELBO), samples, 100_000)[name]
    value, gradient = exact(1)
    within(values, value)
    within(gradients, gradient)


@pytest.mark.parametrize("name", OF_WEIGHTED)
def test_estimates_of_the_importance_weighted_bound_and_of_its_gradient_are_unbiased(name):
    values, gradients = many(tuple(OF_WEIGHTED), 2, 200_000)[name]
    value, gradient = exact(2)
    within(values, value)
    within(gradients, gradient)
    # and the reference tells the bounds apart: the ELBO's gradient is another
    assert np.all(np.abs(gradient[:2] - exact(1)[1][:2]) > 0.02)
    assert value > exact(1)[0] + 0.02


@pytest.mark.slow
def test_the_bounds_rise_with_the_number_of_draws():
    """ELBO ≤ L_2 ≤ L_16 ≤ log p, log p by quadrature; the mean of each within its chance."""
    with jax.enable_x64(True):
        grid = np.linspace(-12, 12, 100_001)
        evidence = np.log(np.sum(np.exp(log_joint(THETA, grid))) * (grid[1] - grid[0]))
    found = [many(("importance weighted",), samples, 20_000)["importance weighted"][0] for samples in (1, 2, 16)]
    means, errors = [of.mean() for of in found], [of.std() / np.sqrt(len(of)) for of in found]
    assert means[0] + 4 * errors[0] < means[1] - 4 * errors[1]
    assert means[1] + 4 * errors[1] < means[2] - 4 * errors[2]
    assert means[2] < evidence + 4 * errors[2]


def grads(estimator, key, samples=4, theta=THETA):
    params, theta = jax.tree.map(jnp.float32, (PARAMS, theta))
    return jax.value_and_grad(lambda p, t: estimated(estimator, p, t, key, samples), (0, 1))(params, theta)


@pytest.mark.slow
def test_one_key_has_one_value_in_every_estimator_of_a_bound():
    key = jax.random.key(3)
    values = jax.jit(lambda: {name: grads(estimator, key)[0] for name, estimator in EVERY.items()})()
    for group in (OF_ELBO, OF_WEIGHTED):
        np.testing.assert_allclose([values[name] for name in group], values[next(iter(group))], rtol=1e-6)
    single = jax.jit(lambda: [grads(of, key, samples=1) for of in (reparameterised, importance_weighted)])()
    chex.assert_trees_all_close(*single, rtol=1e-5)


def drawn(key, samples):
    """ε, z and log w of the draws that the estimators make, in float64."""
    eps = np.array([jax.random.normal(k) for k in jax.random.split(key, samples)], np.float64)
    z = PARAMS["mean"] + np.exp(PARAMS["log_std"]) * eps
    with jax.enable_x64(True):
        log_w = log_joint(THETA, jnp.asarray(z)) - log_normal(PARAMS["mean"], PARAMS["log_std"], z)
    return eps, z, np.asarray(log_w)


@pytest.mark.slow
def test_dreg_weighs_paths_by_the_square():
    """Σ w̃_k² ∂log w/∂z ∂z/∂params, from the draws themselves; in θ it is Σ w̃ ∇log p, as for the plain gradient."""
    key, samples = jax.random.key(5), 6
    eps, z, log_w = drawn(key, samples)
    with jax.enable_x64(True):
        of_z = lambda z: log_joint(THETA, z) - log_normal(PARAMS["mean"], PARAMS["log_std"], z)
        slope = np.asarray(jax.vmap(jax.grad(of_z))(jnp.asarray(z)))
    path = special.softmax(log_w) ** 2 * slope
    _, (found, of_theta) = grads(doubly_reparameterised, key, samples)
    wanted = [path.sum(), np.sum(path * eps * np.exp(PARAMS["log_std"]))]
    np.testing.assert_allclose([found["mean"], found["log_std"]], wanted, rtol=1e-4)
    np.testing.assert_allclose(of_theta, grads(importance_weighted, key, samples)[1][1], rtol=1e-5)


@pytest.mark.slow
def test_vimco_replaces_each_weight_by_the_geometric_mean_of_the_others():
    key, samples = jax.random.key(6), 4
    _, z, log_w = drawn(key, samples)
    of_mean = (z - PARAMS["mean"]) / np.exp(2 * PARAMS["log_std"])  # ∇ log q in the mean
    wanted = 0.0
    for k in range(samples):
        swapped = np.delete(np.exp(log_w), k)
        baseline = np.log((swapped.sum() + np.prod(swapped) ** (1 / (samples - 1))) / samples)
        wanted += (np.log(np.mean(np.exp(log_w))) - baseline - special.softmax(log_w)[k]) * of_mean[k]
    np.testing.assert_allclose(grads(vimco, key, samples)[1][0]["mean"], wanted, rtol=1e-4)


def test_the_baseline_is_the_mean_of_the_other_draws():
    key, samples = jax.random.key(8), 3
    _, z, log_w = drawn(key, samples)
    of_mean = (z - PARAMS["mean"]) / np.exp(2 * PARAMS["log_std"])
    wanted = np.mean([(log_w[k] - np.delete(log_w, k).mean()) * of_mean[k] for k in range(samples)])
    np.testing.assert_allclose(grads(score_function, key, samples)[1][0]["mean"], wanted, rtol=1e-4)
    np.testing.assert_allclose(grads(PLAIN_SCORE, key, samples)[1][0]["mean"], np.mean(log_w * of_mean), rtol=1e-4)


POSTERIORS = {
    "full Gaussian": (
        full_gaussian(),
        jax.jit(full_gaussian_params)(jnp.array([0.3, -0.7]), jnp.array([[1.1, 0.6], [0.6, 0.8]])),
    ),
    "gamma": (gamma(), GammaParams(jnp.array(np.log(2.5)), jnp.array(0.4))),
}


@nightly("law", POSTERIORS)
def test_which_gradients_have_no_noise_where_q_is_the_posterior(law):
    """There log p − log q is constant: STL, DReG and a leave-one-out baseline leave nothing; the others are noise."""
    family, params = POSTERIORS[law]
    joint = lambda z: family.log_density(params, z) - 3.0
    found = jax.jit(
        jax.vmap(
            lambda key: {
                name: jax.grad(lambda p, of=estimator: of(key, joint, family, p, samples=4))(params)
                for name, estimator in EVERY.items()
            }
        )
    )(jax.random.split(jax.random.key(0), 300))
    noise = {name: max(np.std(leaf, 0).max() for leaf in jax.tree.leaves(of)) for name, of in found.items()}
    silent = {"sticking the landing", "leave one out", "doubly reparameterised"}
    for name in EVERY:
        assert noise[name] < 1e-5 if name in silent else noise[name] > 0.05, (name, noise[name])


@pytest.mark.slow
def test_more_draws_drown_the_plain_gradient_and_sharpen_dreg():
    """The noise in q's parameters falls as K^{−1/2} and K^{−3/2}, the signal as 1/K (Rainforth 2018, Tucker 2019).

    For a q wider than p, so that no weight is large; from K = 8 to 128 by 4 and by 64.
    """
    names = "importance weighted", "doubly reparameterised"
    few, lots = (
        {name: of.std(0)[:2] for name, (_, of) in many(names, samples, 20_000, 0.4).items()} for samples in (8, 128)
    )
    plain, doubly = (few[name] / lots[name] for name in names)
    np.testing.assert_allclose(plain, 4, rtol=0.2)
    np.testing.assert_allclose(doubly, 64, rtol=0.35)


# -- discrete latents ----------------------------------------------------------------------------------------------

LOGITS = np.array([[0.2, -1.0, 0.5], [1.0, 0.0, -0.3]])
TABLE = np.random.default_rng(0).normal(size=(3, 3))


def discrete_joint(theta, z):
    return theta * jnp.asarray(TABLE)[z[0], z[1]]


def enumerated(logits, theta, samples):
    """The bound by enumeration of all pairs of draws."""
    states = list(itertools.product(range(3), range(3)))
    log_q = jnp.stack([jax.nn.log_softmax(logits[0])[i] + jax.nn.log_softmax(logits[1])[j] for i, j in states])
    log_w = theta * jnp.stack([jnp.asarray(TABLE)[i, j] for i, j in states]) - log_q
    if samples == 1:
        return jnp.sum(jnp.exp(log_q) * log_w)
    return jnp.sum(jnp.exp(log_q[:, None] + log_q) * (jnp.logaddexp(log_w[:, None], log_w) - np.log(2)))


@pytest.mark.parametrize(("name", "draws"), [("score function", 1), ("leave one out", 1), ("vimco", 2)])
def test_discrete_latents_have_the_gradients_of_enumeration(name, draws):
    n = 50_000

    def total(logits, theta, key):
        return EVERY[name](key, partial(discrete_joint, theta), categorical(), logits, samples=2)

    grad = jax.value_and_grad(total, (0, 1))
    values, (of_logits, of_theta) = jax.jit(jax.vmap(grad, (None, None, 0)))(
        jnp.asarray(LOGITS, jnp.float32), jnp.float32(1.5), jax.random.split(jax.random.key(2), n)
    )
    with jax.enable_x64(True):
        value, wanted = jax.value_and_grad(enumerated, (0, 1))(jnp.asarray(LOGITS), 1.5, draws)
    within(np.asarray(values, np.float64), float(value))
    within(np.asarray(of_logits, np.float64).reshape(n, -1), np.ravel(wanted[0]))
    within(np.asarray(of_theta, np.float64), float(wanted[1]))


# -- trees, batches, compilation, types, refusals ------------------------------------------------------------------


@pytest.mark.slow
def test_latents_may_be_trees():
    """Of independent factors the bound of a product is the sum of the bounds, and so are the gradients."""
    with jax.enable_x64(True):
        family = product({"a": mean_field_gaussian(), "b": gamma()})
        params = {
            "a": MeanFieldParams(jnp.array([0.2, 1.0]), jnp.array([-0.5, 0.1])),
            "b": GammaParams(jnp.array(0.7), jnp.array(-0.2)),
        }
        parts = {"a": lambda z: -0.5 * jnp.sum(z**2), "b": lambda z: jnp.log(z) - 2 * z}
        key = jax.random.key(1)
        joint = lambda z: parts["a"](z["a"]) + parts["b"](z["b"])
        found = jax.jit(jax.grad(lambda p: reparameterised(key, joint, family, p, samples=3)))(params)

        # the same draws: the factors' keys are those the product makes
        def alone(p):
            total = 0.0
            for k in jax.random.split(key, 3):
                z = family.sample(k, p)
                total += parts["a"](z["a"]) + parts["b"](z["b"]) - family.log_density(p, z)
            return total / 3

        chex.assert_trees_all_close(found, jax.jit(jax.grad(alone))(params), rtol=1e-9)


@pytest.mark.slow
def test_vmap_over_data_is_the_loop_and_float64_stays():
    keys, means = jax.random.split(jax.random.key(0), 3), jnp.array([0.1, 0.5, -0.4])

    def every(key, mean):
        params = {"mean": mean, "log_std": jnp.asarray(-0.2, mean.dtype)}
        return {name: estimated(of, params, THETA, key, 3) for name, of in EVERY.items()}

    value_and_slope = lambda key, mean: jax.jvp(partial(every, key), (mean,), (jnp.ones_like(mean),))
    together = jax.jit(jax.vmap(value_and_slope))(keys, means)
    alone = value_and_slope(keys[1], means[1])
    chex.assert_trees_all_close(jax.tree.map(lambda leaf: leaf[1], together), alone, rtol=1e-5, atol=1e-6)
    with jax.enable_x64(True):
        assert {leaf.dtype for leaf in jax.tree.leaves(jax.eval_shape(every, keys[0], jnp.float64(0.1)))} == {
            jnp.dtype(jnp.float64)
        }


def test_refusals():
    key, family, q = jax.random.key(0), mean_field_gaussian(), MeanFieldParams(jnp.zeros(2), jnp.zeros(2))
    for name, estimator in EVERY.items():
        least = 2 if name in ("leave one out", "vimco") else 1
        cases = [
            (lambda z: z, family, q, 2, r"log_joint must return one number, got shape \(2,\)"),
            (jnp.sum, family, q, least - 1, f"samples >= {least}, got {least - 1}"),
        ]
        if name in PATHWISE:
            message = "int32 have no derivative: use score_function or vimco"
            cases.append((partial(discrete_joint, 1.0), categorical(), jnp.asarray(LOGITS, jnp.float32), 2, message))
        for joint, of, params, samples, message in cases:
            with pytest.raises(ValueError, match=message):
                estimator(key, joint, of, params, samples=samples)
