"""How batches are shared on a CPU: each core is a device, because XLA runs a convolution on one core of its device."""

import os
from contextlib import suppress
from typing import Any

import jax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from experiments.kit.config import RunConfig, TrainingConfig
from experiments.kit.timing import threads
from jaxgen.training import batch_sharding, data_mesh

LEAST_EXAMPLES = 4  # of a device


def use_cores(config: RunConfig) -> None:
    """Make each core that the run may use a device of JAX, unless JAX was told otherwise or computes already."""
    chosen = "JAX_NUM_CPU_DEVICES" in os.environ or "host_platform_device_count" in os.environ.get("XLA_FLAGS", "")
    if not chosen and (cores := _cores(config)) > 1:
        with suppress(RuntimeError):  # after its first computation
            jax.config.update("jax_num_cpu_devices", cores)


def cores_mesh(config: RunConfig, batch_size: int) -> Mesh | None:
    """The cores that share batches of this size: the most that divide it into four examples each or more.

    Returns:
        A mesh of their devices with the axis "data"; None if it is one, or the devices are no CPU.
    """
    return _sharing(config, batch_size, LEAST_EXAMPLES)


def cores_sharding(config: RunConfig, batch_size: int) -> NamedSharding | None:
    """The sharding of such batches; None where one device has them."""
    mesh = cores_mesh(config, batch_size)
    return None if mesh is None else batch_sharding(mesh)


def copies_mesh(config: RunConfig, copies: int) -> Mesh | None:
    """The cores that share networks trained side by side: the most that divide their number; None if it is one."""
    return _sharing(config, copies, 1)


def copies_layout(mesh: Mesh, stacked: Any) -> Any:
    """A sharding for each array of networks side by side: the first axis is shared, what has none is on every core."""
    shared, whole = (NamedSharding(mesh, PartitionSpec(*axes)) for axes in (("data",), ()))
    return jax.tree.map(lambda leaf: shared if leaf.ndim else whole, stacked)


def _sharing(config: RunConfig, count: int, least: int) -> Mesh | None:
    """The most cores that divide `count` into equal parts of at least so many."""
    if jax.default_backend() != "cpu" or jax.process_count() > 1:
        return None
    most = min(_cores(config), jax.device_count(), count // least)
    sharing = max((n for n in range(1, most + 1) if count % n == 0), default=1)
    return data_mesh(jax.devices()[:sharing]) if sharing > 1 else None


def _cores(config: RunConfig) -> int:
    """The cores that may share a batch; one where all devices share it, or a run compiles longer than it computes."""
    if isinstance(config, TrainingConfig) and (config.data_parallel or config.fully_sharded):
        return 1
    return config.cores or (1 if config.preset == "smoke" else threads())
