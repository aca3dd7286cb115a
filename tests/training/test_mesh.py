import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxgen.training import batch_sharding, create_state, data_mesh, make_train_step, replicate

DATA = np.random.default_rng(0).normal(size=(32, 4)).astype(np.float32)
OPTIMIZER = optax.adam(1e-2)


def loss(key, params, batch):
    hidden = jnp.tanh(batch @ params["in"] + 0.1 * jax.random.normal(key, (len(batch), 16)))
    return (hidden @ params["out"] - batch.sum(-1)) ** 2


def start():
    k1, k2 = jax.random.split(jax.random.key(1))
    params = {"in": jax.random.normal(k1, (4, 16)), "out": jax.random.normal(k2, (16,)) / 4}
    return create_state(jax.random.key(0), params, OPTIMIZER)


@pytest.mark.parametrize("accumulate", [1, 2])
def test_eight_devices_train_like_one(accumulate, caplog):
    assert jax.device_count() == 8
    mesh = data_mesh()
    step = make_train_step(loss, OPTIMIZER, accumulate=accumulate)
    alone, spread = start(), replicate(start(), mesh)
    batch = jax.device_put(DATA, batch_sharding(mesh))
    assert {s.data.shape for s in batch.addressable_shards} == {(4, 4)}
    with jax.log_compiles():
        for _ in range(10):
            spread, metrics = step(spread, batch)
    # compiled once: the state's layout comes out as it went in
    assert sum("Finished XLA compilation of jit(step)" in message for message in caplog.messages) == 1
    for _ in range(10):
        alone, expected = step(alone, jnp.asarray(DATA))
    chex.assert_trees_all_close(metrics, expected, rtol=1e-4)
    chex.assert_trees_all_close(spread.params, alone.params, rtol=1e-4, atol=1e-5)
    chex.assert_trees_all_close(spread.ema, alone.ema, rtol=1e-4, atol=1e-5)
    assert all(x.is_fully_replicated and len(x.devices()) == 8 for x in jax.tree.leaves(spread))


def test_replicated_copies_do_not_die_with_the_original():
    state = start()
    spread = replicate(state, data_mesh(jax.devices()[:2]))
    jax.jit(lambda s: s, donate_argnums=0)(spread)
    assert all(x.is_deleted() for x in jax.tree.leaves(spread))
    chex.assert_trees_all_equal(state.params, start().params)
