"""Times of training on a device, and on several."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp

from experiments.benchmark import peers
from experiments.benchmark.config import Config
from experiments.benchmark.cost import CompileTime, compile_times, peak_flops
from experiments.benchmark.devices import Scaled
from experiments.benchmark.measure_devices import measure_devices
from experiments.benchmark.measure_steps import Trained, Variant, time_training, time_variants
from experiments.benchmark.train import Workload, variants, workloads
from experiments.kit.run import Run
from experiments.kit.timing import Subject


class Training(NamedTuple):
    """Everything measured of training.

    Attributes:
        platform: the device's platform.
        trained: the networks; that on images first.
        compile_times: one for each of them.
        peak: FLOP per second of the largest matrix product, in float32.
        variants: the network on images in other precision, and with rematerialisation, by name.
        scaled: training on several devices.
        failure: why some of that was not measured, if it was not.
    """

    platform: str
    trained: list[Trained]
    compile_times: list[CompileTime]
    peak: float
    variants: dict[str, Variant]
    scaled: list[Scaled]
    failure: str | None


def measure_training(run: Run[Config], device: jax.Device, *, with_peers: bool) -> Training:
    """Time training on a device."""
    config, platform = run.config, device.platform
    named = workloads(config)
    first, *_ = named.values()

    def rounds(what: str) -> Callable[[int], None]:
        return lambda i: config.announce(f"training, {what}: round {i}/{config.rounds}")

    def timed(name: str, workload: Workload) -> Trained:
        others = partial(diffusers, config, platform, first) if with_peers and workload is first else lambda bare: {}
        network = name.removesuffix(f" {workload.batch}")
        return time_training(network, workload, config.rounds, rounds(name), others)

    def compared() -> dict[str, Variant]:
        return time_variants(variants(config), first, config.rounds, rounds("precision"))

    with default_device(device):
        trained = [run.stage(f"training/{name}", partial(timed, name, workload)) for name, workload in named.items()]
        peak = run.stage("peak", lambda: peak_flops(device, jnp.float32))
        by_precision = run.stage("precision", compared)
        # it clears the caches of compiled programs, so it comes last
        compiled = run.stage("compiling", lambda: compile_times([*named.values()]))
    scaled, failure = measure_devices(run, platform)
    return Training(platform, trained, compiled, peak, by_precision, scaled, failure)


def diffusers(config: Config, platform: str, workload: Workload, bare: Callable[[int], None]) -> dict[str, Subject]:
    """Training of diffusers' network by PyTorch, relative to our bare gradient."""
    shape = workload.batch, workload.shape[-1], *workload.shape[:-1]
    network = peers.network_of(config, platform)
    peers.set_threads(network, shape)
    return {"diffusers and PyTorch": Subject(workload.steps, peers.training(network, shape, workload.steps), bare)}


@contextmanager
def default_device(device: jax.Device) -> Iterator[None]:
    """Make a device JAX's default, in all threads."""
    before = jax.config.jax_default_device
    jax.config.update("jax_default_device", device)
    try:
        yield
    finally:
        jax.config.update("jax_default_device", before)
