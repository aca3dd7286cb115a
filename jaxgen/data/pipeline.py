"""Batches of a dataset that is kept on the device."""

import functools
from collections.abc import Callable

import jax
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec
from jaxtyping import Array, Int, PyTree

from jaxgen.core import check_batch_sharding
from jaxgen.data.indices import ShuffledIndices, leading_axis


class Batches:
    """Shuffled batches of data on the device: `batches(step)` is the batch of that training step.

    The batch of a step depends on (seed, step) alone, as `ShuffledIndices` says, so a resumed run replays nothing. The
    data is copied to the device(s) once, whole; a batch is one jitted gather. `StreamedBatches` is for data that does
    not fit there, or that several processes share.

    `data`, `window` and the pure function `select(data, index)` let `fit` take several steps in one call.
    """

    def __init__(self, data: PyTree, batch_size: int, seed: int = 0, sharding: NamedSharding | None = None):
        """Put `data` on the device(s).

        Args:
            data: any pytree of arrays (N, ...) with one N, such as (images, labels). Do not change it afterwards. None
                leaves stay None.
            batch_size: examples in a batch over all devices, from 1 to N.
            seed: of the shuffling, an integer from 0.
            sharding: how the batch axis is split over a mesh, such as NamedSharding(mesh, PartitionSpec("data")). The
                data is replicated over the mesh.

        Raises:
            ValueError: if there are no arrays or no examples, first axes differ, `batch_size` lies outside [1, N] or is
                not divisible by the shards, the sharding splits another axis than the first, or seed < 0.
        """
        self.indices = ShuffledIndices(leading_axis(data), batch_size, seed)
        self._sharding = self._window_sharding = None
        whole = None
        if sharding is not None:
            check_batch_sharding(sharding, batch_size)
            self._sharding, whole = sharding, NamedSharding(sharding.mesh, PartitionSpec())
            self._window_sharding = NamedSharding(sharding.mesh, PartitionSpec(None, *sharding.spec))
        self.batch_size = batch_size
        self.data = jax.device_put(data, whole)
        self.select = _select(sharding)
        self._gather = jax.jit(self.select)

    def __call__(self, step: int) -> PyTree:
        """Return the batch of a step.

        Args:
            step: a step from 0.

        Returns:
            `data` with leaves (batch_size, ...).

        Raises:
            ValueError: if step < 0.
        """
        return self._gather(self.data, jax.device_put(self.indices(step), self._sharding))

    def window(self, step: int, n: int, length: int) -> Int[Array, "length batch"]:
        """Return the indices of the batches of n steps from `step`, on the device(s).

        Args:
            step: the first step, from 0.
            n: number of steps, at most `length`.
            length: number of rows.

        Returns:
            Indices (length, batch_size), int32; rows after the n-th are 0.

        Raises:
            ValueError: if step < 0.
        """
        rows = np.zeros((length, self.batch_size), np.int32)
        for i in range(n):
            rows[i] = self.indices(step + i)
        return jax.device_put(rows, self._window_sharding)


@functools.lru_cache(maxsize=64)
def _select(sharding: NamedSharding | None) -> Callable[[PyTree, Array], PyTree]:
    # Takes the data as an argument, so that no compiled function keeps data alive.

    def select(data: PyTree, index: Int[Array, " batch"]) -> PyTree:
        batch = jax.tree.map(lambda leaf: leaf[index], data)
        return batch if sharding is None else jax.lax.with_sharding_constraint(batch, sharding)

    return select
