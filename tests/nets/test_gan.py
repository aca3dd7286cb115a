"""Generators and critics: shapes, ranges, what they compute, spectral norms, and what they refuse."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from oracles import slow

from jaxgen.nets import (
    DCGANCritic,
    DCGANGenerator,
    DenoisingCritic,
    DenoisingGenerator,
    DenoisingMLPCritic,
    DenoisingMLPGenerator,
    MLPCritic,
    MLPGenerator,
    ResidualCritic,
    ResidualGenerator,
    minibatch_std,
)
from jaxgen.nets.gan_layers import MappingNetwork
from jaxgen.nets.gan_residual import DownBlock, UpBlock
from jaxgen.training import create_adversarial_state, make_adversarial_step

KEY = jax.random.key(0)
RNG = np.random.default_rng(0)
X, NOISY, Z = (jnp.asarray(RNG.normal(size=shape), jnp.float32) for shape in ((4, 8, 8, 2), (4, 8, 8, 2), (4, 5)))
T = jnp.array([0.25, 0.5, 0.75, 1.0])
GENERATORS = {
    "dcgan": (DCGANGenerator((8, 8, 2), 4), (Z,)),
    "residual": (ResidualGenerator((8, 8, 2), 4), (Z,)),
    "denoising": (DenoisingGenerator(4, (1,), attention_levels=(), mapping_features=8, mapping_depth=2), (NOISY, T, Z)),
    "mlp": (MLPGenerator((8, 8, 2), (9, 7)), (Z,)),
    "denoising_mlp": (DenoisingMLPGenerator((9, 7)), (NOISY, T, Z)),
}
CRITICS = {
    "dcgan": (DCGANCritic(4), (X, T)),
    "residual": (ResidualCritic(4), (X, T)),
    "denoising": (DenoisingCritic(4, minibatch_group=0), (X, NOISY, T)),
    "mlp": (MLPCritic((9, 7)), (X, T)),
    "denoising_mlp": (DenoisingMLPCritic((9, 7)), (X, NOISY, T)),
}
PAIRS = {f"{name}_generator": case for name, case in GENERATORS.items()} | {
    f"{name}_critic": case for name, case in CRITICS.items()
}


def described(net, *inputs):
    out, _ = jax.eval_shape(net.init_with_output, KEY, *inputs)
    return out.shape, out.dtype.name


@pytest.mark.parametrize("side", [28, *map(slow, (8, 16, 32, 64))])
def test_every_side_from_8_to_64(side):
    x, t, image = jnp.zeros((3, side, side, 1)), jnp.zeros(3), ((3, side, side, 1), "float32")
    for net in (DCGANGenerator((side, side, 1), 8), ResidualGenerator((side, side, 1), 4)):
        assert described(net, jnp.zeros((3, 10))) == image
    assert described(DenoisingGenerator(4, (1, 2), mapping_features=8), x, t, jnp.zeros((3, 10))) == image
    for net in (DCGANCritic(4), ResidualCritic(4), ResidualCritic(4, minibatch_group=4, spectral_norm=True)):
        assert described(net, x) == described(net, x, t) == ((3,), "float32")
    assert described(DenoisingCritic(4), x, x, t) == ((3,), "float32")


def test_events_of_any_shape_on_the_plane_and_beyond():
    for event in ((2,), (3, 2), (4, 4, 1)):
        x = jnp.zeros((3, *event))
        assert described(MLPGenerator(event), jnp.zeros((3, 2))) == ((3, *event), "float32")
        assert described(DenoisingMLPGenerator(), x, jnp.float32(0.5), jnp.zeros((3, 2))) == ((3, *event), "float32")
        assert described(MLPCritic(), x) == described(DenoisingMLPCritic(), x, x, jnp.zeros(3)) == ((3,), "float32")


def test_float64_and_bfloat16_come_out_as_float64_and_float32():
    with jax.enable_x64(True):
        for net, inputs in (GENERATORS["mlp"], CRITICS["mlp"], GENERATORS["dcgan"], CRITICS["residual"]):
            wide = [x.astype(jnp.float64) for x in inputs]
            assert described(net, *wide)[1] == "float64"
    for net, inputs in PAIRS.values():
        assert described(net, *(x.astype(jnp.bfloat16) for x in inputs))[1] == "float32"
    for net in (DCGANCritic(4, dtype=jnp.bfloat16), ResidualCritic(4, dtype=jnp.bfloat16)):
        assert described(net, X)[1] == "float32"
    for net in (DCGANGenerator((8, 8, 2), 4, dtype=jnp.bfloat16), ResidualGenerator((8, 8, 2), 4, dtype=jnp.bfloat16)):
        assert described(net, Z)[1] == "float32"


def test_the_layers_of_dcgan():
    """28×28: 7×7×256, then 128, 64 and 1 channels; 64×64: from 4×4×1024, as in the paper's figure."""
    params = jax.eval_shape(DCGANGenerator((28, 28, 1)).init, KEY, Z)["params"]
    assert params["grid"]["kernel"].shape == (5, 7 * 7 * 256)
    assert params["conv_2"]["kernel"].shape == (3, 3, 256, 128)
    assert params["conv_1"]["phases"]["kernel"].shape == (2, 2, 128, 4 * 64)
    assert params["out"]["phases"]["kernel"].shape == (2, 2, 64, 4 * 1)
    params = jax.eval_shape(DCGANGenerator((64, 64, 3)).init, KEY, Z)["params"]
    assert params["grid"]["kernel"].shape == (5, 4 * 4 * 1024)
    params = jax.eval_shape(DCGANCritic().init, KEY, jnp.zeros((1, 64, 64, 3)))["params"]
    kernels = [params[f"conv_{i}"]["kernel"].shape for i in range(4)]
    assert kernels == [(4, 4, 3, 64), (4, 4, 64, 128), (4, 4, 128, 256), (4, 4, 256, 512)]
    assert params["out"]["kernel"].shape == (4 * 4 * 512, 1)


@pytest.mark.parametrize("name", PAIRS)
def test_every_parameter_matters_and_examples_do_not_mix(name, random_params, check_parameters_matter):
    net, inputs = PAIRS[name]
    params, apply = random_params(net, *inputs), jax.jit(net.apply)
    check_parameters_matter(lambda params: apply(params, *inputs), params)
    out = apply(params, *inputs)
    others = apply(params, *(x.at[1:].multiply(-0.7) for x in inputs))
    np.testing.assert_allclose(others[0], out[0], rtol=1e-4, atol=1e-5)
    assert np.abs(others[1:] - out[1:]).min(axis=0).max() > 1e-4
    if name in ("dcgan_generator", "residual_generator", "denoising_generator"):
        assert np.abs(out).max() <= 1


@pytest.mark.slow
@pytest.mark.parametrize("name", PAIRS)
def test_every_parameter_learns(name, random_params, check_gradients):
    net, inputs = PAIRS[name]
    check_gradients(lambda params: jnp.square(net.apply(params, *inputs) - 0.3).sum(), random_params(net, *inputs))


@pytest.mark.parametrize("name", ["mlp", *(pytest.param(n, marks=pytest.mark.slow) for n in ("dcgan", "residual"))])
def test_the_time_matters_where_there_is_one(name, random_params):
    net, (x, t) = CRITICS[name]
    params, apply = random_params(net, x, t), jax.jit(net.apply)
    assert np.abs(apply(params, x, t) - apply(params, x, t * 0.9)).min() > 1e-4
    np.testing.assert_allclose(apply(params, x, jnp.full(4, 0.3)), jax.jit(net.apply)(params, x, 0.3), rtol=1e-4)
    timeless = jax.eval_shape(net.init, KEY, x)["params"]
    assert not [part for part in timeless if part.startswith(("time", "embedding"))]


def windows(x, kernel):
    """A 3×3 convolution with zeros around, as a sum of nine matrix products."""
    height, width = x.shape[1:3]
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    return sum(padded[:, i : i + height, j : j + width] @ kernel[i, j] for i in range(3) for j in range(3))


def conv(x, layer):
    return windows(x, layer["kernel"]) + layer["bias"]


def dense(x, layer):
    return x @ layer["kernel"] + layer["bias"]


def test_a_block_that_halves(random_params):
    x, embedding = np.asarray(X), np.asarray(Z)
    net = DownBlock(3)
    params = random_params(net, X, Z)
    p = params["params"]
    leak = lambda x: np.where(x > 0, x, 0.2 * x)
    pool = lambda x: (x[:, ::2, ::2] + x[:, 1::2, ::2] + x[:, ::2, 1::2] + x[:, 1::2, 1::2]) / 4
    hidden = conv(leak(x), p["conv_1"]) + dense(embedding, p["time"]["shift"])[:, None, None]
    expected = (dense(pool(x), p["shortcut"]) + pool(conv(leak(hidden), p["conv_2"]))) / np.sqrt(2)
    np.testing.assert_allclose(jax.jit(net.apply)(params, X, Z), expected, atol=1e-4)


def test_a_block_that_doubles(random_params):
    x, net = np.asarray(X), UpBlock(4)
    params = random_params(net, X)
    p = params["params"]

    def norm_relu(x, layer):  # of up to four channels, which are one group
        mean, var = x.mean((1, 2, 3), keepdims=True), x.var((1, 2, 3), keepdims=True)
        return np.maximum((x - mean) / np.sqrt(var + 1e-5) * layer["scale"] + layer["bias"], 0)

    double = lambda x: x.repeat(2, 1).repeat(2, 2)
    hidden = conv(double(norm_relu(x, p["norm_1"])), p["conv_1"])
    hidden = conv(norm_relu(hidden, p["norm_2"]), p["conv_2"])
    expected = (double(dense(x, p["shortcut"])) + hidden) / np.sqrt(2)
    np.testing.assert_allclose(jax.jit(net.apply)(params, X), expected, atol=1e-4)


@pytest.mark.parametrize(("batch", "group", "size"), [(8, 4, 4), (6, 4, 3), (5, 4, 1), (2, 4, 2), (4, 2, 2)])
def test_the_standard_deviation_over_a_minibatch(batch, group, size):
    x = RNG.normal(size=(batch, 3, 2, 5)).astype(np.float32)
    found = minibatch_std(jnp.asarray(x), group)
    np.testing.assert_array_equal(found[..., :5], x)
    for b in range(batch):
        first = b // size * size
        std = x[first : first + size].std(0).mean()
        np.testing.assert_allclose(found[b, ..., 5], np.full((3, 2), std), atol=2e-4)


def test_a_critic_sees_that_generated_examples_are_alike(random_params):
    net = ResidualCritic(4, minibatch_group=4)
    params, apply = random_params(net, X), jax.jit(net.apply)
    alike = jnp.broadcast_to(X[:1], X.shape)
    out = apply(params, alike)
    np.testing.assert_allclose(out, np.full(4, out[0]), rtol=1e-5)
    assert abs(apply(params, X)[0] - out[0]) > 1e-3  # the same first example beside others
    gradient = jax.jit(jax.grad(lambda x: net.apply(params, x).sum()))(alike)
    assert np.isfinite(gradient).all()


def test_the_mapping_network_sees_the_direction_of_a_latent(random_params):
    net = MappingNetwork(6, 3)
    params = random_params(net, Z)
    w = np.asarray(Z, np.float64) / np.sqrt(np.mean(np.asarray(Z, np.float64) ** 2, 1, keepdims=True))
    for i in range(3):
        w = dense(w, params["params"][f"dense_{i}"])
        w = np.where(w > 0, w, 0.2 * w)
    apply = jax.jit(net.apply)
    np.testing.assert_allclose(apply(params, Z), w, atol=1e-4)
    np.testing.assert_allclose(apply(params, 7 * Z), w, atol=1e-4)
    assert {"dense_0", "dense_1", "dense_2", "dense_3"} == set(jax.eval_shape(MappingNetwork().init, KEY, Z)["params"])


def test_latent_and_time_act_through_the_scales_and_shifts_of_the_norms_alone(random_params, initial):
    """With the layers that read them at zero, GroupNorm is the plain one; the output is zero at initialisation."""
    net, (x, t, z) = GENERATORS["denoising"]
    params, apply = random_params(net, x, t, z), jax.jit(net.apply)
    out = apply(params, x, t, z)
    for other in (apply(params, x, t, -z), apply(params, x, t[::-1], z)):
        assert np.abs(other - out).max((1, 2, 3)).min() > 1e-4
    unet = params["params"]["unet"]
    for block in [part for part in unet.values() if "modulate" in part]:
        block["modulate"] = jax.tree.map(np.zeros_like, block["modulate"])
    np.testing.assert_array_equal(apply(params, x, t, z), apply(params, x, t[::-1], -z))
    unet["out"] = initial(net, "unet", x, t, z)["out"]
    np.testing.assert_array_equal(apply(params, x, t, z), np.zeros_like(x))


def largest_singular_value(kernel):
    return np.linalg.svd(np.reshape(kernel, (-1, kernel.shape[-1])), compute_uv=False)[0]


@pytest.mark.first_by_day
@pytest.mark.parametrize(
    ("net", "inputs"),
    [
        (DCGANCritic(4, spectral_norm=True), (X,)),
        (ResidualCritic(4, spectral_norm=True, minibatch_group=2), (X, T)),
        (DenoisingCritic(4, spectral_norm=True), (X, NOISY, T)),
        (MLPCritic((6, 5), spectral_norm=True), (X,)),
        (DenoisingMLPCritic((6,), spectral_norm=True), (X, NOISY, T)),
    ],
)
def test_spectral_norm_divides_every_layer_by_its_largest_singular_value(net, inputs, random_params):
    variables = random_params(net, *inputs)
    iterate = jax.jit(functools.partial(net.apply, update_stats=True, mutable=["batch_stats"]))
    for _ in range(200):
        _, new = iterate(variables, *inputs)
        variables = variables | new
    out = jax.jit(net.apply)(variables, *inputs)  # the statistics stay where they are
    stats = dict(jax.tree_util.tree_leaves_with_path(variables["batch_stats"]))
    stats = {jax.tree_util.keystr(path, simple=True, separator="/"): leaf for path, leaf in stats.items()}
    names = {path.rsplit("/", 1)[-1] for path in stats}
    assert names == {"u", "sigma"}

    divided = []

    def divide(path, leaf):
        parts = [key.key for key in path]
        if parts[-1] != "kernel" or {"embedding", "shift"} & set(parts):
            return leaf
        sigma = largest_singular_value(leaf)
        place = "/".join([*parts[:-2], f"{parts[-2]}_norm", parts[-2], "kernel/sigma"])
        np.testing.assert_allclose(stats[place], sigma, rtol=1e-3)
        divided.append(place)
        return leaf / sigma

    params = jax.tree_util.tree_map_with_path(divide, variables["params"])
    assert len(divided) == len(stats) // 2
    plain = jax.jit(net.clone(spectral_norm=False).apply)({"params": params}, *inputs)
    np.testing.assert_allclose(out, plain, rtol=1e-3, atol=1e-4)


@pytest.mark.slow
def test_the_statistics_ride_in_the_carry_of_two_players():
    generator_net, critic_net = MLPGenerator((2,), (8,)), MLPCritic((8,), spectral_norm=True)
    x = jax.random.normal(KEY, (16, 2))
    variables = critic_net.init(KEY, x)
    generate = lambda params, key: generator_net.apply(params, jax.random.normal(key, (16, 3)))

    def critic_loss(key, critic, generator, x, stats):
        judge = functools.partial(critic_net.apply, update_stats=True, mutable=["batch_stats"])
        real, new = judge({"params": critic, "batch_stats": stats}, x)
        fake = critic_net.apply({"params": critic, **new}, generate(generator, key))
        return jax.nn.relu(1 - real) + jax.nn.relu(1 + fake), {}, {"stats": new["batch_stats"]}

    def generator_loss(key, generator, critic, x, stats):
        return (
            -critic_net.apply({"params": critic, "batch_stats": stats}, generate(generator, key)),
            {},
            {"stats": stats},
        )

    optimizers = optax.adam(1e-3), optax.adam(1e-3)
    step = make_adversarial_step(generator_loss, critic_loss, *optimizers)
    params = generator_net.init(KEY, jnp.zeros((1, 3)))
    carry = {"stats": variables["batch_stats"]}
    state = create_adversarial_state(KEY, params, variables["params"], *optimizers, carry)
    for _ in range(60):
        state, _ = step(state, x)
    for name in ("dense_0", "out"):
        sigma = largest_singular_value(np.asarray(state.critic.params[name]["kernel"]))
        np.testing.assert_allclose(state.carry["stats"][f"{name}_norm"][f"{name}/kernel/sigma"], sigma, rtol=0.02)


@pytest.mark.parametrize(
    ("net", "inputs", "message"),
    [
        (DCGANGenerator((6, 6, 1)), (Z,), "images of 6×6 cannot be halved"),
        (ResidualGenerator((8, 7, 1)), (Z,), "images of 8×7 cannot be halved"),
        (DCGANGenerator((8, 8)), (Z,), r"expected an event \(height, width, channels\), got \(8, 8\)"),
        (ResidualGenerator((8, 8, 1)), (Z.astype(int),), "expected floating-point latents"),
        (MLPGenerator(), (Z[0],), "expected floating-point latents"),
        (DCGANCritic(), (jnp.zeros((2, 9, 9, 1)),), "images of 9×9 cannot be halved"),
        (ResidualCritic(), (X.astype(int),), "expected floating-point images"),
        (DCGANCritic(), (X[0],), "expected a batch of images"),
        (ResidualCritic(), (X, T[:2]), "one noise level per example"),
        (MLPCritic(), (jnp.zeros(3),), "expected floating-point x"),
        (DenoisingGenerator(), (X, T, Z[0]), "expected floating-point latents"),
        (DenoisingGenerator(), (X, T, Z[:, :1]), "keeps only the sign of a latent of one number"),
    ],
)
def test_refusals(net, inputs, message, unchecked):
    with pytest.raises(ValueError, match=message):
        jax.eval_shape(net.init, KEY, *inputs)
