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


class VariantsTest(chex.TestCase):
    @chex.variants(with_jit=True, without_jit=True, with_device=True, with_pmap=True)
    def test_same_numbers(self):
        ascend = lambda z: coordinate_ascent(UPDATES, elbo, z, 3)
        start = jnp.array([1.0, -2.0])
        found = self.variant(ascend)(start)
        assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(found))
        chex.assert_trees_all_close(found, ascend(start), rtol=1e-6)


def test_starts_are_vmapped():
    starts = jnp.array([[1.0, 1.0], [0.0, 3.0]])
    together = jax.vmap(lambda z: coordinate_ascent(UPDATES, elbo, z, 2))(starts)
    for i in range(2):
        alone = coordinate_ascent(UPDATES, elbo, starts[i], 2)
        chex.assert_trees_all_close(jax.tree.map(lambda leaf, i=i: leaf[i], together), alone, rtol=1e-6)


@pytest.mark.parametrize(("updates", "sweeps"), [([], 3), (UPDATES, 0)])
def test_refusals(updates, sweeps):
    with pytest.raises(ValueError, match="at least one update and one sweep"):
        coordinate_ascent(updates, elbo, jnp.ones(2), sweeps)
