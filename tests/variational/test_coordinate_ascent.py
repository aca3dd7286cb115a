"""The driver of coordinate ascent, on a quadratic whose sweeps are known."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.variational import coordinate_ascent

PRECISION = np.array([[2.0, 0.9], [0.9, 1.0]])


def elbo(z):
    return -0.5 * z @ jnp.asarray(PRECISION, z.dtype) @ z


def update(i):
    def best(z):
        j = 1 - i
        return z.at[i].set(-PRECISION[i, j] * z[j] / PRECISION[i, i])

    return best


UPDATES = [update(0), update(1)]


def test_updates_are_made_in_turn_and_the_bound_kept_after_each():
    """Gauss–Seidel on Λz = 0 from (1, 1), by hand."""
    with jax.enable_x64(True):
        found = coordinate_ascent(UPDATES, elbo, jnp.ones(2), 2)
        a, b = -0.45, 0.405  # −.9/2, then .9²/2
        states = [(a, 1.0), (a, b), (a * b, b), (a * b, b * b)]
        wanted = [-0.5 * np.array(z) @ PRECISION @ np.array(z) for z in states]
        np.testing.assert_allclose(found.elbos, np.reshape(wanted, (2, 2)), rtol=1e-12)
        np.testing.assert_allclose(found.start, -2.4, rtol=1e-12)
        np.testing.assert_allclose(found.factors, states[-1], rtol=1e-12)


def test_starts_are_vmapped_and_float32_stays():
    starts = jnp.array([[1.0, 1.0], [0.0, 3.0]])
    together = jax.jit(jax.vmap(lambda z: coordinate_ascent(UPDATES, elbo, z, 2)))(starts)
    alone = coordinate_ascent(UPDATES, elbo, starts[1], 2)
    chex.assert_trees_all_close(jax.tree.map(lambda leaf: leaf[1], together), alone, rtol=1e-6)
    assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(together))


def test_refusals():
    for updates, sweeps, name in (([], 3, "updates"), (UPDATES, 0, "sweeps")):
        with pytest.raises(ValueError, match=f"{name} must be at least 1, got 0"):
            coordinate_ascent(updates, elbo, jnp.ones(2), sweeps)
