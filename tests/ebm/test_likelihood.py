"""Normalising constants in the plane by quadrature and by annealed importance sampling, and divergences."""

import jax
import jax.numpy as jnp
import numpy as np
from refusals import refuses

from jaxgen import ebm, mcmc
from jaxgen.distributions import Gaussian, GaussianMixture

MIXTURE = GaussianMixture(
    np.array([0.3, 0.7]),
    np.array([[-1.0, 0.5], [1.0, -0.3]]),
    np.array([[[0.3, 0.1], [0.1, 0.2]], [[0.2, 0.0], [0.0, 0.4]]]),
)
KEYS = jax.random.split(jax.random.key(0), 4096)


def energy(x):
    """The mixture's energy, with log Z = 2.5."""
    return -MIXTURE.log_density(x) - 2.5


def test_quadrature_normalises_and_says_where_it_cannot():
    density = ebm.plane_density(energy, -6.0, 6.0, cells=120)
    np.testing.assert_allclose(density.log_normalizer, 2.5, atol=1e-4)
    np.testing.assert_allclose(density.log_density, MIXTURE.log_density(density.points), atol=1e-3)
    assert density.points.shape == (120, 120, 2)
    assert density.edge_mass < 1e-6
    np.testing.assert_allclose(density.points[0, 1] - density.points[0, 0], [0.1, 0.0], atol=1e-5)
    # e^{x²} has no integral: the mass lies at the edge
    assert ebm.plane_density(lambda x: -jnp.sum(x**2, -1), -6.0, 6.0, cells=60).edge_mass > 0.8


def test_the_divergence_of_gaussians():
    p, scale = Gaussian(jnp.array([0.2, 0.0]), jnp.array([0.5, 0.7])), 1.5
    density = ebm.plane_density(lambda x: jnp.sum(x**2, -1) / (2 * scale**2), -9.0, 9.0, cells=180)
    ratio = np.array([0.5, 0.7]) ** 2 / scale**2
    exact = 0.5 * np.sum(ratio + np.array([0.2, 0.0]) ** 2 / scale**2 - 1 - np.log(ratio))
    np.testing.assert_allclose(density.kl_from(p.log_density), exact, rtol=1e-3)
    np.testing.assert_allclose(ebm.plane_density(energy, -6.0, 6.0).kl_from(MIXTURE.log_density), 0, atol=1e-4)


def test_annealed_importance_sampling_agrees_with_quadrature():
    reference = Gaussian(jnp.zeros(2), 1.5 * jnp.ones(2))
    found = jax.jit(
        lambda keys: ebm.estimate_log_normalizer(
            keys, energy, reference, (2,), transition=lambda p, beta: mcmc.mala(p, 0.3), betas=np.linspace(0, 1, 21)
        )
    )(KEYS)
    assert abs(found.value - 2.5) < 4 * found.error < 0.2
    x = MIXTURE.sample(jax.random.key(1), 100)
    likelihood = ebm.log_likelihood(energy, x, found)
    np.testing.assert_allclose(likelihood.values, MIXTURE.log_density(x) + 2.5 - found.value, atol=1e-4)
    assert likelihood.error == found.error


def test_refusals(unchecked):
    refuses(
        ("need low < high", lambda: ebm.plane_density(energy, 1.0, 1.0)),
        ("cells must be at least 2", lambda: ebm.plane_density(energy, -1.0, 1.0, cells=1)),
        ("rows must be at least 1", lambda: ebm.plane_density(energy, -1.0, 1.0, rows=0)),
        ("one value per example", lambda: ebm.plane_density(lambda x: x, -1.0, 1.0)),
    )
