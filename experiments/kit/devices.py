"""How batches are shared on a CPU: each core is a device, because XLA runs a convolution on one core of its device."""

import os
from contextlib import suppress

import jax
from jax.sharding import Mesh, NamedSharding

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


def cores_devices(config: RunConfig, most: int) -> list[jax.Device]:
    """The devices of the cores that a run may use, `most` of them at most; none where the devices are no CPU."""
    if jax.default_backend() != "cpu" or jax.process_count() > 1:
        return []
    return jax.devices()[: min(_cores(config), most)]


def cores_mesh(config: RunConfig, batch_size: int, least: int = LEAST_EXAMPLES) -> Mesh | None:
    """The cores that share batches of this size: the most that divide it into parts of `least` examples or more.

    Returns:
        A mesh of their devices with the axis "data"; None if it is one, or the devices are no CPU.
    """
    devices = cores_devices(config, batch_size // least)
    sharing = max((n for n in range(1, len(devices) + 1) if batch_size % n == 0), default=1)
    return data_mesh(devices[:sharing]) if sharing > 1 else None


def cores_sharding(config: RunConfig, batch_size: int) -> NamedSharding | None:
    """The sharding of such batches; None where one device has them."""
    mesh = cores_mesh(config, batch_size)
    return None if mesh is None else batch_sharding(mesh)


def _cores(config: RunConfig) -> int:
    """The cores that may share a batch; one where all devices share it, or a run compiles longer than it computes."""
    if isinstance(config, TrainingConfig) and (config.data_parallel or config.fully_sharded):
        return 1
    return config.cores or (1 if config.preset == "smoke" else threads())
