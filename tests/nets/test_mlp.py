import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxgen.nets import MLP


@pytest.mark.parametrize("event", [(), (1,), (2,), (3, 2), (2, 2, 2, 2)])
def test_any_event_shape(event):
    x, t = jnp.ones((5, *event)), jnp.zeros(5)
    out, _ = jax.eval_shape(MLP(width=7, depth=1).init_with_output, jax.random.key(0), x, t)
    assert out.shape == x.shape


def test_out_channels_replaces_the_last_axis_and_needs_one():
    x, t, net = jnp.ones((5, 3, 2)), jnp.zeros(5), MLP(width=8, depth=1, out_channels=4)
    out, _ = jax.eval_shape(net.init_with_output, jax.random.key(0), x, t)
    assert out.shape == (5, 3, 4)
    with pytest.raises(ValueError, match="out_channels=4 needs an event axis"):
        net.init(jax.random.key(0), jnp.ones(5), t)


def test_every_coordinate_reaches_every_output(random_params):
    net = MLP(width=16, depth=1)
    x, t = jax.random.normal(jax.random.key(0), (1, 2, 2)), jnp.zeros(1)
    params = random_params(net, x, t)
    jacobian = jax.jit(jax.jacobian(lambda x: net.apply(params, x, t)))(x).reshape(4, 4)
    assert np.abs(jacobian).min() > 0


@pytest.mark.slow
def test_learns_a_function_of_x_t_and_label():
    """eps = (x − α·m_y)/σ of Gaussians with given means: the exact answer that a denoising loss teaches."""
    net = MLP(width=32, depth=2, num_classes=2)
    means = jnp.array([[2.0, 0.0], [-1.0, 1.0]])

    def batch(key):
        keys = jax.random.split(key, 3)
        x, t = 2 * jax.random.normal(keys[0], (128, 2)), jax.random.uniform(keys[1], (128,), minval=0.1)
        y = jax.random.randint(keys[2], (128,), 0, 2)
        alpha, sigma = jnp.cos(t * jnp.pi / 2)[:, None], jnp.sin(t * jnp.pi / 2)[:, None]
        return x, t, y, sigma * (x - alpha * means[y])  # eps of unit Gaussians

    def loss(params, key):
        x, t, y, eps = batch(key)
        return jnp.mean((net.apply(params, x, t, y) - eps) ** 2) / jnp.mean(eps**2)

    params = jax.jit(net.init)(jax.random.key(0, impl="rbg"), *batch(jax.random.key(1))[:3])
    optimiser = optax.adam(3e-3)

    @functools.partial(jax.jit, donate_argnums=0)
    def step(carry, key):
        params, state = carry
        value, grads = jax.value_and_grad(loss)(params, key)
        updates, state = optimiser.update(grads, state)
        return (optax.apply_updates(params, updates), state), value

    carry, _ = jax.lax.scan(step, (params, optimiser.init(params)), jax.random.split(jax.random.key(2), 600))
    assert loss(carry[0], jax.random.key(3)) < 0.02
