"""Where a training step of the U-Net spends its time, beside diffusers' in PyTorch where that is installed: a table."""

import re
import tempfile
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import jax
import tyro

from experiments.benchmark import peers
from experiments.benchmark.config import Config
from experiments.benchmark.terminal import show
from experiments.benchmark.train import CHANNELS, OPTIMIZER, loss_of, network_of, parameters
from experiments.kit.devices import cores_mesh, use_cores
from jaxgen.report import table
from jaxgen.training import batch_sharding, create_state, make_train_step, place, replicated

# The first kind whose pattern occurs in the name of an operation is its kind. XLA names an operation by the path of
# the modules it stems from, such as jit(step)/transpose(jvp(UNet))/up_0_0/conv_1/conv_general_dilated.
KINDS = {
    "layouts of convolutions": r"UNet.*/(conv_\d|down_?sample|upsample|in|out)\w*/(transpose|pad|reshape|copy|rev)",
    "convolutions": r"conv_general_dilated",
    "normalization": r"norm",
    "SiLU": r"silu",
    "attention": r"attention",
    "rest of the network": r"UNet",
    "optimiser, noise, loss": r"",
}
PEER_KINDS = {
    "convolutions": r"conv",
    "normalization": r"norm",
    "SiLU": r"silu",
    "attention": r"attention|softmax|baddbmm|bmm",
    "optimiser, noise, loss": r"Optimizer|_foreach|fused_adam|randn|normal_|mse|rand\b|addcdiv|addcmul|sqrt|lerp",
    "rest of the network": r"",
}
BACKWARD = r"transpose\(jvp|[Bb]ackward"


def main(
    features: int = 32,
    multipliers: tuple[int, ...] = (1, 2, 2),
    size: int = 16,
    batch_size: int = 64,
    steps: int = 5,
    cores: int = 0,
) -> None:
    """Profile training steps and print the milliseconds of each kind of operation, forward and backward.

    Args:
        features: channels of the U-Net's first level.
        multipliers: channels of each level, in multiples of the first.
        size: height and width of the images in pixels.
        batch_size: images of a batch.
        steps: training steps that are profiled.
        cores: cores that share the batch, a device each; 0 for all.
    """
    if min(features, size, batch_size, steps, *multipliers) < 1 or cores < 0:
        raise SystemExit("all numbers must be positive")
    config = Config(
        features=features, multipliers=multipliers, size=size, step_batch_sizes=(batch_size,),
        training_steps=steps, cores=cores, part="sampling",
    )  # fmt: skip
    use_cores(config)
    ours, sharing = profile(config)
    theirs = profile_peer(config) if peers.wanted(config, jax.devices()) else {}
    title = f"A training step, batch {batch_size}: milliseconds (JAX: of processor time, over {sharing} devices)"
    show(title, table(rows(ours, theirs)))


def rows(ours: Mapping[tuple[str, bool], float], theirs: Mapping[tuple[str, bool], float]) -> list[dict[str, Any]]:
    """The kinds as rows, and their sum.

    Args:
        ours: milliseconds of (kind, whether backward) in JAX.
        theirs: the same in PyTorch; empty where it is not installed.
    """
    found = []
    for kind in (*KINDS, "sum"):
        row: dict[str, Any] = {"operations": kind}
        for name, times in {"JAX": ours, "PyTorch": theirs}.items():
            for backward in (False, True):
                parts = [ms for (of, back), ms in times.items() if back == backward and kind in (of, "sum")]
                if times:
                    row[f"{name}, {'backward' if backward else 'forward'}"] = sum(parts)
        found.append(row)
    return found


def profile(config: Config) -> tuple[dict[tuple[str, bool], float], int]:
    """Milliseconds of a step by (kind, whether backward), for each of the devices that share it; their number."""
    net, shape, batch = network_of(config), (config.size, config.size, CHANNELS), config.step_batch_sizes[0]
    mesh = cores_mesh(config, batch)
    layout = None if mesh is None else replicated(mesh)
    state = create_state(jax.random.key(1), parameters(net, shape, config.seed), OPTIMIZER)
    images = jax.random.normal(jax.random.key(2), (batch, *shape))
    if mesh is not None:
        state, images = place(state, layout), jax.device_put(images, batch_sharding(mesh))
    step = make_train_step(loss_of(net), OPTIMIZER, layout=layout).lower(state, images).compile()
    names = operation_names(step.as_text())
    state, _ = jax.block_until_ready(step(state, images))
    with tempfile.TemporaryDirectory() as directory:
        with jax.profiler.trace(directory):
            for _ in range(config.training_steps):
                state, _ = step(state, images)
            jax.block_until_ready(state)
        (trace,) = Path(directory).rglob("*.xplane.pb")
        events = list(operations(jax.profiler.ProfileData.from_file(str(trace))))
    sharing = 1 if mesh is None else mesh.size
    named = ((names.get(operation, ""), 1e-6 * ns) for operation, ns in events)
    return _by_kind(named, KINDS, config.training_steps * sharing), sharing


def operations(trace: Any) -> Iterable[tuple[str, float]]:
    """The name and nanoseconds of each operation that a device has run, from the profiler's trace."""
    for plane in trace.planes:
        for line in plane.lines:
            for event in line.events:
                operation = dict(event.stats).get("hlo_op")
                if operation is not None:
                    yield operation, event.duration_ns


def operation_names(compiled: str) -> dict[str, str]:
    """Of a compiled program's text: the path of modules that each operation stems from."""
    return dict(re.findall(r'^\s*(?:ROOT )?%(\S+) = .*op_name="([^"]*)"', compiled, flags=re.MULTILINE))


def profile_peer(config: Config) -> dict[tuple[str, bool], float]:
    """Milliseconds of a step of diffusers' network in PyTorch, by (kind, whether backward)."""
    import torch

    theirs, shape = peers.network_of(config, "cpu"), (config.step_batch_sizes[0], CHANNELS, config.size, config.size)
    peers.set_threads(theirs, shape)
    train = peers.training(theirs, shape, config.training_steps)
    train()
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as found:
        train()
    named = ((of.key, 1e-3 * of.self_cpu_time_total) for of in found.key_averages())
    return _by_kind(named, PEER_KINDS, config.training_steps)


def _by_kind(named: Iterable[tuple[str, float]], kinds: Mapping[str, str], steps: int) -> dict[tuple[str, bool], float]:
    found: Counter[tuple[str, bool]] = Counter()
    for name, ms in named:
        found[kind_of(name, kinds), re.search(BACKWARD, name) is not None] += ms / steps
    return dict(found)


def kind_of(name: str, kinds: Mapping[str, str]) -> str:
    """The kind of an operation, by its name."""
    return next(kind for kind, pattern in kinds.items() if re.search(pattern, name))


if __name__ == "__main__":
    tyro.cli(main, prog="python -m experiments.benchmark.step_profile")
