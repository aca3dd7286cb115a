import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.nets import ContextUNet


def parameters(net, size, channels=3):
    x = jax.ShapeDtypeStruct((1, *size, channels), jnp.float32)
    params = jax.eval_shape(net.init, jax.random.key(0), x, jnp.zeros(1))
    return sum(p.size for p in jax.tree.leaves(params))


def counted_by_hand(n, k, size, c=3):
    """The course's layers, one line each: weights + biases, and a scale and a shift per normalised channel."""

    def linear(a, b):
        return a * b + b

    def conv(a, b, side=3):
        return side * side * a * b + b

    def block(a, b):
        return conv(a, b) + conv(b, b) + 2 * 2 * b

    def embed(a, b):
        return linear(a, b) + linear(b, b)

    init = block(c, n) + conv(c, n, 1)
    down = block(n, n) + block(n, n) + block(n, 2 * n) + block(2 * n, 2 * n)
    bottleneck = (size // 4) ** 2 * (2 * n) ** 2 + 2 * n + 2 * 2 * n
    embeddings = embed(1, 2 * n) + embed(1, n) + embed(k, 2 * n) + embed(k, n)
    up = conv(4 * n, n, 2) + 2 * block(n, n) + conv(2 * n, n, 2) + 2 * block(n, n)
    out = conv(2 * n, n) + 2 * n + conv(n, c)
    return init + down + bottleneck + embeddings + up + out


@pytest.mark.parametrize(("n", "k", "size"), [(64, 5, 16), (8, 3, 28)])
def test_parameter_count_is_the_hand_count(n, k, size):
    assert parameters(ContextUNet(n, num_classes=k), (size, size)) == counted_by_hand(n, k, size)


def test_has_the_course_s_million_and_a_half_parameters():
    assert abs(parameters(ContextUNet(64, cond_dim=5), (16, 16)) / 1.48e6 - 1) < 0.005


@pytest.mark.first_by_day
@pytest.mark.parametrize("size", [(4, 4), (8, 12), (16, 16), (28, 28)])
def test_sizes_divisible_by_four(size):
    x = jax.ShapeDtypeStruct((2, *size, 1), jnp.float32)
    out, _ = jax.eval_shape(ContextUNet(4).init_with_output, jax.random.key(0), x, jnp.zeros(2))
    assert out.shape == x.shape


@pytest.mark.parametrize("size", [(15, 16), (16, 18), (0, 4)])
def test_refuses_other_sizes(size):
    with pytest.raises(ValueError, match=f"sides divisible by 4, got {size[0]}×{size[1]}"):
        jax.eval_shape(ContextUNet(4).init, jax.random.key(0), jnp.zeros((1, *size, 3)), jnp.zeros(1))


@pytest.mark.slow
def test_labels_are_one_hot_vectors(random_params):
    """A class network fed with labels equals a vector network fed with the scaled one-hot rows."""
    x, t, labels = jax.random.normal(jax.random.key(0), (3, 8, 8, 1)), jnp.linspace(0, 1, 3), jnp.array([0, 2, 4])
    by_label, by_vector = ContextUNet(4, num_classes=4), ContextUNet(4, cond_dim=4)
    params = random_params(by_label, x, t)
    rows = jnp.array([[2.0, 0, 0, 0], [0, 0, 2.0, 0], [0, 0, 0, 0]])
    expected = jax.jit(by_vector.apply)(params, x, t, rows)
    np.testing.assert_allclose(jax.jit(by_label.apply)(params, x, t, labels), expected, atol=1e-5)


def test_gains_begin_at_one(initial):
    """The output of a gain is its last bias while its input, a null context, gives zero hidden units."""
    x, t = jnp.zeros((1, 8, 8, 1)), jnp.zeros(1)
    gain = initial(ContextUNet(4, num_classes=3), "context_1", x, t)
    np.testing.assert_array_equal(gain["Dense_0"]["bias"], 0)
    np.testing.assert_array_equal(gain["Dense_1"]["bias"], 1)


@pytest.mark.slow
def test_null_context_begins_as_a_gain_of_one():
    """With zero context the gains are their last bias, one, so the network is the unconditional one."""
    x, t = jax.random.normal(jax.random.key(0), (2, 8, 8, 1)), jnp.array([0.2, 0.8])
    conditional, unconditional = ContextUNet(4, num_classes=3), ContextUNet(4)
    params = jax.jit(conditional.init)(jax.random.key(1, impl="rbg"), x, t)["params"]
    params["out_2"]["kernel"] += 1.0
    shared = {name: leaves for name, leaves in params.items() if not name.startswith("context")}
    expected = jax.jit(unconditional.apply)({"params": shared}, x, t)
    np.testing.assert_allclose(jax.jit(conditional.apply)({"params": params}, x, t), expected, atol=1e-5)
    assert np.abs(expected).max() > 0.1
