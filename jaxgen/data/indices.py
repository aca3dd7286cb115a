"""The order in which training draws examples, as a pure function of (seed, step)."""

import functools
import operator

import jax
import numpy as np
from jaxtyping import Int, PyTree


class ShuffledIndices:
    """Shuffled indices without replacement: `indices(step)` are the examples of that training step's batch.

    Concatenated in the order of the steps, each consecutive N indices are a new permutation of all N examples. Batches
    run across the borders of epochs, so that none is smaller, and such a batch may hold an example twice.

    Args:
        num_examples: N, at least 1.
        batch_size: from 1 to N.
        seed: an integer from 0.

    Raises:
        ValueError: if an argument is out of range.
    """

    def __init__(self, num_examples: int, batch_size: int, seed: int = 0):
        if num_examples < 1:
            raise ValueError("data holds no examples: its arrays have a first axis of length 0.")
        if not 1 <= batch_size <= num_examples:
            raise ValueError(f"batch_size is {batch_size}; expected 1 to {num_examples}, the number of examples.")
        if seed < 0:
            raise ValueError(f"seed is {seed}; expected an integer from 0.")
        self.num_examples, self.batch_size = num_examples, batch_size
        # A batch spans at most two epochs.
        self._permutation = functools.lru_cache(maxsize=2)(functools.partial(_permutation, num_examples, seed))

    def __call__(self, step: int) -> Int[np.ndarray, " batch"]:
        """Return the indices in [0, N) of the batch of `step`; raises ValueError for a negative step."""
        if step < 0:
            raise ValueError(f"step is {step}; steps count from 0.")
        epoch, start = divmod(operator.index(step) * self.batch_size, self.num_examples)
        index = self._permutation(epoch)[start : start + self.batch_size]
        rest = self.batch_size - len(index)
        return np.concatenate([index, self._permutation(epoch + 1)[:rest]]) if rest else index

    @property
    def steps_per_epoch(self) -> float:
        """Number of steps in an epoch, N / batch_size, which need not be an integer."""
        return self.num_examples / self.batch_size


def leading_axis(data: PyTree) -> int:
    """Return the N of a pytree of arrays (N, ...); raises ValueError if they do not share one."""
    leaves = jax.tree.leaves(data)
    if not leaves:
        raise ValueError("data holds no arrays: pass a pytree of arrays (N, ...).")
    shapes = [np.shape(leaf) for leaf in leaves]
    if not all(shapes):
        raise ValueError(f"data has leaves of shapes {shapes}; a scalar has no axis of examples.")
    if len({shape[0] for shape in shapes}) > 1:
        raise ValueError(f"data has leaves of shapes {shapes}; their first axes must be equal, one entry per example.")
    return shapes[0][0]


def _permutation(n: int, seed: int, epoch: int) -> np.ndarray:
    # NumPy keeps the raw bits of a seeded PCG64 across versions, but not Generator.permutation.
    order = np.random.PCG64((seed, epoch)).random_raw(n).argsort(kind="stable").astype(np.int32)
    order.flags.writeable = False
    return order
