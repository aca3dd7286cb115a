import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxgen.nets import ConvClassifier


@pytest.mark.parametrize("size", [(16, 16), (15, 28), (1, 1)])
def test_logits_and_features_for_any_size(size):
    net = ConvClassifier(5, feature_dim=6, widths=(4, 8))
    x = jnp.ones((2, *size, 3))
    logits, params = jax.eval_shape(net.init_with_output, jax.random.key(0), x)
    assert logits.shape == (2, 5)
    features = functools.partial(net.apply, method=ConvClassifier.features)
    features = jax.eval_shape(features, params, x.astype(jnp.bfloat16))
    assert (features.shape, features.dtype) == ((2, 6), jnp.float32)


def test_logits_are_a_linear_layer_on_the_features(random_params):
    net = ConvClassifier(3, feature_dim=6, widths=(4,))
    x = jax.random.normal(jax.random.key(0), (4, 8, 8, 1))
    params = random_params(net, x)
    features = np.asarray(net.apply(params, x, method=ConvClassifier.features))
    last = params["params"]["classify"]
    expected = features / (1 + np.exp(-features)) @ last["kernel"] + last["bias"]
    np.testing.assert_allclose(net.apply(params, x), expected, atol=1e-5)


def test_examples_do_not_see_their_neighbours(random_params):
    net = ConvClassifier(3, widths=(4,))
    x = jax.random.normal(jax.random.key(0), (4, 8, 8, 1))
    params = random_params(net, x)
    np.testing.assert_allclose(net.apply(params, x)[:1], net.apply(params, x[:1]), atol=1e-5)


def test_default_costs_a_few_million_multiply_adds():
    net = ConvClassifier(5)
    x = jnp.zeros((1, 16, 16, 3))
    params = jax.eval_shape(net.init, jax.random.key(0), x)
    by_hand = 256 * 27 * 32 + 64 * 288 * 64 + 16 * 576 * 128 + 128 * 64 + 64 * 5
    assert abs(by_hand / 2.6e6 - 1) < 0.01
    # The compiler leaves out products with the zero padding (up to 31% at 4×4) and adds the norms and activations.
    flops = jax.jit(net.apply).lower(params, x).cost_analysis()["flops"]
    assert 0.7 < flops / (2 * by_hand) < 1.1


def test_learns_to_tell_stripes_apart():
    """Horizontal from vertical stripes of random phase: no single pixel tells, the convolutions must."""
    net = ConvClassifier(2, feature_dim=8, widths=(16,))

    @jax.jit
    def batch(key):
        keys = jax.random.split(key, 3)
        labels = jax.random.randint(keys[0], (64,), 0, 2)
        waves = jnp.sin(jnp.arange(8) * jnp.pi / 2 + 2 * jnp.pi * jax.random.uniform(keys[1], (64, 1)))
        waves = jnp.broadcast_to(waves[:, :, None, None], (64, 8, 8, 1))
        x = jnp.where(labels[:, None, None, None] == 0, waves, waves.swapaxes(1, 2))
        return x + 0.3 * jax.random.normal(keys[2], x.shape), labels

    def loss(params, key):
        x, labels = batch(key)
        return optax.softmax_cross_entropy_with_integer_labels(net.apply(params, x), labels).mean()

    params = jax.jit(net.init)(jax.random.key(0, impl="rbg"), batch(jax.random.key(1))[0])
    optimiser = optax.adam(1e-2)
    state = optimiser.init(params)

    @functools.partial(jax.jit, donate_argnums=(0, 1))
    def step(params, state, key):
        grads = jax.grad(loss)(params, key)
        updates, state = optimiser.update(grads, state)
        return optax.apply_updates(params, updates), state

    for seed in range(60):
        params, state = step(params, state, jax.random.key(seed))
    x, labels = batch(jax.random.key(1000))
    assert (net.apply(params, x).argmax(-1) == labels).mean() > 0.95


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (jnp.zeros((8, 8, 3)), r"batch of images \(batch, height, width, channels\)"),
        (jnp.zeros((1, 8, 8, 3), jnp.uint8), "floating-point images, got uint8"),
    ],
)
def test_refuses_what_is_not_a_batch_of_float_images(x, message):
    with pytest.raises(ValueError, match=message):
        ConvClassifier(2).init(jax.random.key(0), x)
