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
