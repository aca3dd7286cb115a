import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracles import nightly

from jaxgen.nets import UNet
from jaxgen.nets.unet import ResidualBlock


def shape_of(net, x_shape):
    x, t = jax.ShapeDtypeStruct(x_shape, jnp.float32), jax.ShapeDtypeStruct(x_shape[:1], jnp.float32)
    out, _ = jax.eval_shape(net.init_with_output, jax.random.key(0), x, t)
    return out.shape


@nightly(
    ("net", "shape"),
    [(UNet(8, (1, 2, 3)), (2, *size, 3)) for size in [(4, 4), (7, 7), (31, 17)]]
    + [(UNet(8, (1, 2), blocks=2), (2, 9, 9, 3)), (UNet(10, (1, 3)), (2, 9, 9, 1)), (UNet(7, (3, 1)), (2, 9, 9, 1))]
    + [(UNet(8, [1, 2], attention_levels=[]), (2, 9, 9, 1))],
)
def test_any_size_width_and_number_of_levels(net, shape):
    assert shape_of(net, shape) == shape


def test_one_set_of_parameters_serves_all_sizes(random_params):
    net = UNet(8, (1, 2))
    params = random_params(net, jnp.zeros((1, 8, 8, 3)), jnp.zeros(1))
    assert jax.eval_shape(net.apply, params, jnp.zeros((1, 11, 6, 3)), jnp.zeros(1)).shape == (1, 11, 6, 3)


@nightly(
    ("levels", "expected"),
    [
        ((), set()),
        ((0,), {"down_0_0", "up_0_0", "up_0_1"}),
        ((1,), {"down_1_0", "up_1_0", "up_1_1"}),
        ((-1,), {"down_2_0", "middle_0", "up_2_0", "up_2_1"}),
        ((2,), {"down_2_0", "middle_0", "up_2_0", "up_2_1"}),
    ],
)
def test_attention_sits_at_the_chosen_levels(levels, expected):
    net = UNet(8, (1, 1, 1), attention_levels=levels)
    params = jax.eval_shape(net.init, jax.random.key(0), jnp.zeros((1, 8, 8, 3)), jnp.zeros(1))["params"]
    attending = {name.removesuffix("_attention") for name in params if name.endswith("_attention")}
    assert attending == expected


@pytest.mark.slow
def test_all_pixels_of_an_odd_image_reach_all_others(random_params):
    net = UNet(4, (1, 1))
    x, t = jnp.asarray(np.random.default_rng(0).standard_normal((1, 5, 5, 1)), jnp.float32), jnp.zeros(1)
    params = random_params(net, x, t)
    jacobian = jax.jit(jax.jacobian(lambda x: net.apply(params, x, t)))(x).reshape(25, 25)
    assert np.abs(jacobian).min() > 0


@pytest.mark.parametrize("channels", [8, pytest.param(4, marks=pytest.mark.slow)])
def test_residual_block_in_ordinary_convolutions(channels, random_params, initial):
    """The block written out with NumPy statistics and XLA's convolution only; at the start it is its shortcut."""
    x, embedding = jax.random.normal(jax.random.key(0), (2, 4, 4, 8)), jax.random.normal(jax.random.key(1), (2, 3))
    net = ResidualBlock(channels)
    params, apply = random_params(net, x, embedding), jax.jit(net.apply)
    p = params["params"]

    def norm_silu(h, name, scale=0.0, shift=0.0):
        grouped = h.reshape(2, 16, h.shape[-1] // 4, 4)
        grouped = (grouped - grouped.mean((1, 3), keepdims=True)) / jnp.sqrt(grouped.var((1, 3), keepdims=True) + 1e-5)
        h = (grouped.reshape(h.shape) * p[name]["scale"] + p[name]["bias"]) * (1 + scale) + shift
        return h / (1 + jnp.exp(-h))

    def conv(h, name):
        padded = jnp.pad(h, ((0, 0), (1, 1), (1, 1), (0, 0)))
        windows = [padded[:, i : i + 4, j : j + 4] @ p[name]["kernel"][i, j] for i in range(3) for j in range(3)]
        return sum(windows) + p[name]["bias"]

    scale, shift = jnp.split((embedding @ p["modulate"]["kernel"] + p["modulate"]["bias"])[:, None, None], 2, -1)
    shortcut = x @ p["shortcut"]["kernel"] + p["shortcut"]["bias"] if "shortcut" in p else x
    h = conv(norm_silu(x, "norm_1"), "conv_1")
    expected = shortcut + conv(norm_silu(h, "norm_2", scale, shift), "conv_2")
    np.testing.assert_allclose(apply(params, x, embedding), expected, atol=1e-4)
    p["conv_2"] = initial(net, "conv_2", x, embedding)
    np.testing.assert_allclose(apply(params, x, embedding), shortcut, atol=1e-6)


@pytest.mark.parametrize(
    ("net", "size", "message"),
    [
        *(
            (
                UNet(8, (1, 2), attention_levels=levels),
                (8, 8),
                r"attention_levels \[.*\] out of range: .* levels 0 to 1",
            )
            for levels in [(2,), (-3,), (0, 5)]
        ),
        (UNet(8, (1, 1, 1, 1)), (16, 7), "4 levels halve the image 3 times, .* side of at least 8, got 16×7"),
        (UNet(8, ()), (8, 8), "at least one level"),
        (UNet(8, (1,), patch=2), (7, 8), "blocks of 2×2 pixels do not fill an image of 7×8"),
        (UNet(8, (1,), patch=0), (8, 8), "blocks of 0×0"),
    ],
)
def test_refusals(net, size, message):
    with pytest.raises(ValueError, match=message):
        shape_of(net, (1, *size, 3))


@nightly("size", [(6, 10), (16, 48)])
def test_patches_are_channels_of_a_smaller_image(size, random_params):
    """The same network, unpatched, on blocks cut out by hand, and its output put together by hand."""
    x, t = jax.random.normal(jax.random.key(0), (2, *size, 1)), jnp.array([0.2, 0.8])
    patched, plain = UNet(8, (1,), patch=2, attention_levels=()), UNet(8, (1,), attention_levels=())
    blocks = np.stack([x[:, i::2, j::2, 0] for i in (0, 1) for j in (0, 1)], axis=-1)
    params = random_params(plain, blocks, t)
    inside = jax.jit(plain.apply)(params, blocks, t)
    expected = np.zeros(x.shape, np.float32)
    for channel, (i, j) in enumerate([(0, 0), (0, 1), (1, 0), (1, 1)]):
        expected[:, i::2, j::2, 0] = inside[..., channel]
    np.testing.assert_allclose(jax.jit(patched.apply)(params, x, t), expected, atol=1e-5)


def test_patches_keep_colours_together():
    assert shape_of(UNet(8, (1, 2), patch=2, out_channels=6), (2, 8, 12, 3)) == (2, 8, 12, 6)


REMAT = {remat: UNet(8, (1,), remat=remat) for remat in (False, True)}
X, TIMES = np.cos(np.arange(2 * 8 * 8 * 3, dtype=np.float32)).reshape(2, 8, 8, 3), np.float32([0.2, 0.9])


def square(net):
    return lambda params: (net.apply(params, X, TIMES) ** 2).sum()


@pytest.mark.slow
def test_remat_has_the_same_parameters_and_keeps_less():
    shapes, kept = {}, {}
    for remat, net in REMAT.items():
        shapes[remat] = jax.eval_shape(net.init, jax.random.key(0), X, TIMES)
        pull = jax.eval_shape(lambda params, net=net: jax.vjp(square(net), params)[1], shapes[remat])
        kept[remat] = sum(leaf.size for leaf in jax.tree.leaves(pull))
    assert shapes[True] == shapes[False]
    assert kept[True] < 0.7 * kept[False]


@pytest.mark.slow
def test_remat_gives_the_same_gradients():
    params = jax.jit(REMAT[False].init)(jax.random.key(0), X, TIMES)
    params = jax.tree.map(lambda leaf: leaf + 0.02 * jnp.cos(jnp.arange(leaf.size)).reshape(leaf.shape), params)
    gradients = [jax.jit(jax.grad(square(net)))(params) for net in REMAT.values()]
    chex.assert_trees_all_close(*gradients, rtol=1e-4, atol=1e-6)
