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


@pytest.mark.parametrize(("how", "accumulate"), [(split, 2), slow(split, 1), slow(whole, 1), slow(whole, 2)])
def test_eight_devices_train_like_one(accumulate, how, caplog):
    assert jax.device_count() == 8
    mesh = data_mesh()
    layout = how(start(), mesh)
    alone, spread = start(), place(start(), layout)
    step = make_train_step(loss, OPTIMIZER, accumulate=accumulate, layout=layout)
    batch = jax.device_put(DATA, batch_sharding(mesh))
    assert {s.data.shape for s in batch.addressable_shards} == {(4, 4)}
    before = jax.tree.map(lambda x: x.sharding, spread)
    with jax.log_compiles():
        for _ in range(10):
            spread, metrics = step(spread, batch)
    # compiled once: the state's layout comes out as it went in
    assert sum("Finished XLA compilation of jit(step)" in message for message in caplog.messages) == 1
    same = jax.tree.map(lambda x, was: x.sharding.is_equivalent_to(was, x.ndim), spread, before)
    assert jax.tree.all(same)
    step = make_train_step(loss, OPTIMIZER, accumulate=accumulate)
    for _ in range(10):
        alone, expected = step(alone, jnp.asarray(DATA))
    chex.assert_trees_all_close(metrics, expected, rtol=1e-4)
    spread = gather(spread)
    chex.assert_trees_all_close(spread.params, alone.params, rtol=1e-4, atol=1e-5)
    chex.assert_trees_all_close(spread.ema, alone.ema, rtol=1e-4, atol=1e-5)
    assert all(len(x.devices()) == 1 for x in jax.tree.leaves(spread))


@pytest.mark.parametrize(("how", "steps_per_call"), [(whole, 4), slow(whole, 1), slow(split, 1), slow(split, 4)])
def test_the_same_seed_gives_the_same_curve_on_any_number_of_devices(how, steps_per_call, daily):
    curves = []
    for n in (1, 8) if daily else (1, 2, 8):
        mesh = data_mesh(jax.devices()[:n])
        layout = how(start(), mesh)
        step = make_train_step(loss, OPTIMIZER, layout=layout)
        batches = Batches(DATA, 8, seed=3, sharding=batch_sharding(mesh))
        result = fit(
            step, place(start(), layout), batches, steps=30, steps_per_call=steps_per_call, log_every=1, progress=False
        )
        curves.append(result.history["loss"][1])
    assert curves[0][-10:].mean() < 0.8 * curves[0][:10].mean()
    for curve in curves[1:]:
        np.testing.assert_allclose(curve, curves[0], rtol=2e-5)


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
