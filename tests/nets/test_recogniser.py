import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxgen.nets import TextRecogniser


@pytest.mark.parametrize("size", [(16, 48), (15, 47), (8, 8)])
def test_logits_for_every_character_in_float32(size):
    net = TextRecogniser(7, 3, hidden=16, widths=(4, 8))
    for dtype in (jnp.float32, jnp.bfloat16):
        logits, _ = jax.eval_shape(net.init_with_output, jax.random.key(0), jnp.ones((2, *size, 1), dtype))
        assert (logits.shape, logits.dtype) == ((2, 3, 7), jnp.float32)


def test_examples_do_not_see_their_neighbours(random_params):
    net = TextRecogniser(5, 2, hidden=16, widths=(4, 8))
    x = jnp.asarray(np.random.default_rng(0).standard_normal((4, 8, 16, 1)), jnp.float32)
    params = random_params(net, x)
    apply = jax.jit(net.apply)
    np.testing.assert_allclose(apply(params, x)[::-1], apply(params, x[::-1]), atol=1e-4)
    np.testing.assert_allclose(apply(params, x.at[1:].multiply(-3.0))[0], apply(params, x)[0], atol=1e-4)


def test_learns_to_read_in_order():
    """Three cells, each of one of three textures at a random phase: which ones, from left to right."""
    net = TextRecogniser(3, 3, hidden=32, widths=(16, 16))

    @jax.jit
    def batch(key):
        keys = jax.random.split(key, 3)
        labels = jax.random.randint(keys[0], (64, 3), 0, 3)
        phases = 2 * jnp.pi * jax.random.uniform(keys[1], (64, 3, 1, 1))
        y, x = jnp.mgrid[:8, :8] * jnp.pi / 2
        textures = jnp.stack([jnp.sin(y + phases), jnp.sin(x + phases), jnp.sin(x + y + phases)])
        cells = jnp.take_along_axis(textures, labels[None, :, :, None, None], axis=0)[0]
        images = cells.transpose(0, 2, 1, 3).reshape(64, 8, 24, 1)
        return images + 0.2 * jax.random.normal(keys[2], images.shape), labels

    def loss(params, key):
        x, labels = batch(key)
        return optax.softmax_cross_entropy_with_integer_labels(net.apply(params, x), labels).mean()

    params = jax.jit(net.init)(jax.random.key(0, impl="rbg"), batch(jax.random.key(1))[0])
    optimiser = optax.adam(5e-3)
    state = optimiser.init(params)

    @functools.partial(jax.jit, donate_argnums=(0, 1))
    def step(params, state, key):
        updates, state = optimiser.update(jax.grad(loss)(params, key), state)
        return optax.apply_updates(params, updates), state

    for seed in range(150):
        params, state = step(params, state, jax.random.key(seed))
    x, labels = batch(jax.random.key(1000))
    assert (net.apply(params, x).argmax(-1) == labels).all(1).mean() > 0.95


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (jnp.zeros((8, 8, 3)), r"batch of images \(batch, height, width, channels\)"),
        (jnp.zeros((1, 8, 8, 3), jnp.uint8), "floating-point images, got uint8"),
    ],
)
def test_refuses_what_is_not_a_batch_of_float_images(x, message):
    with pytest.raises(ValueError, match=message):
        TextRecogniser(2, 2).init(jax.random.key(0), x)
