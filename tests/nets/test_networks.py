"""The contract that every network of this room keeps: (x, t, cond) -> float32 output, whatever is inside."""

import functools

import chex
import flax
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.nets import MLP, ContextUNet, UNet

CLASSES, VECTOR, BATCH = 3, 4, 4
NETWORKS = {
    "mlp": functools.partial(MLP, width=16, depth=2),
    "unet": functools.partial(UNet, channels=8, multipliers=(1, 2)),
    "context_unet": functools.partial(ContextUNet, features=8),
}
LABELS = jnp.array([0, 1, 2, 1])
X = jnp.asarray(np.random.default_rng(1).standard_normal((BATCH, 8, 8, 3)), jnp.float32)
T = jnp.linspace(0, 1, BATCH)


@pytest.fixture(scope="module", params=NETWORKS)
def make(request):
    return NETWORKS[request.param]


@pytest.fixture(scope="module")
def classes(make):
    return make(num_classes=CLASSES)


@pytest.fixture(scope="module")
def params(classes, random_params):
    return random_params(classes, X, T)


@pytest.fixture(scope="module")
def fresh(classes):
    return jax.jit(classes.init)(jax.random.key(0, impl="rbg"), X, T)  # rbg: threefry takes seconds to compile


@pytest.fixture(scope="module")
def apply(classes):
    """The labelled network, compiled once for this module: a second trace fails the test that causes it."""

    def traced(params, x, t, cond):
        return classes.apply(params, x, t, cond)

    chex.clear_trace_counter()  # chex counts by name, and this name serves several networks
    return jax.jit(chex.assert_max_traces(traced, n=1))


@pytest.fixture(scope="module")
def gradient(classes):
    return jax.jit(jax.grad(lambda params: jnp.square(classes.apply(params, X, T, LABELS) - X).sum()))


def test_output_is_zero_at_initialisation(apply, fresh):
    out = apply(fresh, X, T, LABELS)
    assert out.dtype == jnp.float32
    np.testing.assert_array_equal(out, np.zeros_like(X))


def test_only_the_output_layer_learns_first(gradient, fresh):
    """The first step moves the zero-initialised last layer, and so the output, at once."""
    moving = {name for name, grads in gradient(fresh)["params"].items() if any(map(np.any, jax.tree.leaves(grads)))}
    assert moving in ({"out"}, {"out_2"})


def test_every_parameter_learns(gradient, params):
    for path, grad in jax.tree_util.tree_leaves_with_path(gradient(params)):
        assert np.isfinite(grad).all(), path
        assert np.abs(grad).max() > 0, path


def test_out_channels_and_output_dtype(make):
    net = make(out_channels=6)
    for dtype in (jnp.float32, jnp.bfloat16):
        out, _ = jax.eval_shape(net.init_with_output, jax.random.key(0), X.astype(dtype), T)
        assert (out.shape, out.dtype) == ((*X.shape[:-1], 6), jnp.float32)


def test_time_matters_also_as_c_noise(apply, params):
    out = apply(params, X, T, LABELS)
    assert np.abs(out - apply(params, X, T + 0.05, LABELS)).max(axis=(1, 2, 3)).min() > 1e-4
    assert np.isfinite(apply(params, X, 4 * T - 2, LABELS)).all()


def test_one_noise_level_may_serve_the_batch(make, params, classes, apply):
    out = jax.jit(classes.apply)(params, X, jnp.array(0.3), LABELS)
    np.testing.assert_allclose(out, apply(params, X, jnp.full(BATCH, 0.3, jnp.float32), LABELS), atol=1e-5)


def test_labels_matter_and_null_is_none_negative_or_num_classes(apply, params, classes):
    full = functools.partial(jnp.full, BATCH, dtype=LABELS.dtype)
    null = jax.jit(classes.apply)(params, X, T)
    np.testing.assert_allclose(apply(params, X, T, full(-1)), null, atol=1e-5)
    np.testing.assert_allclose(apply(params, X, T, full(CLASSES)), null, atol=1e-5)
    outputs = [null] + [apply(params, X, T, full(label)) for label in range(CLASSES)]
    for i, first in enumerate(outputs):
        for second in outputs[i + 1 :]:
            assert np.abs(first - second).max(axis=(1, 2, 3)).min() > 1e-3
    mixed = apply(params, X, T, jnp.array([CLASSES, 0, 2, -1]))
    for row, source in enumerate([null, outputs[1], outputs[3], null]):
        np.testing.assert_allclose(mixed[row], source[row], atol=1e-5)


def test_label_beyond_null_gives_nan_in_its_row_only(apply, params):
    out = apply(params, X, T, jnp.array([0, CLASSES + 1, CLASSES, 1]))
    np.testing.assert_array_equal(np.isnan(out).any(axis=(1, 2, 3)), [False, True, False, False])


def test_examples_do_not_see_their_neighbours(apply, params):
    whole = apply(params, X, T, LABELS)
    order = jnp.array([2, 0, 3, 1])
    np.testing.assert_allclose(apply(params, X[order], T[order], LABELS[order]), whole[order], atol=1e-5)
    others = apply(params, X.at[1:].multiply(-7.0), T.at[1:].set(0.5), LABELS.at[1:].set(0))
    np.testing.assert_allclose(others[0], whole[0], atol=1e-5)


def test_numpy_inputs(classes, params):
    numpy = [np.asarray(a) for a in (X, T, LABELS)]
    assert jax.eval_shape(lambda params: classes.apply(params, *numpy), params).shape == X.shape


def test_compiles_once(apply, params):
    for seed in range(3):
        apply(params, X + seed, T * seed, (LABELS + seed) % (CLASSES + 1))


def test_vectors_matter_and_null_is_zeros(make, random_params):
    net = make(cond_dim=VECTOR)
    params = random_params(net, X, T)
    apply = jax.jit(net.apply)
    cond = jnp.zeros((BATCH, VECTOR)).at[2].set(1.0)
    null = apply(params, X, T, jnp.zeros((BATCH, VECTOR)))
    differs = np.abs(apply(params, X, T, cond) - null).max(axis=(1, 2, 3)) > 1e-3
    np.testing.assert_array_equal(differs, [False, False, True, False])


def test_bfloat16_keeps_float32_parameters_and_output(make, apply, params):
    half = make(num_classes=CLASSES, dtype=jnp.bfloat16)
    out, variables = jax.eval_shape(half.init_with_output, jax.random.key(0), X, T)
    assert {leaf.dtype for leaf in jax.tree.leaves((out, variables))} == {jnp.dtype("float32")}
    chex.assert_trees_all_equal_shapes(variables, params)
    full_out = apply(params, X, T, LABELS)
    half_out = jax.jit(half.apply)(params, X, T, LABELS)
    error = np.linalg.norm(half_out - full_out) / np.linalg.norm(full_out)
    # bfloat16 keeps 8 bits: the error must show (so it was used), and stay a few of its roundings large.
    assert 2**-14 < error < 2**-4


@pytest.mark.parametrize("name", ["mlp", "unet"])
def test_dropout_is_random_in_training_only(name, random_params):
    small = {"depth": 1} if name == "mlp" else {"channels": 4, "multipliers": (1,)}
    net, without = NETWORKS[name](dropout=0.5, **small), NETWORKS[name](**small)
    params = random_params(net, X, T)
    train = jax.jit(lambda seed: net.apply(params, X, T, train=True, rngs={"dropout": jax.random.key(seed)}))
    np.testing.assert_array_equal(train(0), train(0))
    assert np.abs(train(0) - train(1)).max() > 1e-3
    evaluated = jax.jit(lambda seed: net.apply(params, X, T, rngs={"dropout": jax.random.key(seed)}))(0)
    np.testing.assert_allclose(evaluated, jax.jit(without.apply)(params, X, T), atol=1e-5)


@pytest.mark.parametrize("name", ["mlp", "unet"])
def test_training_with_dropout_asks_for_its_key(name, random_params):
    net = NETWORKS[name](dropout=0.5)
    with pytest.raises(flax.errors.InvalidRngError, match="dropout"):
        jax.eval_shape(functools.partial(net.apply, train=True), random_params(net, X, T), X, T)


@pytest.mark.parametrize(
    ("settings", "cond", "message"),
    [
        ({}, LABELS, "unconditional but got cond"),
        ({"num_classes": CLASSES}, LABELS.astype(float), "integer labels, got float32"),
        ({"num_classes": CLASSES}, LABELS[:2], "a label per example"),
        ({"cond_dim": VECTOR}, jnp.zeros((BATCH, VECTOR + 1)), "a vector per example"),
        ({"num_classes": CLASSES, "cond_dim": VECTOR}, None, "not both"),
    ],
)
def test_refuses_conditions_it_was_not_built_for(make, settings, cond, message):
    with pytest.raises(ValueError, match=message):
        jax.eval_shape(make(**settings).init, jax.random.key(0), X, T, cond)


def test_refuses_times_of_another_shape(make):
    with pytest.raises(ValueError, match=r"one noise level per example: expected shape \(4,\) or \(\), got \(2,\)"):
        jax.eval_shape(make().init, jax.random.key(0), X, T[:2])


def test_refuses_integer_x(make):
    with pytest.raises(ValueError, match=r"expected floating-point .*got int32"):
        jax.eval_shape(make().init, jax.random.key(0), X.astype(jnp.int32), T)


@pytest.mark.parametrize("name", ["unet", "context_unet"])
@pytest.mark.parametrize("shape", [(4, 3), (4, 8, 8), (4, 2, 8, 8, 3)])
def test_image_networks_refuse_other_ranks(name, shape):
    with pytest.raises(ValueError, match=r"batch of images \(batch, height, width, channels\)"):
        jax.eval_shape(NETWORKS[name]().init, jax.random.key(0), jnp.zeros(shape), T)
