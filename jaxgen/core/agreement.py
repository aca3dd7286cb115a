"""Agreement between the processes of a run, and between a batch and the devices that share it."""

import math

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import NamedSharding


def all_processes(condition: bool) -> bool:
    """Whether a condition holds in every process of this run.

    All processes must call it, because it waits for all of them.

    Args:
        condition: whether it holds in this process.

    Returns:
        Whether it holds in all processes, the same answer in each.
    """
    if jax.process_count() == 1:
        return condition
    return bool(np.all(multihost_utils.process_allgather(np.array(condition))))


def check_batch_sharding(sharding: NamedSharding, batch_size: int) -> None:
    """Check that a sharding splits batches along their first axis into equal parts.

    Args:
        sharding: the sharding of a batch.
        batch_size: examples per batch.

    Raises:
        ValueError: if another axis is split, or batch_size is not a multiple of the number of shards.
    """
    first, *rest = sharding.spec or (None,)
    if any(axis is not None for axis in rest):
        raise ValueError(f"sharding splits {sharding.spec}; only the first axis, that of examples, can be split.")
    axes = () if first is None else (first,) if isinstance(first, str) else first
    shards = math.prod(sharding.mesh.shape[axis] for axis in axes)
    if batch_size % shards:
        fitting = -(-batch_size // shards) * shards
        raise ValueError(f"batch_size is {batch_size} but the sharding splits it {shards} ways: take {fitting}.")
