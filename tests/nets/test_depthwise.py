"""Depthwise convolutions beside XLA's grouped ones."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from jaxgen.nets.depthwise import DepthwiseConv, depthwise_conv


@pytest.mark.parametrize(
    ("sides", "width", "stride"), [((6, 7), 3, 1), ((7, 8), 3, 2), ((5, 9), 5, 2), ((7, 7), 3, 3), ((4, 4), 1, 2)]
)
def test_it_is_the_grouped_convolution(sides, width, stride):
    rng = np.random.default_rng(0)
    x = jnp.asarray(rng.normal(size=(2, *sides, 3)), jnp.float32)
    kernel = jnp.asarray(rng.normal(size=(width, width, 1, 3)), jnp.float32)
    expected = lax.conv_general_dilated(
        x, kernel, (stride, stride), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"), feature_group_count=3
    )
    np.testing.assert_allclose(depthwise_conv(x, kernel, stride), expected, rtol=1e-5, atol=1e-5)


def test_the_layer_has_the_parameters_of_the_grouped_layer():
    x = jnp.zeros((1, 6, 6, 4))
    grouped = nn.Conv(4, (3, 3), feature_group_count=4, use_bias=False)
    shapes = [jax.tree.map(jnp.shape, layer.init(jax.random.key(0), x)) for layer in (grouped, DepthwiseConv(3))]
    assert shapes[0] == shapes[1]
