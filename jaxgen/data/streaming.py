"""Batches of a dataset that stays on the host or the disk, read ahead of the steps that need them."""

from collections import OrderedDict
from concurrent.futures import Future, ThreadPoolExecutor

import jax
import numpy as np
from jax.sharding import NamedSharding
from jaxtyping import PyTree

from jaxgen.data.indices import ShuffledIndices, leading_axis
from jaxgen.together import check_batch_sharding


class StreamedBatches:
    """The batches of `Batches`, of data that need not fit on the device: `batches(step)` for consecutive steps.

    A thread of its own gathers the rows of the next `ahead` batches and sends them to the device while the present one
    is being computed on. Of a memory-mapped array only these rows are read. On a mesh that spans several processes each
    of them reads the rows of its own devices alone, and the batches are the same for any number of processes.

    A memory-mapped file must keep its length: where it is cut short, the system ends the process with SIGBUS. Replace
    files by renaming; one that is deleted or replaced so stays readable to the end.
    """

    def __init__(
        self, data: PyTree, batch_size: int, seed: int = 0, sharding: NamedSharding | None = None, *, ahead: int = 2
    ):
        """Look at the shapes of `data`; nothing is read yet.

        Args:
            data: any pytree of arrays (N, ...) with one N, NumPy's or memory-mapped; None leaves stay None.
            batch_size: examples in a batch, all devices and processes together.
            seed: of the shuffling, from 0.
            sharding: how the batch axis lies on a mesh, such as NamedSharding(mesh, PartitionSpec("data")).
            ahead: batches that are read ahead, at least 1.

        Raises:
            ValueError: as `Batches`, and for `ahead` below 1.
        """
        if ahead < 1:
            raise ValueError(f"ahead is {ahead}; at least 1 batch is read ahead of its step.")
        self.indices = ShuffledIndices(leading_axis(data), batch_size, seed)
        if sharding is not None:
            check_batch_sharding(sharding, batch_size)
        self.batch_size = batch_size
        self._data, self._sharding, self._ahead = data, sharding, ahead
        self._reader = ThreadPoolExecutor(1, thread_name_prefix="batches")
        self._reading: OrderedDict[int, Future] = OrderedDict()

    def __call__(self, step: int) -> PyTree:
        """The batch of `step` on the device(s), `data` with leaves (batch_size, ...).

        Raises ValueError for a negative step, and whatever reading the data raises.
        """
        self._drop_all_but(range(step, step + 1 + self._ahead))
        for ahead in range(step, step + 1 + self._ahead):
            if ahead not in self._reading:
                self._reading[ahead] = self._reader.submit(self._read, self.indices(ahead))
        return self._reading.pop(step).result()

    def _read(self, index: np.ndarray) -> PyTree:
        def rows(leaf):
            if self._sharding is None:
                return jax.device_put(np.ascontiguousarray(leaf[index]))
            shape = (self.batch_size, *np.shape(leaf)[1:])
            return jax.make_array_from_callback(shape, self._sharding, lambda part: np.asarray(leaf[index[part[0]]]))

        return jax.tree.map(rows, self._data)

    def _drop_all_but(self, steps: range) -> None:
        """Forget what was read ahead of steps that are not taken after all."""
        for step in [step for step in self._reading if step not in steps]:
            self._reading.pop(step).cancel()
