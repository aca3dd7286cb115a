"""Shuffled batches of a dataset that lives on the device, as a pure function of (seed, step)."""

import functools
import math
import operator

import jax
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec
from jaxtyping import PyTree


class Batches:
    """Batches of examples drawn without replacement: `batches(step)` is the batch of that training step.

    A batch depends on (seed, step) alone, so a resumed run asks for its next step and replays nothing. Epochs run
    across batch borders: of the examples in order of `step`, each consecutive N are a fresh permutation of all N, and
    none is dropped (a batch that spans a border may hold an example twice).

    The data is put on the device(s) once, whole; a batch is one jitted gather.
    """

    def __init__(self, data: PyTree, batch_size: int, seed: int = 0, sharding: NamedSharding | None = None):
        """Put `data` on the device(s).

        Args:
            data: any pytree of arrays (N, ...) with one N, such as (images, labels), not to be changed afterwards; None
                leaves stay None.
            batch_size: examples in a batch, all devices together.
            seed: of the shuffling, from 0.
            sharding: how the batch axis lies on a mesh, such as NamedSharding(mesh, PartitionSpec("data")); the data is
                then replicated over that mesh.

        Raises:
            ValueError: no arrays, unequal leading axes, `batch_size` outside [1, N] or not divisible over the shards,
                a sharding that splits another axis than the first, or a negative seed.
        """
        self.num_examples = _leading_axis(data)
        if not 1 <= batch_size <= self.num_examples:
            raise ValueError(
                f"batch_size is {batch_size}; expected 1 to {self.num_examples}, the number of examples: lower it."
            )
        if seed < 0:
            raise ValueError(f"seed is {seed}; expected an integer from 0.")
        if sharding is not None:
            _check_sharding(sharding, batch_size)
        self.batch_size = batch_size
        self._sharding = sharding
        self._data = jax.device_put(data, None if sharding is None else NamedSharding(sharding.mesh, PartitionSpec()))
        # A batch spans two epochs at most, so two permutations are kept.
        self._permutation = functools.lru_cache(maxsize=2)(functools.partial(_permutation, self.num_examples, seed))
        self._gather = jax.jit(lambda data, index: jax.tree.map(lambda leaf: leaf[index], data), out_shardings=sharding)

    def __call__(self, step: int) -> PyTree:
        """Return the batch of `step` (a Python integer from 0) on the device(s), `data` with leaves (batch_size, ...).

        Raises:
            ValueError: `step` is negative.
        """
        return self._gather(self._data, jax.device_put(self.indices(step), self._sharding))

    def indices(self, step: int) -> np.ndarray:
        """Return which examples, (batch_size,) integers in [0, N), make up the batch of `step`."""
        if step < 0:
            raise ValueError(f"step is {step}; steps count from 0.")
        epoch, start = divmod(operator.index(step) * self.batch_size, self.num_examples)
        index = self._permutation(epoch)[start : start + self.batch_size]
        rest = self.batch_size - len(index)
        return np.concatenate([index, self._permutation(epoch + 1)[:rest]]) if rest else index

    @property
    def steps_per_epoch(self) -> float:
        """Steps in which every example is drawn once, N / batch_size; a fraction where N is not a multiple."""
        return self.num_examples / self.batch_size


def _permutation(n: int, seed: int, epoch: int) -> np.ndarray:
    # NumPy promises the raw bits of a seeded PCG64 for all versions; of Generator.permutation it does not.
    order = np.random.PCG64((seed, epoch)).random_raw(n).argsort(kind="stable").astype(np.int32)
    order.flags.writeable = False
    return order


def _leading_axis(data: PyTree) -> int:
    leaves = jax.tree.leaves(data)
    if not leaves:
        raise ValueError("data holds no arrays: pass a pytree of arrays (N, ...).")
    shapes = [np.shape(leaf) for leaf in leaves]
    if not all(shapes):
        raise ValueError(f"data has leaves of shapes {shapes}; a scalar has no axis of examples.")
    if len({shape[0] for shape in shapes}) > 1:
        raise ValueError(f"data has leaves of shapes {shapes}; their first axes must be equal, one entry per example.")
    return shapes[0][0]


def _check_sharding(sharding: NamedSharding, batch_size: int) -> None:
    first, *rest = sharding.spec or (None,)
    if any(axis is not None for axis in rest):
        raise ValueError(f"sharding splits {sharding.spec}; only the first axis, that of examples, can be split.")
    axes = () if first is None else (first,) if isinstance(first, str) else first
    shards = math.prod(sharding.mesh.shape[axis] for axis in axes)
    if batch_size % shards:
        raise ValueError(
            f"batch_size is {batch_size} but the sharding splits it {shards} ways: use a multiple of {shards}."
        )
