"""The contract that every time-conditioned network keeps: (x, t, cond) -> float32 output, whatever is inside."""

import functools

import chex
import flax
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.nets import MLP, ContextUNet, DiT, UNet

CLASSES, VECTOR, BATCH = 3, 4, 4
NETWORKS = {
    "mlp": functools.partial(MLP, width=16, depth=2),
    "unet": functools.partial(UNet, channels=8, multipliers=(1, 2)),
    "context_unet": functools.partial(ContextUNet, features=8),
    "dit": functools.partial(DiT, width=16, depth=2, heads=2),
}
OUT = {"mlp": "out", "unet": "out", "context_unet": "out_2", "dit": "out"}
slow = lambda *case: pytest.param(*case, marks=pytest.mark.slow)
MLP_BY_DAY = pytest.mark.parametrize("name", ["mlp", slow("unet"), slow("context_unet"), slow("dit")])
LABELS = jnp.array([0, 1, 2, 1])
X = jnp.asarray(np.random.default_rng(1).standard_normal((BATCH, 8, 8, 3)), jnp.float32)
T = jnp.linspace(0, 1, BATCH)
every_network = pytest.mark.parametrize("name", NETWORKS)


@functools.cache
def labelled(name):
    return NETWORKS[name](num_classes=CLASSES)


@functools.cache
def compiled(name):
    """The labelled network, compiled once for this module: a second trace fails the test that causes it."""
    net, traces = labelled(name), []

    def traced(params, x, t, cond):
        traces.append(name)
        assert len(traces) == 1
        return net.apply(params, x, t, cond)

    return jax.jit(traced)


@pytest.fixture
def params(name, random_params):
    return random_params(labelled(name), X, T)


@pytest.fixture
def apply(name, params):
    return functools.partial(compiled(name), params)


def change(first, second):
    return np.abs(first - second).max(axis=(1, 2, 3))


@pytest.mark.first_by_day
@every_network
def test_output_is_zero_at_initialisation(name, params, initial):
    last = initial(labelled(name), OUT[name], X, T)
    out = compiled(name)({"params": params["params"] | {OUT[name]: last}}, X, T, LABELS)
    assert out.dtype == jnp.float32
    np.testing.assert_array_equal(out, np.zeros_like(X))


@every_network
def test_every_parameter_matters(name, params, check_parameters_matter):
    check_parameters_matter(lambda params: compiled(name)(params, X, T, LABELS), params)


@MLP_BY_DAY
def test_every_parameter_learns_and_at_first_the_last_layer(name, params, check_gradients):
    loss = jax.jit(lambda params: jnp.square(labelled(name).apply(params, X, T, LABELS) - X).sum())
    check_gradients(loss, params)
    params["params"][OUT[name]] = jax.tree.map(np.zeros_like, params["params"][OUT[name]])
    gradients = jax.jit(jax.grad(loss))(params)["params"]
    assert {part for part, grads in gradients.items() if any(map(np.any, jax.tree.leaves(grads)))} == {OUT[name]}


@pytest.mark.first_by_day
@every_network
def test_shapes_and_dtypes(name, params):
    net, shape = labelled(name), functools.partial(jax.eval_shape, NETWORKS[name](out_channels=6).init_with_output)
    for dtype in (jnp.float32, jnp.bfloat16):
        out, _ = shape(jax.random.key(0), X.astype(dtype), T)
        assert (out.shape, out.dtype) == ((*X.shape[:-1], 6), jnp.float32)
    numpy = [np.asarray(a) for a in (X, T, LABELS)]
    assert jax.eval_shape(lambda params: net.apply(params, *numpy), params).shape == X.shape
    half = NETWORKS[name](num_classes=CLASSES, dtype=jnp.bfloat16)
    out, variables = jax.eval_shape(half.init_with_output, jax.random.key(0), X, T)
    assert {leaf.dtype for leaf in jax.tree.leaves((out, variables))} == {jnp.dtype("float32")}
    chex.assert_trees_all_equal_shapes(variables, params)


@every_network
def test_time_matters_also_as_c_noise(apply):
    assert change(apply(X, T, LABELS), apply(X, T + 0.05, LABELS)).min() > 1e-4
    assert np.isfinite(apply(X, 4 * T - 2, LABELS)).all()


@MLP_BY_DAY
def test_one_noise_level_may_serve_the_batch(name, params, apply):
    out = jax.jit(labelled(name).apply)(params, X, jnp.array(0.3), LABELS)
    np.testing.assert_allclose(out, apply(X, jnp.full(BATCH, 0.3, jnp.float32), LABELS), atol=1e-5)


@MLP_BY_DAY
def test_no_condition_is_null(name, params, apply):
    null = jax.jit(labelled(name).apply)(params, X, T)
    np.testing.assert_allclose(apply(X, T, jnp.full_like(LABELS, -1)), null, atol=1e-5)


@every_network
def test_labels_matter_and_null_is_negative_or_num_classes(apply):
    null, *outputs = (apply(X, T, jnp.full_like(LABELS, label)) for label in range(-1, CLASSES))
    np.testing.assert_allclose(apply(X, T, jnp.full_like(LABELS, CLASSES)), null, atol=1e-5)
    for i, first in enumerate([null, *outputs]):
        for second in outputs[i:]:
            assert change(first, second).min() > 1e-3
    mixed = apply(X, T, jnp.array([CLASSES, 0, 2, -1]))
    for row, source in enumerate([null, outputs[0], outputs[2], null]):
        np.testing.assert_allclose(mixed[row], source[row], atol=1e-5)
    out = apply(X, T, jnp.array([0, CLASSES + 1, CLASSES, 1]))  # a label beyond null is NaN in its row
    np.testing.assert_array_equal(np.isnan(out).any(axis=(1, 2, 3)), [False, True, False, False])


@every_network
def test_examples_do_not_see_their_neighbours(apply):
    whole, order = apply(X, T, LABELS), jnp.array([2, 0, 3, 1])
    np.testing.assert_allclose(apply(X[order], T[order], LABELS[order]), whole[order], atol=1e-5)
    others = apply(X.at[1:].multiply(-7.0), T.at[1:].set(0.5), LABELS.at[1:].set(0))
    np.testing.assert_allclose(others[0], whole[0], atol=1e-5)


@MLP_BY_DAY
def test_vectors_matter_and_null_is_zeros(name, random_params):
    net = NETWORKS[name](cond_dim=VECTOR)
    apply = functools.partial(jax.jit(net.apply), random_params(net, X, T), X, T)
    cond = jnp.zeros((BATCH, VECTOR))
    np.testing.assert_array_equal(change(apply(cond.at[2].set(1.0)), apply(cond)) > 1e-3, [False, False, True, False])


@MLP_BY_DAY
def test_bfloat16_is_used_and_close_to_float32(name, params, apply):
    full, half = apply(X, T, LABELS), jax.jit(NETWORKS[name](num_classes=CLASSES, dtype=jnp.bfloat16).apply)
    error = np.linalg.norm(half(params, X, T, LABELS) - full) / np.linalg.norm(full)
    # bfloat16 keeps 8 bits: the error must show (so it was used), and stay a few of its roundings large.
    assert 2**-14 < error < 2**-4


@pytest.mark.parametrize("name", ["mlp", slow("unet")])
def test_dropout_is_random_in_training_only_and_asks_for_its_key(name, random_params):
    small = {"depth": 1} if name == "mlp" else {"channels": 4, "multipliers": (1,)}
    net, without = NETWORKS[name](dropout=0.5, **small), NETWORKS[name](**small)
    params = random_params(net, X, T)
    train = jax.jit(lambda seed: net.apply(params, X, T, train=True, rngs={"dropout": jax.random.key(seed)}))
    np.testing.assert_array_equal(train(0), train(0))
    assert np.abs(train(0) - train(1)).max() > 1e-3
    evaluated = jax.jit(lambda seed: net.apply(params, X, T, rngs={"dropout": jax.random.key(seed)}))(0)
    np.testing.assert_allclose(evaluated, jax.jit(without.apply)(params, X, T), atol=1e-5)
    with pytest.raises(flax.errors.InvalidRngError, match="dropout"):
        jax.eval_shape(functools.partial(net.apply, train=True), params, X, T)


@every_network
def test_refusals(name):
    for settings, x, t, cond, message in [
        ({}, X, T, LABELS, "unconditional but got cond"),
        ({"num_classes": CLASSES}, X, T, LABELS.astype(float), "integer labels, got float32"),
        ({"num_classes": CLASSES}, X, T, LABELS[:2], "a label per example"),
        ({"cond_dim": VECTOR}, X, T, jnp.zeros((BATCH, VECTOR + 1)), "a vector per example"),
        ({"num_classes": CLASSES, "cond_dim": VECTOR}, X, T, None, "not both"),
        ({}, X, T[:2], None, r"one noise level per example: expected shape \(4,\) or \(\), got \(2,\)"),
        ({}, X.astype(jnp.int32), T, None, r"expected floating-point .*got int32"),
    ]:
        with pytest.raises(ValueError, match=message):
            jax.eval_shape(NETWORKS[name](**settings).init, jax.random.key(0), x, t, cond)
    for shape in [(4, 3), (4, 8, 8), (4, 2, 8, 8, 3)] if name != "mlp" else []:
        with pytest.raises(ValueError, match=r"batch of images \(batch, height, width, channels\)"):
            jax.eval_shape(NETWORKS[name]().init, jax.random.key(0), jnp.zeros(shape), T)
