"""Data parallelism: parameters on every device, the batch split between them, `jit` doing the rest."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import PyTree


def data_mesh(devices: Sequence[jax.Device] | None = None) -> Mesh:
    """A one-dimensional mesh with the axis "data" over `devices` (default: all)."""
    return Mesh(np.asarray(jax.devices() if devices is None else devices), ("data",))


def replicate(tree: PyTree, mesh: Mesh) -> PyTree:
    """A copy of the arrays on every device of the mesh."""
    # copied first: device_put may share buffers with its argument, and a step that donates the result would delete both
    return jax.device_put(jax.tree.map(jnp.copy, tree), NamedSharding(mesh, PartitionSpec()))


def batch_sharding(mesh: Mesh) -> NamedSharding:
    """The sharding that splits the leading (batch) axis over the mesh, for `jax.device_put(batch, …)`."""
    return NamedSharding(mesh, PartitionSpec("data"))
