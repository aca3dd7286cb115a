import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.nets import condition_vector, sinusoidal_embedding
from jaxgen.nets.embedding import TimeConditionEmbedding, broadcast_times


@pytest.mark.parametrize("features", [2, 10, 128])
def test_sinusoidal_embedding_is_the_formula(features):
    t = np.array([0.0, 1e-3, 0.5, 1.0, -2.0, 2.0])
    got = sinusoidal_embedding(jnp.asarray(t, jnp.float32), features)
    half = features // 2
    expected = np.empty((len(t), features))
    for row, time in enumerate(t):
        for i in range(half):
            angle = 1000 * time / 10_000 ** (i / half)
            expected[row, i], expected[row, half + i] = math.cos(angle), math.sin(angle)
    assert got.dtype == jnp.float32
    # float32 angles of up to 2000 carry an absolute error of 2000·2⁻²⁴ ≈ 1.2e-4.
    np.testing.assert_allclose(got, expected, atol=2.5e-4)


def test_sinusoidal_embedding_tells_neighbouring_ddpm_steps_apart():
    embedding = sinusoidal_embedding(jnp.arange(1001) / 1000, 64)
    assert np.linalg.norm(np.diff(embedding, axis=0), axis=1).min() > 0.5


def test_sinusoidal_embedding_computes_in_float32_for_bfloat16_times():
    t = jnp.array([0.25, 0.5, 1.0])  # exact in bfloat16
    np.testing.assert_array_equal(sinusoidal_embedding(t.astype(jnp.bfloat16), 16), sinusoidal_embedding(t, 16))


def test_broadcast_times_serves_one_level():
    np.testing.assert_array_equal(broadcast_times(jnp.array(0.25), 3), [0.25] * 3)
    np.testing.assert_array_equal(broadcast_times(jnp.array([0.0, 1.0]), 2), [0.0, 1.0])


def test_refusals():
    for features in (0, 1, 7):
        with pytest.raises(ValueError, match="must be even"):
            sinusoidal_embedding(jnp.zeros(1), features)
    for shape in ((1,), (3, 1)):
        with pytest.raises(ValueError, match=r"expected shape \(3,\) or \(\)"):
            broadcast_times(jnp.zeros(shape), 3)


def test_labels_become_scaled_one_hot_and_null_is_zero():
    labels = jnp.array([0, 3, 4, -1, -7])
    got = condition_vector(labels, 5, num_classes=4, cond_dim=None)
    expected = np.zeros((5, 4))
    expected[0, 0] = expected[1, 3] = math.sqrt(4)
    np.testing.assert_allclose(got, expected, rtol=1e-6)
    np.testing.assert_allclose(np.mean(np.square(got[:2])), 1, rtol=1e-6)

    for dtype in (jnp.uint8, jnp.int16):
        got = condition_vector(jnp.array([1, 2], dtype), 2, num_classes=2, cond_dim=None)
        np.testing.assert_allclose(got, [[0, math.sqrt(2)], [0, 0]], rtol=1e-6)
    got = condition_vector(jnp.array([4, 5, 1]), 3, num_classes=4, cond_dim=None)  # a label beyond null is NaN
    np.testing.assert_array_equal(np.isnan(got), np.broadcast_to([[False], [True], [False]], (3, 4)))


def test_vectors_pass_unchanged_and_none_is_zeros():
    cond = jnp.array([[1.0, -2.0], [0.0, 0.0]])
    np.testing.assert_array_equal(condition_vector(cond, 2, num_classes=None, cond_dim=2), cond)
    np.testing.assert_array_equal(condition_vector(None, 3, num_classes=None, cond_dim=2), np.zeros((3, 2)))
    np.testing.assert_array_equal(condition_vector(None, 3, num_classes=5, cond_dim=None), np.zeros((3, 5)))
    assert condition_vector(None, 3, num_classes=None, cond_dim=None) is None


@pytest.mark.parametrize(
    ("cond", "num_classes", "cond_dim", "message"),
    [
        (jnp.zeros(3, int), None, None, "unconditional but got cond"),
        (jnp.zeros(3, int), 4, 2, "not both"),
        (jnp.zeros(3), 4, None, "integer labels, got float32"),
        (jnp.zeros((3, 4)), 4, None, "integer labels, got float32"),
        (jnp.zeros((3, 1), int), 4, None, r"label per example, shape \(3,\), got \(3, 1\)"),
        (jnp.zeros(2, int), 4, None, r"label per example, shape \(3,\), got \(2,\)"),
        (jnp.zeros((3, 5)), None, 4, r"vector per example, shape \(3, 4\), got \(3, 5\)"),
        (jnp.zeros(3), None, 4, r"vector per example, shape \(3, 4\), got \(3,\)"),
        (None, 0, None, "at least one class or dimension"),
    ],
)
def test_condition_errors(cond, num_classes, cond_dim, message):
    with pytest.raises(ValueError, match=message):
        condition_vector(cond, 3, num_classes=num_classes, cond_dim=cond_dim)


def mlp_in_numpy(params, vector):
    first, second = params["Dense_0"], params["Dense_1"]
    hidden = np.asarray(vector) @ first["kernel"] + first["bias"]
    return hidden / (1 + np.exp(-hidden)) @ second["kernel"] + second["bias"]


def test_time_and_condition_are_read_by_mlps_and_add_up():
    net, t, labels = TimeConditionEmbedding(7, num_classes=3), jnp.array([0.1, 0.9]), jnp.array([0, 2])
    embed = jax.jit(lambda params: net.apply(params, t, labels, 2))
    params = jax.tree.map(lambda shape: 0.1 * np.cos(np.arange(shape.size, dtype=np.float32)).reshape(shape.shape),
                          jax.eval_shape(lambda key: net.init(key, t, labels, 2), jax.random.key(0)))  # fmt: skip
    time = mlp_in_numpy(params["params"]["time"], sinusoidal_embedding(t, 8))
    one_hot = condition_vector(labels, 2, num_classes=3, cond_dim=None)
    expected = time + mlp_in_numpy(params["params"]["condition"], one_hot)
    np.testing.assert_allclose(embed(params), expected, rtol=1e-5, atol=1e-6)
