"""Batches of a dataset on the host or on disk, prefetched by a thread."""

from collections import OrderedDict
from concurrent.futures import Future, ThreadPoolExecutor

import jax
import numpy as np
from jax.sharding import NamedSharding
from jaxtyping import PyTree

from jaxgen.core import check_at_least, check_batch_sharding
from jaxgen.data.indices import ShuffledIndices, leading_axis


class StreamedBatches:
    """The batches of `Batches`, for data that need not fit on the device.

    A background thread gathers the rows of the next `ahead` batches and copies them to the device while the current
    step computes. Only these rows of a memory-mapped array are read. On a mesh over several processes, each process
    reads the rows of its own devices, and the batches do not depend on the number of processes.

    Do not truncate a memory-mapped file while it is in use: the system then ends the process with SIGBUS. Deleting it
    or renaming another file over it is safe.
    """

    def __init__(
        self, data: PyTree, batch_size: int, seed: int = 0, sharding: NamedSharding | None = None, *, ahead: int = 2
    ):
        """Check the shapes of `data`, without reading it.

        Args:
            data: any pytree of NumPy or memory-mapped arrays (N, ...) with one N. None leaves stay None.
            batch_size: examples in a batch over all devices and processes, from 1 to N.
            seed: of the shuffling, an integer from 0.
            sharding: how the batch axis is split over a mesh, such as NamedSharding(mesh, PartitionSpec("data")).
            ahead: number of batches to prefetch, at least 1.

        Raises:
            ValueError: if `ahead` < 1; and as `Batches` does.
        """
        check_at_least(1, ahead=ahead)
        self.indices = ShuffledIndices(leading_axis(data), batch_size, seed)
        if sharding is not None:
            check_batch_sharding(sharding, batch_size)
        self.batch_size = batch_size
        self._data, self._sharding, self._ahead = data, sharding, ahead
        self._reader = ThreadPoolExecutor(1, thread_name_prefix="batches")
        self._reading: OrderedDict[int, Future] = OrderedDict()

    def __call__(self, step: int) -> PyTree:
        """Return the batch of a step; fast for consecutive steps.

        An error in reading the data is raised here.

        Args:
            step: a step from 0.

        Returns:
            `data` with leaves (batch_size, ...).

        Raises:
            ValueError: if step < 0.
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
        """Drop prefetched batches of other steps."""
        for step in [step for step in self._reading if step not in steps]:
            self._reading.pop(step).cancel()
