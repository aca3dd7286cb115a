import chex
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.nets.resampling import TransposedConv, UpConv, average_pool, image_size, upsample_nearest


def test_average_pool_means_blocks():
    x = jax.random.normal(jax.random.key(0), (2, 4, 6, 3))
    np.testing.assert_allclose(average_pool(x), nn.avg_pool(x, (2, 2), (2, 2)), rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(average_pool(x[:, :3, :3], 3)[:, 0, 0], x[:, :3, :3].mean((1, 2)), rtol=1e-5, atol=1e-6)


def test_average_pool_extends_odd_sides_by_the_edge():
    x = jnp.arange(15.0).reshape(1, 3, 5, 1)
    expected = [[(0 + 1 + 5 + 6) / 4, (2 + 3 + 7 + 8) / 4, (4 + 9) / 2], [10.5, 12.5, 14.0]]
    np.testing.assert_allclose(average_pool(x)[0, :, :, 0], expected)


def test_upsample_nearest_repeats():
    x = jax.random.normal(jax.random.key(0), (2, 3, 5, 4))
    np.testing.assert_array_equal(upsample_nearest(x, 3), np.repeat(np.repeat(x, 3, axis=1), 3, axis=2))
    np.testing.assert_allclose(average_pool(upsample_nearest(x)), x, rtol=1e-6)


@pytest.mark.first_by_day
@pytest.mark.parametrize("factor", [(3, 1), (4, 5)])
def test_transposed_conv_is_the_transposed_convolution(factor):
    x = jax.random.normal(jax.random.key(0), (2, 3, 2, 4))
    net = TransposedConv(6, factor)
    params = net.init(jax.random.key(1), x)
    params["params"]["bias"] = jnp.arange(6.0)
    kernel = params["params"]["blocks"]["kernel"].transpose(1, 2, 0, 3)
    # lax.conv_transpose correlates the dilated image with the kernel, which turns each pixel's block around.
    expected = jax.lax.conv_transpose(x, kernel[::-1, ::-1], factor, "VALID")
    np.testing.assert_allclose(net.apply(params, x), expected + jnp.arange(6.0), atol=1e-5)


def test_image_size():
    assert image_size(jnp.zeros((2, 5, 7, 3))) == (5, 7)
    for shape in [(16, 16, 3), (2, 16), (1, 2, 16, 16, 3)]:
        with pytest.raises(ValueError, match=r"batch of images \(batch, height, width, channels\), got shape"):
            image_size(jnp.zeros(shape))
    with pytest.raises(ValueError, match="floating-point images, got uint8"):
        image_size(jnp.zeros((1, 4, 4, 3), jnp.uint8))


def test_up_conv_is_flaxs_transposed_convolution(random_params):
    x = jax.random.normal(jax.random.key(0), (2, 5, 7, 3))
    peer = nn.ConvTranspose(4, (4, 4), (2, 2))
    params = random_params(peer, x)
    kernel, bias = params["params"]["kernel"], params["params"]["bias"]
    phases = np.zeros((2, 2, 3, 2, 2, 4), np.float32)
    for r, s, a, b in np.ndindex(2, 2, 2, 2):
        phases[r, s, :, a, b] = kernel[2 * r + a, 2 * s + b]
    own = {"params": {"bias": bias, "phases": {"kernel": phases.reshape(2, 2, 3, 16)}}}
    np.testing.assert_allclose(UpConv(4).apply(own, x), peer.apply(params, x), rtol=1e-5, atol=1e-5)
    chex.assert_trees_all_equal_shapes(own, jax.eval_shape(UpConv(4).init, jax.random.key(0), x))


def test_up_conv_keeps_the_variance_of_its_input():
    """Every output sees 2×2 inputs: a network of such layers neither fades nor explodes at its start."""
    x = jnp.asarray(np.random.default_rng(0).standard_normal((2, 12, 12, 64)), jnp.float32)
    y = jax.jit(lambda key: UpConv(64).init_with_output(key, x)[0])(jax.random.key(0, impl="rbg"))
    np.testing.assert_allclose(np.std(y[:, 1:-1, 1:-1]), 1, rtol=0.05)
