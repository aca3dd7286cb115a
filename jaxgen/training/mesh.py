"""Where arrays lie on many devices and processes: `jit` does the rest."""

import math
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, PyTree

Layout = PyTree
"""A sharding for each array of a tree, or one for all of them."""


def data_mesh(devices: Sequence[jax.Device] | None = None) -> Mesh:
    """A one-dimensional mesh with the axis "data" over `devices` (default: all, of every process)."""
    return Mesh(np.asarray(jax.devices() if devices is None else devices), ("data",))


def batch_sharding(mesh: Mesh) -> NamedSharding:
    """The sharding that splits the leading (batch) axis over the mesh."""
    return NamedSharding(mesh, PartitionSpec("data"))


def replicated(mesh: Mesh) -> Layout:
    """Data parallelism: the state whole on every device, while batches are split."""
    return NamedSharding(mesh, PartitionSpec())


def fully_sharded(state: PyTree, mesh: Mesh, *, min_size: int = 2**12) -> Layout:
    """Fully sharded data parallelism: of every array each device keeps one part (Rajbhandari et al. 2020, ZeRO-3).

    Arrays of `min_size` entries or more are split along their longest axis that the number of devices divides; others
    are whole on every device. The compiler gathers parameters where a layer needs them and scatters their gradients.
    """
    devices = mesh.shape["data"]

    def sharding(x: Array | np.ndarray | jax.ShapeDtypeStruct) -> NamedSharding:
        axes = [axis for axis, size in enumerate(x.shape) if size % devices == 0]
        if math.prod(x.shape) < min_size or not axes:
            return replicated(mesh)
        axis = max(axes, key=lambda axis: x.shape[axis])
        return NamedSharding(mesh, PartitionSpec(*[None] * axis, "data"))

    return jax.tree.map(sharding, state)


def place(tree: PyTree, layout: Layout) -> PyTree:
    """A copy of the arrays as `layout` has it; where it spans processes, each gives the same arrays."""
    layouts = jax.tree.broadcast(layout, tree)
    # copied first: device_put may share buffers with its argument, and a step that donates the result would delete both
    return jax.tree.map(lambda x, where: _place(jnp.copy(x), where), tree, layouts)


def gather(tree: PyTree) -> PyTree:
    """The arrays whole in every process, on its first device; all processes must call it together."""
    return jax.tree.map(_gather, tree)


def _place(x: Array, sharding: NamedSharding) -> Array:
    if sharding.is_fully_addressable:
        return jax.device_put(x, sharding)

    def spread(x: Array) -> Array:
        values = np.asarray(x)
        return jax.make_array_from_callback(x.shape, sharding, lambda part: values[part])

    return _by_data(spread, x)


def _gather(x: Array) -> Array:
    if x.is_fully_addressable or x.is_fully_replicated:
        return _by_data(lambda x: jnp.asarray(np.asarray(x)), x)
    return _by_data(lambda x: jnp.asarray(multihost_utils.process_allgather(x, tiled=True)), x)


def _by_data(move: Callable[[Array], Array], x: Array) -> Array:
    """move(x), and of keys by way of their numbers."""
    if not jnp.issubdtype(x.dtype, jax.dtypes.prng_key):
        return move(x)
    return jax.random.wrap_key_data(move(jax.random.key_data(x)), impl=jax.random.key_impl(x))
