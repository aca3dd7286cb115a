"""Claim C0.4 of S0: three ways in which plain score matching and Langevin dynamics fail.

The third, that Langevin dynamics gets the weights of separated modes wrong, is C1.11's, in tests/samplers.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracles import nightly

from jaxgen.data import ring
from jaxgen.distributions import GaussianMixture
from jaxgen.score_matching import explicit, implicit


def normal_pull(tau):
    """The score of a band of width τ about the unit circle: (1 − r)/τ² outwards."""

    def score(x):
        r = jnp.linalg.norm(x, axis=-1, keepdims=True)
        return (1 - r) / tau**2 * x / r

    return score


@nightly("noise", [0.0, 0.1])
def test_c0_4_on_a_manifold_score_matching_has_no_minimum(noise):
    """On the circle itself J(τ) = −1/τ² falls without bound; noise σ gives it a minimum, at τ = σ."""
    with jax.enable_x64(True):
        x = ring(jax.random.key(0), 4000).astype(jnp.float64)
        x = x * (1 + noise * jax.random.normal(jax.random.key(1), (4000, 1), jnp.float64))
        taus = np.array([0.4, 0.2, 0.1, 0.05, 0.025])
        found = np.array([float(implicit(normal_pull(tau), x).mean()) for tau in taus])
    if noise == 0:
        np.testing.assert_allclose(found, -1 / taus**2, rtol=1e-6)
    else:
        # ½σ²/τ⁴ − (1 + E[(r − 1)/r])/τ², whose minimum is at τ = σ up to O(σ²)
        assert np.argmin(found) == 2
        np.testing.assert_allclose(found[2], -0.5 / noise**2, rtol=0.1)


def two_modes(weight, distance):
    means = jnp.array([[-distance / 2], [distance / 2]])
    return GaussianMixture(jnp.array([1 - weight, weight]), means, jnp.ones((2, 1, 1)))


def fisher_divergence(p, q, n=400_001):
    """½E_p‖∇log p − ∇log q‖² on the line, by quadrature."""
    x = jnp.linspace(-60, 60, n)[:, None]
    error = np.asarray(explicit(q.score, p.score, x))
    return float(np.sum(np.exp(np.asarray(p.log_density(x))) * error) * 120 / (n - 1))


@pytest.mark.slow
def test_c0_4_where_data_are_rare_a_wrong_score_costs_nothing():
    """The scores of .2/.8 and .5/.5 differ only between the modes: the objective's price vanishes with distance.

    Under noise as wide as the distance it is back, which is why NCSN adds it.
    """
    with jax.enable_x64(True):
        price = {d: fisher_divergence(two_modes(0.8, d), two_modes(0.5, d)) for d in (2.0, 6.0, 10.0)}
        # the density between the modes falls as e^{−d²/8}: by e⁸ from 6 to 10
        assert price[2.0] > 10 * price[6.0] > 10 * 1000 * price[10.0]
        # and yet between the modes the error is of the score's own size
        x = jnp.zeros((1, 1))
        right, wrong = two_modes(0.8, 10.0), two_modes(0.5, 10.0)
        assert float(jnp.abs(wrong.score(x) - right.score(x))[0, 0]) > 2
        noised = fisher_divergence(right.perturbed(1.0, 10.0), wrong.perturbed(1.0, 10.0))
        assert noised * 10.0**2 > 0.01  # in units of the score's size, 1/σ
        assert noised > 5 * price[10.0]
