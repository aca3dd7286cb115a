import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import NamedSharding, PartitionSpec
from oracles import slow

from jaxgen.data import Batches
from jaxgen.training import (
    Checkpoints,
    batch_sharding,
    create_state,
    data_mesh,
    fit,
    fully_sharded,
    gather,
    make_train_step,
    place,
    replicated,
)

DATA = np.random.default_rng(0).normal(size=(32, 4)).astype(np.float32)
OPTIMIZER = optax.adam(3e-2)


def loss(key, params, batch):
    hidden = jnp.tanh(batch @ params["in"] + 0.1 * jax.random.normal(key, (len(batch), 16)))
    return (hidden @ params["out"] - batch.sum(-1)) ** 2


def start():
    k1, k2 = jax.random.split(jax.random.key(1))
    params = {"in": jax.random.normal(k1, (4, 16)), "out": jax.random.normal(k2, (16,)) / 4}
    return create_state(jax.random.key(0), params, OPTIMIZER)


def split(state, mesh):
    return fully_sharded(state, mesh, min_size=16)


def whole(state, mesh):
    return replicated(mesh)


@pytest.mark.parametrize(
    ("how", "accumulate", "steps_per_call"),
    [(split, 2, 1), *[slow(how, 1, n) for how in (whole, split) for n in (1, 4)], slow(whole, 2, 1)],
)
def test_any_number_of_devices_trains_like_one(how, accumulate, steps_per_call, daily, caplog):
    assert jax.device_count() == 8

    def train(devices):
        mesh = data_mesh(jax.devices()[:devices])
        layout = how(start(), mesh) if devices > 1 else None
        state, sharding = (start(), None) if layout is None else (place(start(), layout), batch_sharding(mesh))
        before = jax.tree.map(lambda x: x.sharding, state)
        step = make_train_step(loss, OPTIMIZER, accumulate=accumulate, layout=layout)
        batches = Batches(DATA, 16, seed=3, sharding=sharding)
        state, history = fit(step, state, batches, steps=30, steps_per_call=steps_per_call, log_every=1, progress=False)
        # the layout comes out as it went in, so that the step is compiled once
        assert jax.tree.all(jax.tree.map(lambda x, was: x.sharding.is_equivalent_to(was, x.ndim), state, before))
        return gather(state), history["loss"][1]

    alone, curve = train(1)
    assert curve[-10:].mean() < 0.8 * curve[:10].mean()
    for devices in (8,) if daily else (2, 8):
        with jax.log_compiles():
            spread, losses = train(devices)
        np.testing.assert_allclose(losses, curve, rtol=1e-4)
        chex.assert_trees_all_close(spread.params, alone.params, rtol=1e-4, atol=1e-5)
        chex.assert_trees_all_close(spread.ema, alone.ema, rtol=1e-4, atol=1e-5)
        assert all(len(x.devices()) == 1 for x in jax.tree.leaves(spread))
    name = "jit(step)" if steps_per_call == 1 else "jit(scanned_steps)"
    compiled = sum(f"Finished XLA compilation of {name}" in message for message in caplog.messages)
    assert compiled == (1 if daily else 2)


def test_a_fully_sharded_state_takes_an_eighth_of_each_device():
    params = {"kernel": jnp.ones((3, 3, 64, 128)), "bias": jnp.ones(128), "odd": jnp.ones((127, 129))}
    state = create_state(jax.random.key(0), params, OPTIMIZER)
    layout = fully_sharded(state, data_mesh())
    assert layout.params["kernel"].spec == PartitionSpec(None, None, None, "data")
    assert layout.params["bias"].spec == layout.params["odd"].spec == layout.step.spec == PartitionSpec()
    spread = place(state, layout)
    for x in (spread.params, spread.ema, spread.opt_state[0].mu, spread.opt_state[0].nu):
        assert {s.data.size for s in x["kernel"].addressable_shards} == {3 * 3 * 64 * 128 // 8}


@pytest.mark.parametrize(
    ("saved", "restored", "how"),
    [
        (8, 2, split), (1, 8, whole),
        *[slow(*case) for case in ((2, 8, split), (1, 8, split), (8, 1, split))],
        *[slow(*case) for case in ((8, 2, whole), (2, 8, whole), (8, 1, whole))],
    ],
)  # fmt: skip
def test_a_checkpoint_is_restored_on_another_number_of_devices(tmp_path, saved, restored, how):
    state = start().replace(step=jnp.int32(7))
    meshes = [data_mesh(jax.devices()[:n]) for n in (saved, restored)]
    layouts = [split(state, meshes[0]), how(state, meshes[1])]
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(place(state, layouts[0]))
        found = checkpoints.restore(place(start(), layouts[1]))
    assert {len(x.devices()) for x in jax.tree.leaves(found)} == {restored}
    found = gather(found)
    for of in ("step", "params", "opt_state", "ema"):
        chex.assert_trees_all_equal(getattr(found, of), getattr(state, of))


def test_placed_copies_do_not_die_with_the_original():
    state = start()
    spread = place(state, replicated(data_mesh(jax.devices()[:2])))
    jax.jit(lambda s: s, donate_argnums=0)(spread)
    assert all(x.is_deleted() for x in jax.tree.leaves(spread))
    chex.assert_trees_all_equal(state.params, start().params)


def test_gathered_keys_are_keys():
    key = place(jax.random.key(3), NamedSharding(data_mesh(), PartitionSpec()))
    assert (jax.random.key_data(gather(key)) == jax.random.key_data(jax.random.key(3))).all()
