"""Which examples a training step sees, as a pure function of (seed, step)."""

import functools
import operator

import jax
import numpy as np
from jaxtyping import Int, PyTree


class ShuffledIndices:
    """Examples in batches, drawn without replacement: `order(step)` are the indices of that training step.

    Epochs run across batch borders: of the examples in order of `step`, each consecutive N are a fresh permutation of
    all N, and none is dropped (a batch that spans a border may hold an example twice). Raises ValueError for a
    `batch_size` outside [1, N] and a negative seed.
    """

    def __init__(self, num_examples: int, batch_size: int, seed: int = 0):
        if not 1 <= batch_size <= num_examples:
            raise ValueError(
                f"batch_size is {batch_size}; expected 1 to {num_examples}, the number of examples: lower it."
            )
        if seed < 0:
            raise ValueError(f"seed is {seed}; expected an integer from 0.")
        self.num_examples, self.batch_size = num_examples, batch_size
        # A batch spans two epochs at most, so two permutations are kept.
        self._permutation = functools.lru_cache(maxsize=2)(functools.partial(_permutation, num_examples, seed))

    def __call__(self, step: int) -> Int[np.ndarray, " batch"]:
        """Which examples, integers in [0, N), make up the batch of `step`; raises ValueError for a negative one."""
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


def leading_axis(data: PyTree) -> int:
    """The number of examples of a pytree of arrays (N, ...); raises ValueError where there is not one N."""
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
    # NumPy promises the raw bits of a seeded PCG64 for all versions; of Generator.permutation it does not.
    order = np.random.PCG64((seed, epoch)).random_raw(n).argsort(kind="stable").astype(np.int32)
    order.flags.writeable = False
    return order
