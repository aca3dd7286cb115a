"""Metropolis-adjusted chains: they leave a mixture invariant, and would not if they accepted by another variance."""

import importlib
import sys

import blackjax
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracles import nightly
from refusals import refuses

from jaxgen import mcmc
from jaxgen.distributions import Uniform

N = 20_000
KEYS = jax.random.split(jax.random.key(0), N)
WEIGHTS, MEANS, STDS = np.array([0.3, 0.7]), np.array([-1.5, 1.0]), np.array([0.4, 0.8])
HMC = importlib.import_module("blackjax.mcmc.hmc")
MALA = sys.modules["jaxgen.mcmc._mala"]


def log_density(x):
    """log of the mixture, of x (B, 1), without its constant."""
    terms = jnp.log(WEIGHTS / STDS) - 0.5 * ((x - MEANS) / STDS) ** 2
    return jax.nn.logsumexp(terms, axis=-1) + 3.0


def exact_draws():
    which, noise = jax.random.split(jax.random.key(1))
    component = jax.random.choice(which, 2, (N,), p=WEIGHTS)
    return (jnp.asarray(MEANS)[component] + jnp.asarray(STDS)[component] * jax.random.normal(noise, (N,)))[:, None]


def distance(x):
    """Kolmogorov's distance to the mixture times √N; it exceeds 1.95 once in 1000 times for independent draws."""
    x = np.sort(np.ravel(x))
    law = np.sum(WEIGHTS * np.asarray(jax.scipy.stats.norm.cdf(x[:, None], MEANS, STDS)), -1)
    return np.abs(np.arange(1, N + 1) / N - law).max() * np.sqrt(N)


CHAINS = {
    "mala": lambda: mcmc.mala(log_density, 0.7),
    "hmc": lambda: mcmc.hmc(log_density, 0.65, 3),
}


@pytest.mark.parametrize("name", CHAINS)
def test_it_leaves_a_mixture_invariant_at_a_large_step(name):
    states = mcmc.run(KEYS, CHAINS[name](), exact_draws(), frames=1, thin=10)
    assert distance(states.x[-1]) < 1.95
    assert 0.3 < states.acceptance[-1].mean() < 0.95  # far from always, far from never
    np.testing.assert_allclose(states.log_density[-1], log_density(states.x[-1]), rtol=1e-5, atol=1e-5)
    gradient = jax.grad(lambda x: log_density(x).sum())(states.x[-1])
    np.testing.assert_allclose(states.gradient[-1], gradient, rtol=1e-4, atol=1e-4)
    # the same moves without a test of acceptance settle elsewhere
    unadjusted = mcmc.run(
        KEYS, mcmc.langevin(jax.grad(lambda x: log_density(x).sum()), 0.7), exact_draws(), frames=1, thin=10
    )
    assert distance(unadjusted[-1]) > 4


@pytest.mark.parametrize("factor", [2.0, pytest.param(0.5, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", CHAINS)
def test_another_variance_in_the_acceptance_would_show(name, factor, monkeypatch):
    """Of the proposal in MALA, of the momenta in HMC."""
    right = MALA.proposal_log_density
    monkeypatch.setattr(MALA, "proposal_log_density", lambda *arguments: right(*arguments) / factor)
    energy = lambda kinetic: lambda state: -state.logdensity + kinetic(state.momentum, state.position) / factor
    monkeypatch.setattr(HMC, "hmc_energy", energy)
    assert distance(mcmc.run(KEYS, CHAINS[name](), exact_draws(), frames=1, thin=10).x[-1]) > 4


@pytest.mark.slow
def test_both_agree_with_blackjaxs_mala():
    """Mean acceptance from the same states: HMC of one leapfrog step of length √ε is MALA."""
    x, epsilon = exact_draws(), 0.7
    theirs = blackjax.mala(lambda x: log_density(x[None])[0], epsilon / 2)  # its step is x + h ∇ + √(2h) z
    _, info = jax.vmap(theirs.step)(KEYS, jax.vmap(theirs.init)(x))
    for chain in (mcmc.mala(log_density, epsilon), mcmc.hmc(log_density, np.sqrt(epsilon), 1)):
        found = mcmc.run(KEYS, chain, x, frames=1).acceptance[-1]
        error = np.hypot(found.std(), info.acceptance_rate.std()) / np.sqrt(N)
        assert abs(found.mean() - info.acceptance_rate.mean()) < 4 * error


@pytest.mark.slow
def test_it_finds_the_density_from_elsewhere_and_with_a_step_size_for_each_chain():
    sizes = jnp.where(jnp.arange(N) % 2, 0.4, 0.8)
    start = jax.random.uniform(jax.random.key(2), (N, 1), minval=-3, maxval=3)
    x = mcmc.run(KEYS, mcmc.mala(log_density, sizes), start, frames=1, thin=150).x[-1]
    assert distance(x) < 1.95


@pytest.mark.slow
def test_masses_scale_the_coordinates():
    """With inverse masses equal to the variances, HMC on N(0, diag v) accepts as on N(0, I)."""
    variances, keys = jnp.array([[0.01, 4.0], [1.0, 100.0]]), KEYS[:4000]
    start = jnp.sqrt(variances) * jax.random.normal(jax.random.key(3), (4000, 2, 2))
    scaled = mcmc.hmc(lambda x: -0.5 * (x**2 / variances).sum((1, 2)), 0.8, 3, inverse_mass=variances)
    plain = mcmc.hmc(lambda x: -0.5 * (x**2).sum((1, 2)), 0.8, 3)
    found = mcmc.run(keys, scaled, start, frames=1).acceptance[-1]
    expected = mcmc.run(keys, plain, start / jnp.sqrt(variances), frames=1).acceptance[-1]
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_proposals_outside_the_support_are_rejected():
    chain = mcmc.mala(Uniform(-1.0, 1.0).log_density, 1.0)
    start = jax.random.uniform(jax.random.key(1), (5000, 1), minval=-1)
    x = mcmc.run(KEYS[:5000], chain, start, frames=1, thin=5).x[-1]
    assert np.abs(x).max() <= 1
    np.testing.assert_allclose(np.mean(x**2), 1 / 3, atol=5 * np.sqrt(4 / 45 / 5000))


@nightly("name", CHAINS)
def test_a_chain_depends_on_its_own_key_alone(name):
    keys = jax.random.split(jax.random.key(0, impl="rbg"), 6)
    run = lambda keys, x: mcmc.run(keys, CHAINS[name](), x, frames=2, thin=2).x
    start = exact_draws()[:6]
    np.testing.assert_allclose(run(keys, start)[:, 2:4], run(keys[2:4], start[2:4]), rtol=1e-5)


def test_refusals(unchecked, monkeypatch):
    refuses(
        ("step_size must be positive", lambda: mcmc.mala(log_density, 0.0)),
        ("step_size must be positive", lambda: mcmc.hmc(log_density, -1.0, 3)),
        ("steps must be at least 1", lambda: mcmc.hmc(log_density, 0.1, 0)),
        ("inverse_mass must be positive", lambda: mcmc.hmc(log_density, 0.1, 1, inverse_mass=0.0)),
        ("one value per example", lambda: mcmc.mala(lambda x: x, 0.1).init(jnp.zeros((2, 1)))),
    )
    monkeypatch.setitem(sys.modules, "blackjax", None)
    refuses(('pip install "jaxgen\\[mcmc\\]"', lambda: mcmc.hmc(log_density, 0.1, 1)), error=ImportError)
