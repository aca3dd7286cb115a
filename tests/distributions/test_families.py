"""Variational families against scipy's densities, their own draws, and moments whose gradients are known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracles import nightly, siblings_slow
from scipy import special, stats

from jaxgen.distributions import (
    FullGaussianParams,
    GammaParams,
    MeanFieldParams,
    categorical,
    full_gaussian,
    full_gaussian_covariance,
    full_gaussian_params,
    gamma,
    mean_field_gaussian,
    positive,
    product,
)

MEAN, STD = np.array([0.7, -1.2]), np.array([0.4, 1.5])
COVARIANCE = np.array([[1.3, -0.8], [-0.8, 0.9]])
SHAPE, RATE = np.array([0.8, 3.5]), np.array([0.6, 2.0])
LOGITS = np.array([[0.2, -1.0, 0.5], [1.0, 0.0, -0.3]])
MEAN_FIELD = MeanFieldParams(MEAN, np.log(STD))
FACTOR = np.linalg.cholesky(COVARIANCE)
FULL = FullGaussianParams(MEAN, np.array([[np.log(FACTOR[0, 0]), 9.0], [FACTOR[1, 0], np.log(FACTOR[1, 1])]]))
GAMMA = GammaParams(np.log(SHAPE), np.log(RATE))
BOTH = {"a": mean_field_gaussian(), "b": gamma()}

FAMILIES = {
    "mean field": (mean_field_gaussian(), MEAN_FIELD, lambda z: stats.norm(MEAN, STD).logpdf(z).sum(-1)),
    "full": (full_gaussian(), FULL, stats.multivariate_normal(MEAN, COVARIANCE).logpdf),
    "gamma": (gamma(), GAMMA, lambda z: stats.gamma(SHAPE, scale=1 / RATE).logpdf(z).sum(-1)),
    "log-normal": (
        positive(mean_field_gaussian()), MEAN_FIELD, lambda z: stats.lognorm(STD, scale=np.exp(MEAN)).logpdf(z).sum(-1)
    ),
    "categorical": (
        categorical(), LOGITS, lambda z: sum(special.log_softmax(LOGITS, -1)[i, z[:, i]] for i in range(2))
    ),
    "product": (
        product(BOTH), {"a": MEAN_FIELD, "b": GAMMA},
        lambda z: (
            stats.norm(MEAN, STD).logpdf(z["a"]) + stats.gamma(SHAPE, scale=1 / RATE).logpdf(z["b"])
        ).sum(-1),
    ),
}  # fmt: skip
every_family = pytest.mark.parametrize("name", FAMILIES)


def draws(name, n, seed=0):
    family, params, _ = FAMILIES[name]
    params = jax.tree.map(jnp.asarray, params)
    return jax.vmap(family.sample, (0, None))(jax.random.split(jax.random.key(seed), n), params)


@pytest.mark.parametrize("name", siblings_slow(FAMILIES, *(FAMILIES.keys() - {"product"})))
def test_densities_are_scipys(name):
    with jax.enable_x64(True):
        family, params, reference = FAMILIES[name]
        keys, params = jax.random.split(jax.random.key(0), 20), jax.tree.map(jnp.asarray, params)

        @jax.jit
        def run(keys, params):
            z = jax.vmap(family.sample, (0, None))(keys, params)
            alone = family.log_density(params, family.sample(keys[3], params))  # without vmap it is the same
            return z, jax.vmap(family.log_density, (None, 0))(params, z), alone

        z, found, alone = run(keys, params)
        np.testing.assert_allclose(found, reference(jax.tree.map(np.asarray, z)), rtol=1e-10)
        np.testing.assert_allclose(alone, found[3], rtol=1e-10)


MARGINALS = {
    "mean field": [stats.norm(MEAN[i], STD[i]) for i in range(2)],
    "full": [stats.norm(MEAN[i], np.sqrt(COVARIANCE[i, i])) for i in range(2)],
    "gamma": [stats.gamma(SHAPE[i], scale=1 / RATE[i]) for i in range(2)],
    "log-normal": [stats.lognorm(STD[i], scale=np.exp(MEAN[i])) for i in range(2)],
}


@pytest.mark.first_by_day
@pytest.mark.parametrize("name", MARGINALS)
def test_draws_have_the_density(name):
    z = np.asarray(draws(name, 20_000), np.float64)
    for i, law in enumerate(MARGINALS[name]):
        assert stats.kstest(z[:, i], law.cdf).pvalue > 1e-4
    covariance = COVARIANCE if name == "full" else np.diag([law.var() for law in MARGINALS[name]])
    spread = np.sqrt(np.outer(np.diag(covariance), np.diag(covariance)))
    np.testing.assert_allclose(np.corrcoef(z.T)[0, 1], (covariance / spread)[0, 1], atol=4 / np.sqrt(20_000))


def test_draws_of_a_categorical_have_its_shares():
    n = 50_000
    z = np.asarray(draws("categorical", n))
    shares = np.stack([(z == k).mean(0) for k in range(3)], -1)
    exact = special.softmax(LOGITS, -1)
    assert np.all(np.abs(shares - exact) < 4 * np.sqrt(exact * (1 - exact) / n))


@pytest.mark.slow
def test_factors_of_a_product_are_drawn_apart():
    z = draws("product", 50_000)
    together = np.corrcoef(np.concatenate([np.asarray(z["a"]), np.asarray(z["b"])], -1).T)
    assert np.all(np.abs(together - np.eye(4)) < 4 / np.sqrt(50_000))
    twins = product({"a": mean_field_gaussian(), "b": mean_field_gaussian()})
    z = twins.sample(jax.random.key(0), dict.fromkeys("ab", MeanFieldParams(jnp.zeros(3), jnp.zeros(3))))
    assert not np.any(np.asarray(z["a"]) == np.asarray(z["b"]))


def test_full_gaussian_parameters_hold_any_covariance():
    """Those of a covariance give it back, what stands above the diagonal does not count, and any matrix is valid."""
    with jax.enable_x64(True):
        found = full_gaussian_params(jnp.asarray(MEAN), jnp.asarray(COVARIANCE))
        np.testing.assert_allclose(full_gaussian_covariance(found), COVARIANCE, rtol=1e-12)
        np.testing.assert_allclose(full_gaussian_covariance(jax.tree.map(jnp.asarray, FULL)), COVARIANCE, rtol=1e-12)
        anything = FullGaussianParams(jnp.zeros(3), jax.random.normal(jax.random.key(0), (3, 3)))
        assert np.linalg.eigvalsh(full_gaussian_covariance(anything)).min() > 0


MOMENTS = {  # E f(z) and its gradient in the parameters
    "mean field, z²": (
        "mean field", lambda z: jnp.sum(z**2), MeanFieldParams(2 * MEAN, 2 * STD**2)
    ),
    "gamma, log z": (
        "gamma", lambda z: jnp.sum(jnp.log(z)), GammaParams(SHAPE * special.polygamma(1, SHAPE), -np.ones(2))
    ),
    "gamma, z²": (  # E z² = a(a + 1)/b²
        "gamma", lambda z: jnp.sum(z**2),
        GammaParams(SHAPE * (2 * SHAPE + 1) / RATE**2, -2 * SHAPE * (SHAPE + 1) / RATE**2),
    ),
    "log-normal, z": (
        "log-normal", jnp.sum,
        MeanFieldParams(np.exp(MEAN + STD**2 / 2), STD**2 * np.exp(MEAN + STD**2 / 2)),
    ),
    "full, z₀z₁": (  # E z₀z₁ = m₀m₁ + L₀₀L₁₀, in (m, log L₀₀, L₁₀, log L₁₁)
        "full", lambda z: z[0] * z[1],
        FullGaussianParams(MEAN[::-1], np.array([[FACTOR[0, 0] * FACTOR[1, 0], 0.0], [FACTOR[0, 0], 0.0]])),
    ),
}  # fmt: skip


@nightly("case", MOMENTS)
def test_c4_8_draws_are_differentiated_through(case):
    """The mean of ∇_params f(z(params)) is ∇_params E f(z), the implicit derivative in a Gamma's shape included."""
    name, f, exact = MOMENTS[case]
    family, params, _ = FAMILIES[name]
    params = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float32), params)
    keys = jax.random.split(jax.random.key(1), 200_000)
    gradients = jax.jit(jax.vmap(jax.grad(lambda p, key: f(family.sample(key, p))), (None, 0)))(params, keys)
    for found, wanted in zip(jax.tree.leaves(gradients), jax.tree.leaves(exact), strict=True):
        found = np.asarray(found, np.float64)
        error = found.std(0) / np.sqrt(len(found))
        assert np.all(np.abs(found.mean(0) - wanted) <= 4.5 * error + 1e-6), (found.mean(0), wanted, error)


@pytest.mark.slow
def test_nothing_lies_outside_the_support_and_gradients_stay_finite():
    for name in ("gamma", "log-normal"):
        family, params, _ = FAMILIES[name]
        params = jax.tree.map(jnp.asarray, params)
        for z in (jnp.array([-1.0, 2.0]), jnp.array([0.0, 2.0])):
            value, gradient = jax.value_and_grad(family.log_density)(params, z)
            assert value == -jnp.inf
            assert all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves(gradient))


@nightly("dtype", [jnp.float32, jnp.float64])
def test_draws_keep_the_parameters_type(dtype):
    with jax.enable_x64(dtype == jnp.float64):
        for name in ("mean field", "full", "gamma", "log-normal"):
            family, params, _ = FAMILIES[name]
            params = jax.tree.map(lambda leaf: jnp.asarray(leaf, dtype), params)
            z = family.sample(jax.random.key(0), params)
            assert z.dtype == family.log_density(params, z).dtype == dtype


def test_refusals():
    with pytest.raises(ValueError, match="both shaped as z"):
        mean_field_gaussian().sample(jax.random.key(0), MeanFieldParams(jnp.zeros(3), jnp.zeros(())))
    with pytest.raises(ValueError, match="factors' names"):
        product(BOTH).sample(jax.random.key(0), {"a": MEAN_FIELD})
    with pytest.raises(ValueError, match="factors' names"):
        product(BOTH).log_density({"a": MEAN_FIELD, "c": GAMMA}, {})
