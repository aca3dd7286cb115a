import re
from collections import Counter

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from jaxgen.nets import (
    ContextUNet,
    Conv,
    ConvClassifier,
    ConvDecoder,
    ConvEncoder,
    DCGANCritic,
    DCGANGenerator,
    DenoisingCritic,
    DenoisingGenerator,
    ResidualCritic,
    ResidualGenerator,
    SpatialDecoder,
    SpatialEncoder,
    UNet,
)
from jaxgen.nets.convolution import convolve

# kernel, strides, padding, dilations of input and kernel, sides of the input
SETTINGS = [
    ((3, 3), 2, "SAME", 1, 1, (7, 8)),
    ((4, 3), (2, 1), "SAME", 1, 1, (8, 5)),
    ((1, 1), 2, "SAME", 1, 1, (5, 6)),
    ((5, 5), 1, "VALID", 1, 1, (9, 6)),
    ((2, 2), 3, "VALID", 1, 1, (9, 8)),
    ((3, 3), 1, (1, (0, 2)), 1, 2, (7, 6)),
    ((4, 4), 1, ((2, 2), (3, 1)), 2, 1, (3, 4)),
    ((3, 2), 2, ((2, 0), (1, 3)), (3, 2), (1, 2), (4, 4)),
    ((1, 1), 2, ((-1, -1), (0, -2)), 1, 1, (9, 8)),
    ((2, 2), 1, ((-1, 1), (0, -3)), 2, 1, (4, 5)),
    ((3,), 1, "SAME", 1, 1, (8,)),
    ((5,), 2, "VALID", 1, 1, (11,)),
    ((4,), 2, (1,), 1, 1, (10,)),
]
settings = pytest.mark.parametrize("setting", SETTINGS, ids=str)
CANONICAL = {"[b, 0, 1, f]x[0, 1, i, o]->[b, 0, 1, f]", "[b, 0, f]x[0, i, o]->[b, 0, f]"}


def normal(*shape, seed=0):
    return jnp.asarray(np.random.default_rng(seed).standard_normal(shape), jnp.float32)


def operands(setting, *, examples=2):
    kernel, *_, sides = setting
    return normal(examples, *sides, 3), normal(*kernel, 3, 4, seed=1)


def ours(setting):
    return lambda x, kernel: convolve(x, kernel, *setting[1:5])


def peers(setting):
    """Flax's convolution, whose derivatives are JAX's."""
    net = nn.Conv(4, *setting[:5], use_bias=False)
    return lambda x, kernel: net.apply({"params": {"kernel": kernel}}, x)


def derivatives(f):
    """Value, gradients, a directional derivative of f, and of its gradients, in forward and reverse mode."""

    def of(x, kernel):
        gradients = jax.grad(lambda x, kernel: jnp.sin(f(x, kernel)).sum(), (0, 1))
        direction = (jnp.cos(x), jnp.cos(kernel))
        along = jax.jvp(f, (x, kernel), direction)[1]
        hessian = jax.jvp(gradients, (x, kernel), direction)[1]
        reverse = jax.grad(lambda *at: sum((g**3).sum() for g in gradients(*at)), (0, 1))(x, kernel)
        return f(x, kernel), gradients(x, kernel), along, hessian, reverse

    return of


def check(got, expected, tolerance=1e-5):
    """Equality up to rounding, relative to the largest entry of each array."""
    chex.assert_trees_all_equal_shapes_and_dtypes(got, expected)
    for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(expected), strict=True):
        a, b = np.asarray(a, np.float32), np.asarray(b, np.float32)
        np.testing.assert_allclose(a, b, rtol=0, atol=tolerance * np.abs(b).max())


def orders_of_axes(text):
    """How often each order of axes occurs in the convolutions of a program."""
    return Counter(re.findall(r"stablehlo\.convolution\(.*dim_numbers = (\[[^\]]*\]x\[[^\]]*\]->\[[^\]]*\])", text))


@pytest.mark.first_by_day
@settings
def test_derivatives_are_jaxs(setting):
    at = operands(setting)
    check(jax.jit(derivatives(ours(setting)))(*at), jax.jit(derivatives(peers(setting)))(*at))


@pytest.mark.first_by_day
@pytest.mark.parametrize(
    ("settings", "sides"),
    [
        ({"kernel_size": (3, 3), "strides": 2, "dtype": jnp.bfloat16}, (5, 6)),
        ({"kernel_size": (3, 3)}, (6, 5)),
        ({"kernel_size": (4,), "padding": "VALID", "use_bias": False}, (9,)),
        ({"kernel_size": (4, 4), "kernel_init": nn.initializers.zeros, "bias_init": nn.initializers.ones}, (4, 4)),
    ],
    ids=["strides", "plain", "one_axis", "initialisers"],
)
def test_layer_is_flaxs(settings, sides):
    """The same parameters from the same key, and the same outputs and gradients."""
    x = normal(2, *sides, 3)
    results = []
    for kind in (Conv, nn.Conv):
        net = kind(4, **settings)
        square = lambda params, x, net=net: (net.apply(params, x).astype(jnp.float32) ** 2).sum()

        @jax.jit
        def everything(key, net=net, square=square):
            y, params = net.init_with_output(key, x)
            return params, y, jax.grad(square, (0, 1))(params, x)

        results.append(everything(jax.random.key(0, impl="rbg")))
    chex.assert_trees_all_equal(results[0][0], results[1][0])
    check(*(result[1:] for result in results), 1e-5 if "dtype" not in settings else 2**-7)


@pytest.mark.first_by_day
@pytest.mark.parametrize("setting", [SETTINGS[i] for i in (0, 7, 11)], ids=str)
def test_mapped_over_each_operand_and_both(setting):
    x, kernel = normal(3, *operands(setting)[0].shape), normal(3, *operands(setting)[1].shape, seed=1)

    def mapped(f):
        gradients = jax.grad(lambda x, kernel: (f(x, kernel) ** 3).sum(), (0, 1))
        both = lambda x, kernel: (f(x, kernel), *gradients(x, kernel))
        return lambda x, kernel: (
            jax.vmap(both, (1, None))(x.swapaxes(0, 1), kernel[0]),
            jax.vmap(both, (None, -1), -1)(x[0], jnp.moveaxis(kernel, 0, -1)),
            jax.vmap(both)(x, kernel),
            jax.vmap(jax.grad(lambda kernel, x: (f(x[None], kernel) ** 3).sum()), (None, 0))(kernel[0], x[0]),
        )

    check(jax.jit(mapped(ours(setting)))(x, kernel), jax.jit(mapped(peers(setting)))(x, kernel))


def in_a_loop(f):
    """Three steps of gradient descent on both operands, recomputing the output in the backward pass."""
    gradients = jax.grad(jax.checkpoint(lambda at: (f(*at) ** 2).mean()))
    descend = lambda at, _: (jax.tree.map(lambda a, g: a - 0.1 * g, at, gradients(at)), None)
    return lambda x, kernel: jax.lax.scan(descend, (x, kernel), length=3)[0]


@pytest.mark.first_by_day
@pytest.mark.parametrize("setting", [SETTINGS[i] for i in (0, 7, 11)], ids=str)
def test_axes_are_in_xlas_order_in_a_loop_on_a_cpu(setting):
    at = operands(setting)
    got, expected = (jax.jit(in_a_loop(f(setting))).lower(*at) for f in (ours, peers))
    assert orders_of_axes(got.as_text()).keys() <= CANONICAL
    assert not orders_of_axes(expected.as_text()).keys() <= CANONICAL
    check(got.compile()(*at), expected.compile()(*at))


IMAGES, TIMES = jax.ShapeDtypeStruct((2, 8, 8, 3), jnp.float32), jax.ShapeDtypeStruct((2,), jnp.float32)
LATENTS = jax.ShapeDtypeStruct((2, 2), jnp.float32)
NETWORKS = {
    "unet": (UNet(8, (1, 1), attention_levels=()), (IMAGES, TIMES), 10),
    "context": (ContextUNet(8), (IMAGES, TIMES), 10),
    "classifier": (ConvClassifier(3), (IMAGES,), 3),
    "encoder": (ConvEncoder(2), (IMAGES,), 1),
    "decoder": (ConvDecoder((8, 8, 1)), (LATENTS,), 1),
    "spatial encoder": (SpatialEncoder(4, 1, 8, 1), (IMAGES,), 3),
    "generator": (DCGANGenerator((8, 8, 1), 4), (LATENTS,), 1),
    "critic": (DCGANCritic(4), (IMAGES,), 1),
    "residual generator": (ResidualGenerator((8, 8, 1), 4), (LATENTS,), 3),
    "residual critic": (ResidualCritic(4), (IMAGES,), 3),
    "denoising generator": (DenoisingGenerator(8, (1, 1)), (IMAGES, TIMES, LATENTS), 10),
    "denoising critic": (DenoisingCritic(4, minibatch_group=2), (IMAGES, IMAGES, TIMES), 3),
    "spatial decoder": (SpatialDecoder(1, 1, 8, 1), (IMAGES,), 3),
}


@pytest.mark.first_by_day
@pytest.mark.parametrize("name", NETWORKS)
def test_gradients_of_every_network_are_in_xlas_order(name):
    net, inputs, at_least = NETWORKS[name]
    params = jax.eval_shape(net.init, jax.random.key(0), *inputs)
    square = lambda params, *inputs: sum((leaf**2).sum() for leaf in jax.tree.leaves(net.apply(params, *inputs)))
    orders = orders_of_axes(jax.jit(jax.grad(square)).lower(params, *inputs).as_text())
    assert orders.keys() <= CANONICAL
    assert orders.total() >= 2 * at_least


@pytest.mark.parametrize("platform", ["cuda", pytest.param("tpu", marks=pytest.mark.slow)])
def test_gradients_are_jaxs_own_on_other_platforms(platform):
    """The same convolutions, of any number of examples; a program for several platforms holds both kinds."""
    (size,) = jax.export.symbolic_shape("n")
    setting = SETTINGS[0]
    x, kernel = operands(setting)
    at = jax.ShapeDtypeStruct((size, *x.shape[1:]), x.dtype), kernel

    def exported(f, *platforms):
        gradients = jax.jit(jax.grad(lambda x, kernel: (f(setting)(x, kernel) ** 2).sum(), (0, 1)))
        return orders_of_axes(jax.export.export(gradients, platforms=platforms)(*at).mlir_module())

    own = exported(ours, platform)
    assert own == exported(peers, platform)
    assert own.total() == 3
    assert exported(ours, "cpu") == {next(iter(own)): 3}
    assert exported(ours, "cpu", platform).keys() == own.keys()


def test_precision_is_that_of_the_place_where_it_is_called():
    x, kernel = operands(SETTINGS[0])

    def loss(x, kernel):
        with jax.default_matmul_precision("highest"):
            y = convolve(x, kernel)
        return (y**2).sum()

    text = jax.jit(jax.grad(loss, (0, 1))).lower(x, kernel).as_text()
    assert orders_of_axes(text).total() == 3
    assert len(re.findall(r"stablehlo\.convolution.*HIGHEST", text)) == 3


def gradients(x, kernel):
    return jax.grad(lambda x, kernel: (convolve(x, kernel, 2) ** 3).sum(), (0, 1))(x, kernel)


def by_auto_mesh(x, kernel):
    sharding = NamedSharding(Mesh(np.array(jax.devices()), ("data",)), PartitionSpec("data"))
    got = jax.jit(gradients)(jax.device_put(x, sharding), kernel)
    assert got[0].sharding.is_equivalent_to(sharding, x.ndim)
    return got


def by_explicit_mesh(x, kernel):
    mesh = jax.make_mesh((8,), ("data",), axis_types=(AxisType.Explicit,))
    with jax.set_mesh(mesh):
        return jax.jit(gradients)(jax.device_put(x, PartitionSpec("data")), jax.device_put(kernel, PartitionSpec()))


def by_shard_map(x, kernel):
    mesh = jax.make_mesh((8,), ("data",), axis_types=(AxisType.Auto,))
    data, whole = PartitionSpec("data"), PartitionSpec()
    return jax.jit(jax.shard_map(gradients, mesh=mesh, in_specs=(data, whole), out_specs=(data, whole)))(x, kernel)


def by_pmap(x, kernel):
    def mapped(x, kernel):
        dx, dk = gradients(x, kernel)
        return dx, jax.lax.psum(dk, "data")

    dx, dk = jax.pmap(mapped, "data", in_axes=(0, None))(x[:, None], kernel)
    return dx[:, 0], dk[0]


@pytest.mark.parametrize(
    "devices",
    [by_auto_mesh, *(pytest.param(way, marks=pytest.mark.slow) for way in (by_explicit_mesh, by_shard_map, by_pmap))],
)
def test_devices_share_the_examples(devices):
    x, kernel = operands(SETTINGS[0], examples=8)
    expected = jax.jit(jax.grad(lambda x, kernel: (peers(SETTINGS[0])(x, kernel) ** 3).sum(), (0, 1)))(x, kernel)
    check(jax.tree.map(np.asarray, devices(x, kernel)), jax.tree.map(np.asarray, expected))


@pytest.mark.parametrize(
    ("x", "kernel", "settings", "message"),
    [
        ((2, 5, 5, 3), (3, 3, 4, 2), {}, r"kernel .* of one type, .* got float32\(2, 5, 5, 3\)"),
        ((2, 5, 3), (3, 3, 3, 2), {}, "one or two spatial axes"),
        ((2, 5, 5, 5, 3), (3, 3, 3, 3, 2), {}, "one or two spatial axes"),
        (
            (2, 5, 5, 3),
            (3, 3, 3, 2),
            {"strides": (1,)},
            r"strides=\(1,\): expected one number, or one entry for each of 2",
        ),
        ((2, 5, 5, 3), (3, 3, 3, 2), {"padding": "same"}, "padding='same' .* use 'VALID', numbers"),
        ((2, 5, 5, 3), (3, 3, 3, 2), {"input_dilation": 2}, r"padding='SAME' with input_dilation=\(2, 2\)"),
        (
            (2, 5, 2, 3),
            (3, 3, 3, 2),
            {"padding": "VALID"},
            r"kernel of \(3, 3\) does not fit into an input of \(5, 2\)",
        ),
    ],
)
def test_refusals(x, kernel, settings, message, unchecked):
    with pytest.raises(ValueError, match=message):
        convolve(jnp.zeros(x), jnp.zeros(kernel), **settings)


def test_refuses_operands_of_two_types(unchecked):
    with pytest.raises(ValueError, match=r"of one type, .* got bfloat16.* float32"):
        convolve(jnp.zeros((1, 3, 3, 1), jnp.bfloat16), jnp.zeros((3, 3, 1, 1)))
