import threading
import time

import jax
import numpy as np
import pytest
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from jaxgen.data import Batches, StreamedBatches


def data(n=50):
    rng = np.random.default_rng(0)
    return {"x": rng.normal(size=(n, 3, 2)).astype(np.float32), "y": np.arange(n), "none": None}


def sharding():
    return NamedSharding(Mesh(np.asarray(jax.devices()), ("data",)), PartitionSpec("data"))


@pytest.mark.parametrize("where", [None, sharding])
def test_streamed_batches_are_those_of_the_device(where):
    where = where and where()
    streamed, resident = StreamedBatches(data(), 16, 5, where), Batches(data(), 16, 5, where)
    for step in [*range(9), 3, 4, 100, 101]:
        batch, expected = streamed(step), resident(step)
        for name in ("x", "y"):
            np.testing.assert_array_equal(batch[name], expected[name])
            assert batch[name].sharding.is_equivalent_to(expected[name].sharding, batch[name].ndim)
        assert batch["none"] is None
    assert streamed.indices.steps_per_epoch == resident.indices.steps_per_epoch == 50 / 16


class Slow:
    """An array whose rows take their time, and which notes who asks for how many."""

    def __init__(self, values, seconds=0.0):
        self.values, self.seconds, self.asked = values, seconds, []

    shape = property(lambda self: self.values.shape)

    def __getitem__(self, index):
        self.asked.append((len(index), threading.current_thread().name))
        time.sleep(self.seconds)
        return self.values[index]


def test_reading_overlaps_with_the_steps():
    slow = Slow(np.arange(64.0), seconds=0.05)
    batches = StreamedBatches(slow, 4)
    batches(0)
    waited = 0.0
    for step in range(1, 11):
        time.sleep(0.1)  # the step's own work
        started = time.perf_counter()
        batches(step)
        waited += time.perf_counter() - started
    assert waited < 0.5 * 10 * 0.05  # without overlap they would wait for all of the reading
    assert {name.startswith("batches") for _, name in slow.asked} == {True}


def test_only_the_rows_of_a_batch_are_read(tmp_path):
    slow = Slow(np.arange(1000.0))
    batches = StreamedBatches(slow, 8, sharding=sharding())
    batches(0)
    assert {n for n, _ in slow.asked} == {1}  # a row for each of eight devices
    np.save(tmp_path / "x.npy", np.arange(1000.0))
    mapped = StreamedBatches(np.load(tmp_path / "x.npy", mmap_mode="r"), 8)
    np.testing.assert_array_equal(mapped(2), batches(2))


def test_a_file_that_fails_is_reported_by_its_step():
    class Failing(Slow):
        def __getitem__(self, index):
            if len(self.asked) >= 3:
                raise OSError("the disk is gone")
            return super().__getitem__(index)

    batches = StreamedBatches(Failing(np.arange(64.0)), 4)
    for step in range(3):
        batches(step)
    with pytest.raises(OSError, match="the disk is gone"):
        batches(3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"batch_size": 51}, "batch_size is 51; expected 1 to 50"),
        ({"seed": -1}, "seed is -1"),
        ({"ahead": 0}, "ahead must be at least 1"),
    ],
)
def test_bad_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        StreamedBatches(data(), **{"batch_size": 5, **arguments})
    with pytest.raises(ValueError, match="batch_size is 12 but the sharding splits it 8 ways"):
        StreamedBatches(data(), 12, sharding=sharding())
    with pytest.raises(ValueError, match="step is -1; steps count from 0"):
        StreamedBatches(data(), 5)(-1)
