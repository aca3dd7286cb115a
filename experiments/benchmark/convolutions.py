"""Which library should compute convolutions on a CPU, and should its cores share one device: prints a table.

XLA's settings hold for a whole process, so each choice is timed in a process of its own. The choices take turns.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import tyro

from experiments.benchmark.terminal import show
from experiments.benchmark.train import CHANNELS, OPTIMIZER, build, continued, loss_of, parameters
from experiments.kit.allocator import KEEP_MEMORY, VARIABLE
from experiments.kit.timing import threads
from jaxgen.report import table
from jaxgen.training import batch_sharding, create_state, data_mesh, make_train_step, place, replicated

EIGEN = "--xla_cpu_experimental_ynn_fusion_type=-individual_convolution"
CALLS = 10  # of the network, in one loop
LIBRARIES: dict[str, str] = {"YNNPACK": "", "Eigen": EIGEN}  # flags of XLA
CHILD = """
import json, sys
from experiments.benchmark.convolutions import time_here
print(json.dumps(time_here(**json.loads(sys.argv[1]))))
"""


class Times(NamedTuple):
    """Of one choice, milliseconds.

    Attributes:
        library: what computes convolutions.
        devices: devices that share a batch.
        call: a call of the network in a loop.
        cores_busy: processor time over wall time in that loop.
        steps: a training step, for each batch size.
    """

    library: str
    devices: int
    call: float
    cores_busy: float
    steps: dict[int, float]


def main(
    features: int = 32,
    multipliers: tuple[int, ...] = (1, 2, 2),
    size: int = 16,
    call_batch_size: int = 48,
    step_batch_sizes: tuple[int, ...] = (32, 64),
    rounds: int = 3,
    save: Path | None = None,
) -> None:
    """Time the U-Net's calls and training steps by both libraries, on one device and on a device for each core.

    Args:
        features: channels of the U-Net's first level.
        multipliers: channels of each level, in multiples of the first.
        size: height and width of the images in pixels.
        call_batch_size: images of a call.
        step_batch_sizes: images of a training step.
        rounds: how often each choice is timed.
        save: a JSON file for the times.
    """
    if jax.default_backend() != "cpu":
        raise SystemExit("this compares a CPU's libraries: set JAX_PLATFORMS=cpu")
    if min(features, size, call_batch_size, rounds, *multipliers, *step_batch_sizes) < 1:
        raise SystemExit("all numbers must be positive")
    cores = threads()
    if odd := [n for n in (call_batch_size, *step_batch_sizes) if n % cores]:
        raise SystemExit(f"{cores} cores cannot share batches of {odd}: give multiples of {cores}")
    choices = [(library, n) for n in dict.fromkeys((1, cores)) for library in LIBRARIES]
    work = {
        "features": features, "multipliers": multipliers, "size": size,
        "call_batch_size": call_batch_size, "step_batch_sizes": step_batch_sizes,
    }  # fmt: skip
    found: dict[tuple[str, int], list[Times]] = {choice: [] for choice in choices}
    for i in range(rounds):
        for choice in choices if i % 2 == 0 else reversed(choices):
            found[choice].append(in_process(*choice, work))
        print(f"round {i + 1}/{rounds}", flush=True)
    summary = [median(times) for times in found.values()]
    show(
        f"Convolutions, jaxlib {jax.lib.__version__}, {cores} cores; milliseconds",
        table(rows(summary, call_batch_size)),
    )
    if save is not None:
        save.write_text(json.dumps([of._asdict() for of in summary], indent=1))


def in_process(library: Literal["YNNPACK", "Eigen"], devices: int, work: dict[str, Any]) -> Times:
    """Time one choice in a process of its own.

    Raises:
        RuntimeError: if the process fails.
    """
    flags = f"{os.environ.get('XLA_FLAGS', '')} {LIBRARIES[library]} --xla_force_host_platform_device_count={devices}"
    environment = {VARIABLE: KEEP_MEMORY, **os.environ, "XLA_FLAGS": flags}
    command = [sys.executable, "-c", CHILD, json.dumps(work)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{library} on {devices} devices failed: {done.stderr.strip()[-2000:]}")
    found = json.loads(done.stdout.splitlines()[-1])
    return Times(library, devices, found["call"], found["cores_busy"], {int(n): t for n, t in found["steps"].items()})


def time_here(
    features: int, multipliers: tuple[int, ...], size: int, call_batch_size: int, step_batch_sizes: tuple[int, ...]
) -> dict[str, Any]:
    """Time calls and steps in this process; all of its devices share each batch."""
    net, shape = build("unet", features, tuple(multipliers)), (size, size, CHANNELS)
    mesh, params = data_mesh(jax.devices()), parameters(net, shape, 0)
    whole, shared = replicated(mesh), batch_sharding(mesh)

    @jax.jit
    def calls(params: Any, x: jax.Array) -> jax.Array:
        return jax.lax.fori_loop(0, CALLS, lambda i, x: net.apply(params, x, jnp.float32(0.5)), x)

    on_devices = place(params, whole)
    x = jax.device_put(jax.random.normal(jax.random.key(1), (call_batch_size, *shape)), shared)
    wall, processor = timed(lambda: calls(on_devices, x).block_until_ready())
    steps = {}
    for batch in step_batch_sizes:
        state = place(create_state(jax.random.key(2), params, OPTIMIZER), whole)
        images = jax.device_put(jax.random.normal(jax.random.key(3), (batch, *shape)), shared)
        step = make_train_step(loss_of(net), OPTIMIZER, layout=whole)
        steps[batch] = 1e3 * timed(partial(continued(step, state, images), 1))[0]
    return {"call": 1e3 * wall / CALLS, "cores_busy": processor / wall, "steps": steps}


def timed(work: Callable[[], Any], repeats: int = 7) -> tuple[float, float]:
    """Median wall-clock and processor seconds of work, after its first time."""
    work()
    seconds = []
    for _ in range(repeats):
        wall, processor = time.perf_counter(), time.process_time()
        work()
        seconds.append((time.perf_counter() - wall, time.process_time() - processor))
    wall, processor = np.median(seconds, axis=0)
    return float(wall), float(processor)


def median(times: list[Times]) -> Times:
    """The median of the rounds."""
    call, cores_busy = np.median([(of.call, of.cores_busy) for of in times], axis=0)
    steps = {n: float(np.median([of.steps[n] for of in times])) for n in times[0].steps}
    return times[0]._replace(call=float(call), cores_busy=float(cores_busy), steps=steps)


def rows(times: list[Times], call_batch_size: int) -> list[dict[str, Any]]:
    """The choices as rows of a table."""
    return [
        {
            "convolutions": of.library,
            "devices": of.devices,
            f"call in a loop, batch {call_batch_size}": of.call,
            "cores busy": of.cores_busy,
        }
        | {f"training step, batch {n}": step for n, step in of.steps.items()}
        for of in times
    ]


if __name__ == "__main__":
    tyro.cli(main, prog="python -m experiments.benchmark.convolutions")
