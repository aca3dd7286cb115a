"""What compiled programs cost beside their time, and what a device can do at most."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.experimental.compilation_cache import compilation_cache

from experiments.benchmark.train import OPTIMIZER, Workload, data, loss_of, parameters
from experiments.kit.timing import seconds
from jaxgen.training import create_state, make_train_step


class CompileTime(NamedTuple):
    """Seconds to trace, lower and compile a training step: with an empty persistent cache, and with one that has it."""

    empty: float
    cached: float


def peak_bytes(compiled: Any) -> float:
    """Bytes that a compiled program occupies at its peak, as XLA reports them."""
    memory = compiled.memory_analysis()
    size = memory.argument_size_in_bytes + memory.temp_size_in_bytes + memory.output_size_in_bytes
    return float(size - memory.alias_size_in_bytes)


def peak_flops(device: jax.Device, dtype: Any) -> float:
    """FLOP per second of a large matrix product, the largest rate of ten tries."""
    n = 1024 if device.platform == "cpu" else 8192
    x = jax.device_put(jnp.ones((n, n), dtype), device)
    product = jax.jit(jnp.matmul).lower(x, x).compile()
    product(x, x).block_until_ready()
    return 2 * n**3 / min(seconds(lambda: product(x, x).block_until_ready()) for _ in range(10))


def compile_times(workloads: Sequence[Workload]) -> list[CompileTime]:
    """Compile each training step twice: with an empty persistent cache, and with one that has the program."""
    before = jax.config.jax_compilation_cache_dir, jax.config.jax_persistent_cache_min_compile_time_secs
    inputs = []
    for workload in workloads:
        params = parameters(workload.net, workload.shape, workload.seed)
        inputs.append((create_state(jax.random.key(workload.seed + 1), params, OPTIMIZER), _batch(workload)))

    def compile_step(i: int) -> None:
        jax.clear_caches()
        make_train_step(loss_of(workloads[i].net), OPTIMIZER).lower(*inputs[i]).compile()

    with TemporaryDirectory() as directory:
        try:
            _set_cache(directory, 0.0)
            seconds_of = [partial(seconds, partial(compile_step, i)) for i in range(len(workloads))]
            return [CompileTime(timed(), timed()) for timed in seconds_of]
        finally:
            _set_cache(*before)


def _batch(workload: Workload) -> jax.Array:
    return jnp.asarray(data(workload)[: workload.batch])


def _set_cache(directory: str | Path | None, least: float) -> None:
    jax.config.update("jax_compilation_cache_dir", directory)
    jax.config.update("jax_persistent_cache_min_compile_time_secs", least)
    compilation_cache.reset_cache()
