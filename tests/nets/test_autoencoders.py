"""Encoders and decoders: shapes, ranges, what they compute, and what they refuse."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from oracles import nightly

from jaxgen.distributions import Gaussian, gaussian_kl
from jaxgen.nets import ConvDecoder, ConvEncoder, MLPDecoder, MLPEncoder, SpatialDecoder, SpatialEncoder
from jaxgen.nets.gaussian_head import bounded_exp

KEY = jax.random.key(0)
ENCODERS = {
    "conv": lambda **o: ConvEncoder(5, **o),
    "mlp": lambda **o: MLPEncoder(5, (12, 9), **o),
    "gated": lambda **o: MLPEncoder(5, (12, 9), "gated", **o),
    "spatial": lambda **o: SpatialEncoder(5, width=8, **o),
}
DECODERS = {
    "conv": lambda **o: ConvDecoder((16, 16, 2), **o),
    "mlp": lambda **o: MLPDecoder((16, 16, 2), (12, 9), **o),
    "gated": lambda **o: MLPDecoder((16, 16, 2), (12, 9), "gated", **o),
    "spatial": lambda **o: SpatialDecoder(2, width=8, **o),
}
RNG = np.random.default_rng(0)
X, Z, GRID = (jnp.asarray(RNG.normal(size=shape), jnp.float32) for shape in ((4, 16, 16, 2), (4, 5), (4, 4, 4, 5)))


def latent(name):
    return GRID if name == "spatial" else Z


def shapes(net, x):
    out, _ = jax.eval_shape(net.init_with_output, KEY, x)
    return out


@pytest.mark.parametrize("options", [{}, {"dtype": jnp.bfloat16}])
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_outputs_are_gaussians_or_arrays_in_float32(dtype, options):
    kinds = lambda net, x: jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype.name), shapes(net, x.astype(dtype)))
    for name, make in ENCODERS.items():
        expected = ((4, 4, 4, 5), "float32") if name == "spatial" else Gaussian(*[((4, 5), "float32")] * 2)
        assert kinds(make(**options), X) == expected
    event = ((4, 16, 16, 2), "float32")
    for name, make in DECODERS.items():
        assert kinds(make(**options), latent(name)) == event
        assert kinds(make(learned_scale=True, **options), latent(name)) == Gaussian(event, event)
    if not options:
        with jax.enable_x64(True):
            for name in ("conv", "mlp"):
                assert {leaf.dtype for leaf in shapes(ENCODERS[name](), X.astype(jnp.float64))} == {
                    jnp.dtype("float64")
                }


@pytest.mark.parametrize(
    ("size", "stages", "first"),
    [((64, 64), 4, (4, 4, 64)), ((32, 32), 3, (4, 4, 64)), ((28, 28), 2, (7, 7, 32)), ((16, 16), 2, (4, 4, 32)),
     ((8, 8), 1, (4, 4, 32)), ((16, 40), 2, (4, 10, 32)), ((128, 128), 4, (8, 8, 64))],
)  # fmt: skip
def test_the_convolutions_that_an_image_has_room_for(size, stages, first):
    x = jnp.zeros((1, *size, 1))
    params = jax.eval_shape(ConvEncoder().init, KEY, x)["params"]
    assert sorted(name for name in params if name.startswith("conv")) == [f"conv_{i}" for i in range(stages)]
    assert params["hidden"]["kernel"].shape == (np.prod(first), 256)
    out, params = jax.eval_shape(ConvDecoder((*size, 3)).init_with_output, KEY, jnp.zeros((1, 10)))
    assert out.shape == (1, *size, 3)
    assert params["params"]["grid"]["kernel"].shape == (256, np.prod(first))


def test_for_64_they_are_those_of_the_literature():
    """Kernels of Locatello et al. 2019 for dSprites, table 1 of Higgins et al. 2017: 32k4, 32k4, 64k2, 64k2, 256."""
    params = jax.eval_shape(ConvEncoder().init, KEY, jnp.zeros((1, 64, 64, 1)))["params"]
    kernels = [params[f"conv_{i}"]["kernel"].shape for i in range(4)]
    assert kernels == [(4, 4, 1, 32), (4, 4, 32, 32), (2, 2, 32, 64), (2, 2, 64, 64)]
    assert (
        params["posterior"]["mean"]["kernel"].shape == params["posterior"]["log_variance"]["kernel"].shape == (256, 10)
    )
    params = jax.eval_shape(ConvDecoder((64, 64, 1)).init, KEY, jnp.zeros((1, 10)))["params"]
    assert params["hidden"]["kernel"].shape == (10, 256)
    assert params["grid"]["kernel"].shape == (256, 1024)
    # 4×4 kernels 64→64, 64→32, 32→32, 32→1
    names = ["conv_3", "conv_2", "conv_1", "out"]
    assert [params[name]["phases"]["kernel"].shape for name in names] == [
        (2, 2, 64, 4 * 64), (2, 2, 64, 4 * 32), (2, 2, 32, 4 * 32), (2, 2, 32, 4 * 1)
    ]  # fmt: skip
    params = jax.eval_shape(MLPEncoder().init, KEY, jnp.zeros((1, 64, 64, 1)))["params"]["layers"]
    assert [params[f"dense_{i}"]["kernel"].shape for i in range(2)] == [(4096, 1200), (1200, 1200)]
    params = jax.eval_shape(MLPDecoder((64, 64, 1)).init, KEY, jnp.zeros((1, 10)))["params"]["layers"]
    assert [params[f"dense_{i}"]["kernel"].shape for i in range(3)] == [(10, 1200), (1200, 1200), (1200, 1200)]


def test_a_gated_layer_is_the_product_of_values_and_gates(random_params):
    net = MLPEncoder(3, (4,), "gated")
    x = jax.random.normal(KEY, (2, 5))
    params = random_params(net, x)
    layers, head = params["params"]["layers"], params["params"]["posterior"]
    dense = lambda layer, x: x @ layer["kernel"] + layer["bias"]
    hidden = dense(layers["dense_0"], x) / (1 + np.exp(-dense(layers["gate_0"], x)))
    found = net.apply(params, x)
    np.testing.assert_allclose(found.mean, dense(head["mean"], hidden), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found.std, np.exp(0.5 * dense(head["log_variance"], hidden)), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("layer", "function"), [("relu", lambda x: np.maximum(x, 0)), ("tanh", np.tanh)])
def test_plain_layers(layer, function, random_params):
    net = MLPDecoder((3, 2), (4,), layer)
    params = random_params(net, Z)
    dense = lambda layer, x: x @ layer["kernel"] + layer["bias"]
    hidden = function(dense(params["params"]["layers"]["dense_0"], Z))
    np.testing.assert_allclose(
        net.apply(params, Z), dense(params["params"]["out"], hidden).reshape(4, 3, 2), rtol=1e-4, atol=1e-5
    )


def test_a_std_stays_finite_and_finds_its_way_back(random_params):
    """At a log-variance far outside, the KL and its gradient are finite, and the gradient points home."""
    net, x = MLPEncoder(2, (4,)), Z
    params = random_params(net, x)

    @jax.jit
    @jax.value_and_grad
    def kl(shift):
        moved = jax.tree.map(lambda leaf: leaf, params)
        moved["params"]["posterior"]["log_variance"]["bias"] += shift
        return gaussian_kl(net.apply(moved, x), Gaussian(jnp.zeros(2), jnp.ones(2))).sum()

    for shift in (-1e4, -60.0, 60.0, 1e4):
        value, slope = kl(shift)
        assert np.isfinite(value)
        assert np.isfinite(slope)
        assert np.sign(slope) == np.sign(shift)


def test_scales_between_the_ends_are_plain_exponentials():
    logs = jnp.linspace(-6.9, 6.9, 21)
    np.testing.assert_allclose(bounded_exp(logs, -7.0, 7.0), np.exp(logs), rtol=1e-6)
    np.testing.assert_allclose(jax.vmap(jax.grad(lambda s: bounded_exp(s, -7.0, 7.0)))(logs), np.exp(logs), rtol=1e-6)
    np.testing.assert_allclose(bounded_exp(jnp.array([-90.0, 90.0]), -7.0, 7.0), np.exp([-7.0, 7.0]), rtol=1e-5)


CASES = {name: (net(), X) for name, net in ENCODERS.items()}
CASES |= {f"{name}_decoder": (net(learned_scale=True), latent(name)) for name, net in DECODERS.items()}


@pytest.mark.parametrize("name", CASES)
def test_every_parameter_matters_and_examples_do_not_mix(name, random_params, check_parameters_matter):
    net, x = CASES[name]
    params = random_params(net, x)
    apply = jax.jit(net.apply)
    check_parameters_matter(lambda params: apply(params, x), params)
    beside_others = apply(params, x.at[1:].multiply(-3.0))
    for whole, part in zip(jax.tree.leaves(apply(params, x)), jax.tree.leaves(beside_others), strict=True):
        np.testing.assert_allclose(part[0], whole[0], rtol=1e-4, atol=1e-4)
    if isinstance(out := apply(params, x), Gaussian):
        assert np.all(np.asarray(out.std) > 0)


@nightly("name", [*CASES, *(f"{name}_plain" for name in DECODERS)])
def test_every_parameter_learns(name, random_params, check_gradients):
    plain = name.removesuffix("_plain")
    net, x = CASES[name] if name in CASES else (DECODERS[plain](), latent(plain))
    loss = lambda params: sum(jnp.square(leaf - 2).sum() for leaf in jax.tree.leaves(net.apply(params, x)))
    check_gradients(loss, random_params(net, x))


@pytest.mark.parametrize("stages", [1, 2, 3])
def test_spatial_sizes(stages):
    x = jnp.zeros((2, 16, 24, 3))
    z = shapes(SpatialEncoder(6, stages, width=8), x)
    assert z.shape == (2, 16 >> stages, 24 >> stages, 6)
    assert shapes(SpatialDecoder(3, stages, width=8), jnp.zeros(z.shape)).shape == x.shape


@nightly("pair", ["conv", "spatial"])
def test_a_pair_learns_to_copy_what_it_can(pair):
    """Blobs whose place is two numbers: the mean of an image is left behind by far."""

    def batch(key):
        place = 2 + 4 * jax.random.uniform(key, (32, 2, 1, 1))
        rows, columns = jnp.mgrid[:8, :8]
        return jnp.exp(-((rows - place[:, 0]) ** 2 + (columns - place[:, 1]) ** 2) / 2)[..., None]

    if pair == "conv":
        encoder, decoder = ConvEncoder(4, hidden=64), ConvDecoder((8, 8, 1), hidden=64)
    else:
        encoder, decoder = SpatialEncoder(4, 1, width=16), SpatialDecoder(1, 1, width=16)
    x = batch(KEY)
    z = encoder.init_with_output(KEY, x)
    z, params = (z[0].mean if pair == "conv" else z[0]), {"encoder": z[1]}
    params["decoder"] = decoder.init(KEY, z)
    optimiser = optax.adam(3e-3)

    def loss(params, x):
        z = encoder.apply(params["encoder"], x)
        return jnp.square(decoder.apply(params["decoder"], z.mean if pair == "conv" else z) - x).mean()

    @jax.jit
    def step(params, state, key):
        updates, state = optimiser.update(jax.grad(loss)(params, batch(key)), state)
        return optax.apply_updates(params, updates), state

    state = optimiser.init(params)
    for i in range(150):
        params, state = step(params, state, jax.random.key(i))
    x = batch(jax.random.key(1000))
    assert loss(params, x) < 0.15 * jnp.square(x - x.mean(0)).mean()


def test_refusals(unchecked):
    halved, latents = "even and at least 8", "expected floating-point latents"
    for net, x, message in [
        *((ConvEncoder(), jnp.zeros((1, *size, 1)), halved) for size in [(7, 7), (4, 4), (6, 6), (9, 16), (30, 4)]),
        *((ConvDecoder((*size, 1)), Z, halved) for size in [(7, 7), (4, 4), (6, 6), (9, 16), (30, 4)]),
        *((net, jnp.zeros((8, 8, 1)), "batch of images") for net in (ConvEncoder(), SpatialEncoder())),
        *((net, jnp.zeros((1, 8, 8, 1), jnp.uint8), "images, got uint8") for net in (ConvEncoder(), SpatialEncoder())),
        (MLPEncoder(), jnp.zeros((2, 3), int), r"expected floating-point x \(batch, \*event\), got int32"),
        (MLPEncoder(), jnp.zeros(3), r"expected floating-point x \(batch, \*event\)"),
        *((net, jnp.zeros(3), latents) for net in (MLPDecoder((3,)), ConvDecoder((8, 8, 1)))),
        *((net, jnp.zeros((2, 3), int), latents) for net in (MLPDecoder((3,)), ConvDecoder((8, 8, 1)))),
        (ConvDecoder((64, 64)), Z, r"event \(height, width, channels\), got \(64, 64\)"),
        (MLPEncoder(layer="gelu"), X, "unknown layer 'gelu': choose one of relu, tanh, gated"),
        (MLPDecoder((3,), layer="gelu"), Z, "unknown layer 'gelu'"),
        (SpatialEncoder(stages=0), jnp.zeros((1, 12, 12, 1)), "0 stages halve both sides"),
        (SpatialEncoder(stages=3), jnp.zeros((1, 12, 12, 1)), "3 stages halve both sides"),
        (SpatialDecoder(stages=0), GRID, "at least one stage"),
        (SpatialDecoder(), Z, "batch of images"),
    ]:
        with pytest.raises(ValueError, match=message):
            shapes(net, x)
