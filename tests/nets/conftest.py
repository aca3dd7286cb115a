import jax
import numpy as np
import pytest


@pytest.fixture(scope="session")
def random_params():
    """Make parameters away from the zero output and zero residuals of initialisation, without compiling an `init`."""

    def make(net, *inputs):
        rng = np.random.default_rng(0)

        def draw(path, leaf):
            return (0.2 * rng.standard_normal(leaf.shape) + (path[-1].key == "scale")).astype(np.float32)

        return jax.tree_util.tree_map_with_path(draw, jax.eval_shape(net.init, jax.random.key(0), *inputs))

    return make


@pytest.fixture(scope="session")
def initial():
    """The parameters of one layer at initialisation: the compiler drops the rest of the network."""

    def layer(net, name, *inputs):
        return jax.jit(lambda key: net.init(key, *inputs)["params"][name])(jax.random.key(0, impl="rbg"))

    return layer


@pytest.fixture(scope="session")
def check_parameters_matter():
    """Every single parameter array changes the output of a compiled network."""

    def check(apply, params):
        output = lambda leaves: np.concatenate(
            [np.ravel(leaf) for leaf in jax.tree.leaves(apply(jax.tree.unflatten(structure, leaves)))]
        )
        leaves, structure = jax.tree.flatten(params)
        whole = output(leaves)
        assert np.isfinite(whole).all()
        for i, (path, leaf) in enumerate(jax.tree_util.tree_leaves_with_path(params)):
            moved = leaf + 0.3 * np.cos(np.arange(leaf.size, dtype=np.float32)).reshape(leaf.shape)
            assert np.abs(output([*leaves[:i], moved, *leaves[i + 1 :]]) - whole).max() > 1e-5, path

    return check


@pytest.fixture(scope="session")
def check_gradients():
    """Every parameter array has a gradient, finite and not zero."""

    def check(loss, params):
        gradients = jax.jit(jax.grad(loss))(params)
        for path, grad in jax.tree_util.tree_leaves_with_path(gradients):
            assert np.isfinite(grad).all(), path
            assert np.abs(grad).max() > 0, path
        return gradients

    return check
