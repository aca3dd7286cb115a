"""Shardings of states and batches over devices and processes; `jit` follows them."""

import math
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, PyTree

Layout = PyTree
"""A sharding for each array of a tree, or one sharding for all."""


def data_mesh(devices: Sequence[jax.Device] | None = None) -> Mesh:
    """Arrange devices along one axis, "data".

    Args:
        devices: one or more devices, in order; None takes all devices of all processes.

    Returns:
        The mesh, with the axis "data".
    """
    return Mesh(np.asarray(jax.devices() if devices is None else devices), ("data",))


def batch_sharding(mesh: Mesh) -> NamedSharding:
    """Split the leading axis, that of the batch, over the mesh.

    Args:
        mesh: as `data_mesh` makes it. The number of its devices must divide the batch.

    Returns:
        The sharding.
    """
    return NamedSharding(mesh, PartitionSpec("data"))


def replicated(mesh: Mesh) -> Layout:
    """Return the layout of data parallelism: every device holds the whole state and a part of the batch.

    Args:
        mesh: as `data_mesh` makes it.

    Returns:
        One sharding for all arrays of the state.
    """
    return NamedSharding(mesh, PartitionSpec())


def fully_sharded(state: PyTree, mesh: Mesh, *, min_size: int = 2**12) -> Layout:
    """Return the layout of fully sharded data parallelism: every device holds a part of each large array.

    An array is split along the longest of the axes that the number of devices divides; an array without such an axis
    is whole on every device. The compiler gathers parameters where a layer needs them and scatters their gradients.

    Args:
        state: any pytree of arrays, or of their shapes.
        mesh: as `data_mesh` makes it.
        min_size: the number of entries below which an array is not split.

    Returns:
        A sharding for each array of the state.

    Reference:
        Rajbhandari et al. 2020, "ZeRO: Memory Optimizations Toward Training Trillion Parameter Models", stage 3.
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
    """Return a copy of the arrays in this layout.

    Args:
        tree: any pytree of arrays, such as a state. If the layout spans processes, each must give the same arrays.
        layout: a sharding for each array, or one for all.

    Returns:
        The tree, with its arrays on the devices of the layout.
    """
    layouts = jax.tree.broadcast(layout, tree)
    # device_put may share buffers with its argument, which a step that donates the result would delete
    return jax.tree.map(lambda x, where: _place(jnp.copy(x), where), tree, layouts)


def gather(tree: PyTree) -> PyTree:
    """Copy the whole arrays to the first device of each process.

    All processes must call it at the same point.

    Args:
        tree: any pytree of arrays, in any layout.

    Returns:
        The tree, with whole arrays on that device.
    """
    return jax.tree.map(_gather, tree)


def _place(x: Array, sharding: NamedSharding) -> Array:
    if sharding.is_fully_addressable:
        return jax.device_put(x, sharding)

    def spread(x: Array) -> Array:
        values = np.asarray(x)
        return jax.make_array_from_callback(x.shape, sharding, lambda part: values[part])

    return _move_data(spread, x)


def _gather(x: Array) -> Array:
    if x.is_fully_addressable or x.is_fully_replicated:
        return _move_data(lambda x: jnp.asarray(np.asarray(x)), x)
    return _move_data(lambda x: jnp.asarray(multihost_utils.process_allgather(x, tiled=True)), x)


def _move_data(move: Callable[[Array], Array], x: Array) -> Array:
    """Return move(x), applied to the key data of typed keys."""
    if not jnp.issubdtype(x.dtype, jax.dtypes.prng_key):
        return move(x)
    return jax.random.wrap_key_data(move(jax.random.key_data(x)), impl=jax.random.key_impl(x))
