"""What several devices and processes have to agree on."""

import math

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import NamedSharding


def all_processes(fine: bool) -> bool:
    """Whether it is so in every process of this run; all of them must ask together."""
    return fine if jax.process_count() == 1 else bool(np.all(multihost_utils.process_allgather(np.array(fine))))


def check_batch_sharding(sharding: NamedSharding, batch_size: int) -> None:
    """Raise ValueError for a sharding that does not split batches along their first axis into equal parts."""
    first, *rest = sharding.spec or (None,)
    if any(axis is not None for axis in rest):
        raise ValueError(f"sharding splits {sharding.spec}; only the first axis, that of examples, can be split.")
    axes = () if first is None else (first,) if isinstance(first, str) else first
    shards = math.prod(sharding.mesh.shape[axis] for axis in axes)
    if batch_size % shards:
        fitting = -(-batch_size // shards) * shards
        raise ValueError(f"batch_size is {batch_size} but the sharding splits it {shards} ways: take {fitting}.")
