"""One interface for all distributions: draws of a shape, densities of a batch, through transformations."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.distributions import (
    Distribution,
    Gaussian,
    diagonal_mixture,
    song_ermon_mixture,
    standard_normal,
    vamp_prior,
)

COMPONENTS = Gaussian(jnp.array([[0.0, 1.0], [2.0, -1.0]]), jnp.array(0.5))
ALL = {
    "gaussian": Gaussian(jnp.array([0.5, -1.0]), jnp.array(2.0)),
    "standard normal": standard_normal(),
    "mixture": song_ermon_mixture(),
    "diagonal mixture": diagonal_mixture(COMPONENTS),
    "vamp prior": vamp_prior(lambda u: Gaussian(u, jnp.array(0.5)), COMPONENTS.mean),
}


@pytest.mark.parametrize("name", ALL)
def test_every_distribution_draws_a_shape_and_has_a_normalised_density(name):
    """E_p[u(x)/p(x)] = 1 of a uniform density u inside the support: draws and density are of one distribution."""
    distribution, n = ALL[name], 20_000
    assert isinstance(distribution, Distribution)
    x = distribution.sample(jax.random.key(0), (n, 2))
    assert x.shape == (n, 2)
    log_p = jax.jit(lambda distribution, x: distribution.log_density(x))(distribution, x)
    assert log_p.shape == (n,)
    np.testing.assert_allclose(log_p[:5], distribution.log_density(x[:5]), rtol=1e-5)
    centre = np.array([5.0, 5.0]) if name == "mixture" else np.array([0.0, 0.5])
    inside = np.all(np.abs(np.asarray(x) - centre) < 0.5, -1)
    weights = np.where(inside, np.exp(-np.float64(log_p)), 0)
    assert abs(weights.mean() - 1) < 4 * weights.std() / np.sqrt(n)
    assert weights.std() / np.sqrt(n) < 0.1


def test_a_mixture_takes_a_number_or_a_shape():
    mixture, key = song_ermon_mixture(), jax.random.key(0)
    np.testing.assert_array_equal(mixture.sample(key, 7), mixture.sample(key, (7, 2)))
    for shape in ((7, 3), (7,)):
        with pytest.raises(ValueError, match=r"draws samples of shape \(n, 2\)"):
            mixture.sample(key, shape)
