import chex
import jax
import numpy as np
import pytest
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from scipy.stats import chi2

from jaxgen.data import Batches


def data(n=50):
    return {"image": np.arange(n * 4, dtype=np.float32).reshape(n, 2, 2, 1), "label": np.arange(n), "none": None}


def mesh():
    return Mesh(np.array(jax.devices()).reshape(4, 2), ("data", "model"))


def test_a_batch_gathers_the_same_examples_of_every_leaf():
    source = data()
    batches = Batches(source, batch_size=8, seed=1)
    batch, index = batches(3), batches.indices(3)
    chex.assert_shape(batch["image"], (8, 2, 2, 1))
    np.testing.assert_array_equal(batch["image"], source["image"][index])
    np.testing.assert_array_equal(batch["label"], index)
    assert batch["none"] is None
    assert all(isinstance(leaf, jax.Array) for leaf in jax.tree.leaves(batch))


@pytest.mark.parametrize(("n", "batch_size"), [(12, 4), (13, 4), (7, 7), (5, 3), (9, 1)])
def test_each_consecutive_n_examples_are_a_permutation(n, batch_size):
    batches = Batches(np.arange(n), batch_size, seed=0)
    drawn = np.concatenate([batches.indices(step) for step in range(4 * n)])
    epochs = drawn[: len(drawn) // n * n].reshape(-1, n)
    np.testing.assert_array_equal(np.sort(epochs, axis=1), np.tile(np.arange(n), (len(epochs), 1)))
    assert len({tuple(epoch) for epoch in epochs}) > 1
    assert batches.indices.steps_per_epoch == n / batch_size


def test_resuming_gives_the_same_batches():
    first = Batches(data(), 16, seed=5)
    for step in range(7):
        first(step)
    resumed = Batches(data(), 16, seed=5)
    for step in (7, 3, 10**7):
        chex.assert_trees_all_equal(first(step), resumed(step))


def test_seeds_give_unrelated_orders():
    epochs = {seed: [tuple(Batches(np.arange(20), 20, seed).indices(k)) for k in range(5)] for seed in (0, 1, 2)}
    assert len({epoch for several in epochs.values() for epoch in several}) == 15


def test_each_example_is_equally_likely_first():
    n, epochs = 10, 3000
    batches = Batches(np.arange(n), n, seed=2)
    counts = np.bincount([batches.indices(epoch)[0] for epoch in range(epochs)], minlength=n)
    statistic = ((counts - epochs / n) ** 2 / (epochs / n)).sum()
    assert chi2.sf(statistic, n - 1) > 1e-6


def test_the_gather_is_traced_once():
    traces = 0

    @jax.tree_util.register_pytree_node_class
    class Counted:
        """A container whose flattening shows each trace."""

        def __init__(self, leaf):
            self.leaf = leaf

        def tree_flatten(self):
            return (self.leaf,), None

        @classmethod
        def tree_unflatten(cls, _, leaves):
            nonlocal traces
            traces += isinstance(leaves[0], jax.core.Tracer)
            return cls(*leaves)

    batches = Batches(Counted(np.arange(30)), 8)
    batches(0)
    after_first = traces
    for step in range(1, 20):
        batches(step)
    assert traces == after_first > 0


def test_batches_are_sharded_over_the_data_axis():
    sharding = NamedSharding(mesh(), PartitionSpec("data"))
    sharded, single = Batches(data(), 8, seed=3, sharding=sharding), Batches(data(), 8, seed=3)
    for step in (0, 6, 7):
        batch = sharded(step)
        for leaf in jax.tree.leaves(batch):
            assert leaf.sharding.is_equivalent_to(sharding, leaf.ndim)
            assert {shard.data.shape[0] for shard in leaf.addressable_shards} == {2}
            assert len(leaf.sharding.device_set) == 8
        chex.assert_trees_all_equal(batch, single(step))


@pytest.mark.parametrize("spec", [PartitionSpec(("data", "model")), PartitionSpec(), PartitionSpec(None)])
def test_other_ways_to_lie_on_the_mesh(spec):
    batch = Batches(data(), 8, sharding=NamedSharding(mesh(), spec))(0)
    assert len(batch["image"].sharding.device_set) == 8
    rows = 1 if spec and spec[0] else 8
    assert {shard.data.shape[0] for shard in batch["image"].addressable_shards} == {rows}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((data(10), 11), "batch_size is 11; expected 1 to 10"),
        ((data(10), 0), "batch_size is 0; expected 1 to 10"),
        ((data(0), 1), "holds no examples: its arrays have a first axis of length 0"),
        (((), 1), "holds no arrays"),
        (((np.zeros(3), np.zeros(4)), 1), "first axes must be equal"),
        (((np.zeros(3), np.float32(1)), 1), "a scalar has no axis of examples"),
        ((data(10), 1, -1), "seed is -1"),
    ],
)
def test_bad_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        Batches(*arguments)


def test_bad_shardings_and_steps_are_refused():
    with pytest.raises(ValueError, match="batch_size is 6 but the sharding splits it 4 ways: take 8"):
        Batches(data(), 6, sharding=NamedSharding(mesh(), PartitionSpec("data")))
    with pytest.raises(ValueError, match="only the first axis"):
        Batches(data(), 8, sharding=NamedSharding(mesh(), PartitionSpec("data", "model")))
    with pytest.raises(ValueError, match="step is -1"):
        Batches(data(), 8)(-1)
