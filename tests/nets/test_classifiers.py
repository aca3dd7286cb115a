"""The image classifier and the text recogniser."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from oracles import nightly

from jaxgen.nets import ConvClassifier, TextRecogniser

features = functools.partial(ConvClassifier.apply, method=ConvClassifier.features)


@pytest.mark.parametrize("size", [(16, 16), (15, 28), (1, 1)])
def test_logits_and_features_for_any_size(size):
    net, x = ConvClassifier(5, feature_dim=6, widths=(4, 8)), jnp.ones((2, *size, 3))
    logits, params = jax.eval_shape(net.init_with_output, jax.random.key(0), x)
    assert logits.shape == (2, 5)
    found = jax.eval_shape(functools.partial(features, net), params, x.astype(jnp.bfloat16))
    assert (found.shape, found.dtype) == ((2, 6), jnp.float32)


@pytest.mark.parametrize("size", [(16, 48), (15, 47), (8, 8)])
def test_logits_for_every_character_in_float32(size):
    net = TextRecogniser(7, 3, hidden=16, widths=(4, 8))
    for dtype in (jnp.float32, jnp.bfloat16):
        logits, _ = jax.eval_shape(net.init_with_output, jax.random.key(0), jnp.ones((2, *size, 1), dtype))
        assert (logits.shape, logits.dtype) == ((2, 3, 7), jnp.float32)


@pytest.mark.parametrize("net", [ConvClassifier(3, feature_dim=6, widths=(4,)), TextRecogniser(5, 2, 16, (4,))])
def test_examples_do_not_see_their_neighbours_and_logits_are_linear_in_the_features(net, random_params):
    x = jnp.asarray(np.random.default_rng(0).standard_normal((4, 8, 8, 1)), jnp.float32)
    params = random_params(net, x)
    both = lambda x: (net.apply(params, x), features(net, params, x) if isinstance(net, ConvClassifier) else x)
    apply = jax.jit(both)
    logits, found = apply(x)
    np.testing.assert_allclose(apply(x[::-1])[0][::-1], logits, atol=1e-4)
    np.testing.assert_allclose(apply(x.at[1:].multiply(-3.0))[0][0], logits[0], atol=1e-4)
    if isinstance(net, ConvClassifier):
        found, last = np.asarray(found), params["params"]["classify"]
        np.testing.assert_allclose(
            logits, found / (1 + np.exp(-found)) @ last["kernel"] + last["bias"], rtol=1e-5, atol=1e-5
        )


def test_default_costs_a_few_million_multiply_adds():
    net, x = ConvClassifier(5), jnp.zeros((1, 16, 16, 3))
    params = jax.eval_shape(net.init, jax.random.key(0), x)
    by_hand = 256 * 27 * 32 + 64 * 288 * 64 + 16 * 576 * 128 + 128 * 64 + 64 * 5
    assert abs(by_hand / 2.6e6 - 1) < 0.01
    # The compiler leaves out products with the zero padding (up to 31% at 4×4) and adds the norms and activations.
    flops = jax.jit(net.apply).lower(params, x).cost_analysis()["flops"]
    assert 0.7 < flops / (2 * by_hand) < 1.1


def stripes(key):
    """Horizontal or vertical stripes of random phase: no single pixel tells which."""
    keys = jax.random.split(key, 3)
    labels = jax.random.randint(keys[0], (64,), 0, 2)
    waves = jnp.sin(jnp.arange(8) * jnp.pi / 2 + 2 * jnp.pi * jax.random.uniform(keys[1], (64, 1)))
    waves = jnp.broadcast_to(waves[:, :, None, None], (64, 8, 8, 1))
    x = jnp.where(labels[:, None, None, None] == 0, waves, waves.swapaxes(1, 2))
    return x + 0.3 * jax.random.normal(keys[2], x.shape), labels


def cells(key):
    """Three cells, each of one of three textures at a random phase: which ones, from left to right."""
    keys = jax.random.split(key, 3)
    labels = jax.random.randint(keys[0], (64, 3), 0, 3)
    phases = 2 * jnp.pi * jax.random.uniform(keys[1], (64, 3, 1, 1))
    y, x = jnp.mgrid[:8, :8] * jnp.pi / 2
    textures = jnp.stack([jnp.sin(y + phases), jnp.sin(x + phases), jnp.sin(x + y + phases)])
    images = jnp.take_along_axis(textures, labels[None, :, :, None, None], axis=0)[0]
    images = images.transpose(0, 2, 1, 3).reshape(64, 8, 24, 1)
    return images + 0.2 * jax.random.normal(keys[2], images.shape), labels


@nightly(
    ("net", "batch", "rate", "steps"),
    [
        (ConvClassifier(2, feature_dim=8, widths=(16,)), stripes, 1e-2, 60),
        (TextRecogniser(3, 3, hidden=32, widths=(16, 16)), cells, 5e-3, 150),
    ],
)
def test_learns(net, batch, rate, steps):
    def loss(params, key):
        x, labels = batch(key)
        return optax.softmax_cross_entropy_with_integer_labels(net.apply(params, x), labels).mean()

    params = jax.jit(net.init)(jax.random.key(0, impl="rbg"), batch(jax.random.key(1))[0])
    optimiser = optax.adam(rate)
    state = optimiser.init(params)

    @functools.partial(jax.jit, donate_argnums=(0, 1))
    def step(params, state, key):
        updates, state = optimiser.update(jax.grad(loss)(params, key), state)
        return optax.apply_updates(params, updates), state

    for seed in range(steps):
        params, state = step(params, state, jax.random.key(seed))
    x, labels = batch(jax.random.key(1000))
    assert (net.apply(params, x).argmax(-1) == labels).reshape(64, -1).all(1).mean() > 0.95


@pytest.mark.parametrize("net", [ConvClassifier(2), TextRecogniser(2, 2)])
def test_refuses_what_is_not_a_batch_of_float_images(net):
    for x, message in [
        (jnp.zeros((8, 8, 3)), r"batch of images \(batch, height, width, channels\)"),
        (jnp.zeros((1, 8, 8, 3), jnp.uint8), "floating-point images, got uint8"),
    ]:
        with pytest.raises(ValueError, match=message):
            net.init(jax.random.key(0), x)
