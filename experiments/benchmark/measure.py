"""What the benchmark measures: times of sampling and of training."""

import platform
from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import jax

from experiments.benchmark import peers
from experiments.benchmark.config import Config
from experiments.benchmark.cost import peak_flops
from experiments.benchmark.measure_pytorch import PyTorch, measure_pytorch
from experiments.benchmark.measure_sampling import Sampling, measure_sampling
from experiments.benchmark.measure_training import Training, measure_training
from experiments.kit.run import Run
from experiments.kit.timing import threads

DEFAULT_PRECISION = "JAX's default: TF32 on GPUs that have it, bfloat16 passes on TPUs, float32 on CPUs"


class Bounds(NamedTuple):
    """The overheads that we aim for: of a sampler of fixed steps, and of a training step."""

    sampling: float = 1.02
    training: float = 1.05


class Measured(NamedTuple):
    """Everything the report shows."""

    environment: dict[str, str]
    sampling: list[Sampling]  # by device and batch size; empty if it is not timed
    training: Training | None
    pytorch: PyTorch | None = None
    bounds: Bounds = Bounds()


def measure(run: Run[Config], devices: Sequence[jax.Device], *, with_peers: bool, load: float) -> Measured:
    """Time sampling on each device, and training on the first.

    Args:
        run: the run.
        devices: what to measure on.
        with_peers: whether to time diffusers too.
        load: the machine's load average before the run began.
    """
    config, sampling = run.config, []
    environment = run.stage("environment", lambda: describe(config, devices, with_peers))
    if config.part == "pytorch":
        return Measured(environment, [], None, measure_pytorch(run))
    if config.part != "training":
        for device in devices:
            peak = run.stage(f"peak/{device.platform}", partial(peak_flops, device, config.precision))
            for batch in config.batch_sizes:
                timed = partial(measure_sampling, config, device, batch, peak, with_peers=with_peers, load=load)
                sampling.append(run.stage(f"sampling/{device.platform}-{batch}", timed))
    training = measure_training(run, devices[0], with_peers=with_peers) if config.part != "sampling" else None
    return Measured(environment, sampling, training)


def describe(config: Config, devices: Sequence[jax.Device], with_peers: bool) -> dict[str, str]:
    """What the times depend on."""
    cache = "on (compile times may be those of a cache)" if jax.config.jax_compilation_cache_dir else "off"
    return {
        "devices": "; ".join(f"{device.platform} ({device.device_kind})" for device in devices),
        "processor": platform.processor() or platform.machine(),
        "threads": str(threads()),
        "precision of the sampling network": config.precision,
        "precision of float32 products": jax.config.jax_default_matmul_precision or DEFAULT_PRECISION,
        "jaxlib": jax.lib.__version__,
        "compilation cache": cache,
    } | (peers.versions() if with_peers else {})
