"""Annealed importance sampling and sequential Monte Carlo against constants that are known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from refusals import refuses

from jaxgen import mcmc
from jaxgen.distributions import Gaussian, standard_normal

D, VARIANCE = 5, 0.25
EXACT = D / 2 * np.log(2 * np.pi * VARIANCE)  # 1.12896
BETAS = np.linspace(0, 1, 26)


def log_density(x):
    """N(1, ¼ I) in five dimensions without its constant."""
    return -jnp.sum((x - 1) ** 2, -1) / (2 * VARIANCE)


def transition(density, beta):
    """MALA whose steps shrink with the density."""
    return mcmc.mala(density, 0.8 / (1 + 3 * beta))


def anneal(keys, transition, betas, **options):
    return mcmc.annealed_importance_sampling(keys, transition, standard_normal(), log_density, (D,), betas, **options)


def test_log_z_of_a_gaussian_lies_within_its_error():
    assert abs(EXACT - 1.12896) < 1e-5
    keys = jax.random.split(jax.random.key(0), 2048)
    found = jax.jit(lambda keys: anneal(keys, transition, BETAS, steps=2))(keys)
    estimate = mcmc.log_normalizer(found.log_weights)
    assert abs(estimate.value - EXACT) < 4 * estimate.error
    assert estimate.error < 0.04
    assert estimate.effective_share > 0.3
    # weighted, the samples are the target's
    share = jax.nn.softmax(found.log_weights)[:, None]
    np.testing.assert_allclose((share * found.x).sum(0), 1, atol=5 * np.sqrt(VARIANCE / 2048 / 0.3))
    # the stated error is the spread of independent estimates: of 16, within a factor of 2 with 99.9 %
    parts = jax.vmap(mcmc.log_normalizer)(found.log_weights.reshape(16, 128))
    assert 0.5 < parts.value.std(ddof=1) / parts.error.mean() < 1.7


def test_one_step_of_the_path_is_importance_sampling():
    keys, still = jax.random.split(jax.random.key(0), 100), mcmc.Chain(lambda x: x, lambda keys, x: x)
    found = anneal(keys, lambda density, beta: still, np.array([0.0, 1.0]))
    ratio = log_density(found.x) - standard_normal().log_density(found.x)
    np.testing.assert_allclose(found.log_weights, ratio, rtol=1e-4, atol=1e-4)


@pytest.mark.slow
def test_a_sample_depends_on_its_own_key_alone():
    keys, betas = jax.random.split(jax.random.key(0), 10), np.linspace(0, 1, 4)
    whole, part = (anneal(keys, transition, betas) for keys in (keys, keys[3:5]))
    np.testing.assert_allclose(whole.log_weights[3:5], part.log_weights, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(whole.x[3:5], part.x, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_hmc_is_a_transition_too():
    keys = jax.random.split(jax.random.key(1), 4096)
    found = anneal(keys, lambda density, beta: mcmc.hmc(density, 0.5 / (1 + beta), 3), BETAS)
    estimate = mcmc.log_normalizer(found.log_weights)
    assert abs(estimate.value - EXACT) < 4 * estimate.error < 0.1


@pytest.mark.slow
def test_tempered_smc_finds_the_constant_and_both_modes():
    """A mixture with the weights ¼ and ¾, times 5: log Z = log 5, by 16 populations."""
    means, std = jnp.array([[-2.0, 0.0], [2.0, 0.0]]), 0.3
    weight = jnp.array([0.25, 0.75])

    def mixture(x):
        terms = -jnp.sum((x[:, None] - means) ** 2, -1) / (2 * std**2) - jnp.log(2 * jnp.pi * std**2)
        return jax.nn.logsumexp(terms + jnp.log(weight), axis=-1) + jnp.log(5.0)

    keys, reference = jax.random.split(jax.random.key(0), 16), Gaussian(jnp.zeros(2), 2 * jnp.ones(2))
    betas = np.linspace(0, 1, 12) ** 2
    move = lambda density, beta: mcmc.mala(density, 0.5 / (1 / 4 + beta / std**2))

    def run(keys):
        return mcmc.tempered_smc(keys, move, reference, mixture, (2,), betas, particles=150, steps=3)

    found = jax.jit(run)(keys)
    assert found.x.shape == (16, 150, 2)
    assert found.effective_shares.shape == (16, 11)
    estimate = mcmc.log_normalizer(found.log_normalizers)
    assert abs(estimate.value - np.log(5)) < 4 * estimate.error < 0.2
    right = jnp.sum(jnp.exp(found.log_weights) * (found.x[..., 0] > 0), -1)
    assert abs(right.mean() - 0.75) < 4 * right.std(ddof=1) / np.sqrt(16)
    np.testing.assert_allclose(jnp.exp(found.log_weights).sum(-1), 1, rtol=1e-4)


def test_what_weights_are_worth():
    """q = N(0, ¼) by draws of p = N(0, 1): 1/(1 + χ²) = √(7)/4 = .6614; equal weights are worth their number."""
    x = jax.random.normal(jax.random.key(0), (200_000,))
    log_ratio = np.log(2) - 2 * x**2 + x**2 / 2
    assert abs(mcmc.effective_share(log_ratio) - np.sqrt(7) / 4) < 0.005
    assert abs(np.sqrt(7) / 4 - 0.6614) < 1e-4
    np.testing.assert_allclose(mcmc.effective_share(jnp.full(10, -700.0)), 1, rtol=1e-4)
    w = np.exp(np.asarray(log_ratio, np.float64))
    found = mcmc.log_normalizer(log_ratio + 800.0)
    np.testing.assert_allclose(found.value - 800, np.log(w.mean()), atol=1e-3)
    np.testing.assert_allclose(found.error, w.std(ddof=1) / w.mean() / np.sqrt(len(w)), rtol=1e-2)


def test_refusals(unchecked):
    keys = jax.random.split(jax.random.key(0), 4)
    call = lambda betas=BETAS, **options: anneal(keys, transition, betas, **options)
    smc = lambda **options: mcmc.tempered_smc(keys, transition, standard_normal(), log_density, (D,), BETAS, **options)
    refuses(
        ("must ascend from 0 to 1", lambda: call(np.array([0.0, 0.5]))),
        ("must ascend from 0 to 1", lambda: call(np.array([0.0, 0.7, 0.5, 1.0]))),
        ("must ascend from 0 to 1", lambda: call(np.array([0.0]))),
        ("steps must be at least 1", lambda: call(steps=0)),
        ("particles must be at least 2", lambda: smc(particles=1)),
        ("n >= 2", lambda: mcmc.log_normalizer(jnp.zeros(1))),
    )
