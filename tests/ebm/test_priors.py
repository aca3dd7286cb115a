"""Noise-contrastive estimation, and priors that an energy tilts, on Gaussians."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from refusals import refuses

from jaxgen import ebm, mcmc
from jaxgen.distributions import Distribution, Gaussian, standard_normal

N, V = 6_000, 0.25  # q = N(0, V), p = N(0, 1)


def log_ratio(z):
    """log q/p."""
    return -0.5 * jnp.sum(z**2 * (1 / V - 1) + np.log(V), axis=-1)


def test_the_best_logit_is_the_log_ratio():
    """At a + b z² the mean loss, by quadrature, has its minimum at a = −½ log V, b = ½(1 − 1/V)."""
    z = jnp.linspace(-8, 8, 1001)[:, None]
    dz = 16 / 1000
    of = lambda v: jnp.exp(-0.5 * z[:, 0] ** 2 / v) / np.sqrt(2 * np.pi * v)

    def mean_loss(ab):
        logit = lambda z: ab[0] + ab[1] * z[:, 0] ** 2
        # softplus of both parts at each point, and then under the two densities
        _, metrics = ebm.noise_contrastive_losses(logit, z, z)
        losses = jax.nn.softplus(-metrics["data_logit"]) * of(V) + jax.nn.softplus(metrics["noise_logit"]) * of(1.0)
        return jnp.sum(losses) * dz

    best = jnp.array([-0.5 * np.log(V), 0.5 * (1 - 1 / V)])
    np.testing.assert_allclose(jax.grad(mean_loss)(best), 0, atol=1e-5)
    assert mean_loss(1.2 * best) > mean_loss(best)
    x, noise = jnp.array([[0.3], [1.0]]), jnp.array([[2.0], [0.1]])
    losses, metrics = ebm.noise_contrastive_losses(log_ratio, x, noise)
    d = lambda z: 1 / (1 + np.exp(-np.asarray(log_ratio(z))))
    np.testing.assert_allclose(losses, -np.log(d(x)) - np.log(1 - d(noise)), rtol=1e-5)
    np.testing.assert_allclose(metrics["data_logit"], log_ratio(x))


def test_both_ways_of_sampling_draw_q():
    base, energy = standard_normal(), lambda z: -log_ratio(z)
    resampled = ebm.resampled_prior(energy, base, 64)
    langevin = ebm.langevin_prior(energy, base, lambda e: mcmc.mala(lambda z: -e(z), 0.3), 30)
    for prior, extra in ((resampled, 0.02), (langevin, 0.0)):
        assert isinstance(prior, Distribution)
        z = prior.sample(jax.random.key(0), (N, 2))
        np.testing.assert_allclose(np.var(z), V, rtol=5 / np.sqrt(N) + extra)
        np.testing.assert_allclose(
            prior.log_density(z), Gaussian(jnp.zeros(2), jnp.full(2, 0.5)).log_density(z), rtol=1e-4, atol=1e-4
        )
    # of one proposal it is the base
    np.testing.assert_allclose(
        np.var(ebm.resampled_prior(energy, base, 1).sample(jax.random.key(0), (N, 2))), 1, rtol=5 / np.sqrt(N)
    )


def test_a_tilted_energy_and_its_constant():
    base = Gaussian(jnp.zeros(2), 2 * jnp.ones(2))
    energy = ebm.tilted(lambda z: jnp.sum(z**2, -1), base)
    z = jax.random.normal(jax.random.key(0), (5, 2))
    np.testing.assert_allclose(energy(z), jnp.sum(z**2, -1) + jnp.sum(z**2, -1) / 8 + np.log(8 * np.pi), rtol=1e-5)
    prior = ebm.langevin_prior(lambda z: jnp.sum(z**2, -1), base, ebm.langevin_chain(0.1), 2, log_normalizer=-1.5)
    np.testing.assert_allclose(prior.log_density(z), -energy(z) + 1.5, rtol=1e-5)


def test_refusals(unchecked):
    x, flat = jnp.zeros((2, 1)), lambda z: z[:, 0]
    make = partial(ebm.langevin_prior, flat, standard_normal(), ebm.langevin_chain(0.1))
    refuses(
        ("steps must be at least 1", lambda: make(0)),
        ("proposals must be at least 1", lambda: ebm.resampled_prior(flat, standard_normal(), 0)),
        ("one shape", lambda: ebm.noise_contrastive_losses(flat, x, x[:1])),
        ("one value per example", lambda: ebm.noise_contrastive_losses(lambda z: z, x, x)),
    )
