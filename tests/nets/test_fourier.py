"""Fourier features against their definition, and in the networks that append them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.nets import DenoisingMLPCritic, DenoisingMLPGenerator, MLPCritic, MLPGenerator, fourier_features


def test_frequencies_double():
    x = np.array([[0.3, -1.2], [2.0, 0.5]], np.float32)
    found = fourier_features(jnp.asarray(x), 3, lowest=0.7)
    angles = [x[:, [d]] * 0.7 * 2**k for d in range(2) for k in range(3)]
    expected = np.concatenate([x, *map(np.sin, angles), *map(np.cos, angles)], axis=1)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    assert fourier_features(jnp.asarray(x), 0).shape == (2, 2)
    with pytest.raises(ValueError, match="frequencies must be finite and not negative, got -1"):
        fourier_features(jnp.asarray(x), -1)


@pytest.mark.parametrize(
    ("net", "inputs", "numbers"),
    [
        (MLPGenerator((2,), (8,), 4), ("z",), 3),
        (MLPCritic((8,), frequencies=4), ("x",), 2),
        (DenoisingMLPGenerator((8,), 4), ("x", "t", "z"), 2),
        (DenoisingMLPCritic((8,), frequencies=4), ("x", "x", "t"), 4),
    ],
    ids=["generator", "critic", "denoising generator", "denoising critic"],
)
def test_networks_of_the_plane_append_them(net, inputs, numbers):
    """The 8 units of the first layer have 2·4 more weights for each number of the example, or of a plain latent."""
    example = {"x": jnp.zeros((1, 2)), "t": jnp.zeros(1), "z": jnp.zeros((1, 3))}

    def weights(of):
        params = jax.eval_shape(of.init, jax.random.key(0), *map(example.get, inputs))
        return sum(leaf.size for leaf in jax.tree.leaves(params))

    assert weights(net) - weights(net.clone(frequencies=0)) == 8 * 8 * numbers
