"""Training on the first N devices, in a process of its own: prints its times and losses as JSON.

The number of CPU devices is fixed when JAX starts, so the benchmark runs this once for each number of devices.
"""

import json
import sys
import time
from collections.abc import Sequence
from typing import Literal, NamedTuple, get_args

import jax
import tyro
from jax.sharding import Mesh
from tyro.conf import Positional

from experiments.benchmark.train import CHANNELS, OPTIMIZER, Workload, build, data, loss_of, parameters
from jaxgen.data import Batches
from jaxgen.training import (
    batch_sharding,
    create_state,
    data_mesh,
    fit,
    fully_sharded,
    make_train_step,
    place,
    replicated,
)


class Scaled(NamedTuple):
    """Training on several devices.

    Attributes:
        devices: their number.
        how: how the state is laid out, "data_parallel" or "fully_sharded".
        seconds_per_step: seconds of a training step.
        bytes_per_device: bytes of parameters and the optimiser's moments on each device.
        losses: the loss of each of the first steps.
    """

    devices: int
    how: str
    seconds_per_step: float
    bytes_per_device: int
    losses: list[float]


Layout = Literal["data_parallel", "fully_sharded"]
LAYOUTS: tuple[Layout, ...] = get_args(Layout)


def train(
    n: Positional[int],
    features: Positional[int],
    size: Positional[int],
    batch: Positional[int],
    steps: Positional[int],
    /,
    layouts: tuple[Layout, ...] = LAYOUTS,
    network: Literal["unet", "mlp"] = "unet",
    multipliers: tuple[int, ...] = (1, 2),
    seed: int = 0,
) -> list[Scaled]:
    """Train a network on the first devices, laid out in each way: some steps for the losses, as many for the time.

    Args:
        n: number of devices.
        features: channels of the U-Net's first level, or the width of the MLP.
        size: height and width of the images in pixels.
        batch: examples of a batch, a multiple of n.
        steps: training steps, at least 1.
        layouts: data_parallel splits each batch; fully_sharded splits the parameters too.
        network: the U-Net, or a small MLP.
        multipliers: channels of each level, in multiples of the first.
        seed: seed of data and parameters.
    """
    if min(n, features, size, batch, steps, *multipliers) < 1:
        raise SystemExit("all numbers must be positive, and --multipliers needs at least one")
    if len(jax.devices()) < n:
        raise SystemExit(
            f"there are {len(jax.devices())} devices, not {n}: on a CPU, "
            f"set XLA_FLAGS=--xla_force_host_platform_device_count={n}"
        )
    if batch % n:
        raise SystemExit(f"a batch of {batch} cannot be split over {n} devices: give a multiple of them")
    workload = Workload(build(network, features, multipliers), (size, size, CHANNELS), batch, steps, seed=seed)
    return [train_laid_out(how, data_mesh(jax.devices()[:n]), workload) for how in layouts]


def train_laid_out(how: Layout, mesh: Mesh, workload: Workload) -> Scaled:
    """Train a network on the devices of a mesh."""
    steps, seed = workload.steps, workload.seed
    params = parameters(workload.net, workload.shape, seed)
    state = create_state(jax.random.key(seed + 1), params, OPTIMIZER)
    layout = fully_sharded(state, mesh) if how == "fully_sharded" else replicated(mesh)
    state, step = place(state, layout), make_train_step(loss_of(workload.net), OPTIMIZER, layout=layout)
    batches = Batches(data(workload), workload.batch, sharding=batch_sharding(mesh))
    first = fit(step, state, batches, steps=steps, log_every=1, progress=False)
    arrays = jax.tree.leaves((first.state.params, first.state.opt_state))
    bytes_per_device = sum(x.addressable_shards[0].data.nbytes for x in arrays)
    started = time.perf_counter()
    fit(step, first.state, batches, steps=2 * steps, log_every=steps, progress=False)
    seconds_per_step = (time.perf_counter() - started) / steps
    return Scaled(mesh.size, how, seconds_per_step, bytes_per_device, first.history["loss"][1].tolist())


def main(arguments: Sequence[str]) -> None:
    """Train as the command line asks, and print the result as one line of JSON."""
    scaled = tyro.cli(train, args=arguments, prog="python -m experiments.benchmark.devices")
    print(json.dumps([of._asdict() for of in scaled]))


if __name__ == "__main__":
    main(sys.argv[1:])
