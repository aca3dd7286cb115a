"""The training part of the benchmark: what is measured, and its tables."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments import benchmark_peers as peers
from experiments.benchmark_report import show
from experiments.benchmark_training import (
    ADAM,
    OPTIMIZER,
    Trained,
    Workload,
    begin,
    compare_networks,
    loss_of,
    measure,
    peak_flops,
    scaling,
)
from experiments.timing import Subject, overhead, seconds, spread
from jaxgen.nets import MLP, UNet
from jaxgen.report import Report
from jaxgen.training import create_state, make_train_step

RATIOS = {"over bare": ".3f", "lower quartile": ".3f", "upper quartile": ".3f"}
PRECISION = {"over float32": ".2f", "lower quartile": ".2f", "upper quartile": ".2f"}
BOUND = 1.05  # of a step over its bare gradient
CAPTION = (
    "Training by the step alone on one batch, and by the whole loop with its log, its shuffled batches on the device "
    "or streamed from the host; each right beside as many calls of the compiled value and gradient alone. Medians and "
    "quartiles over the rounds. A step adds the optimiser, the average of the parameters and the norm of the "
    f"gradient; “{ADAM}” the optimiser alone, written as optax shows it. Waits are for a batch."
)


def write(report: Report, config: Any, net: UNet, other: peers.Network | None, progress: Callable[[str], None]) -> None:
    """Measures training on the first device and lays it out."""
    device, shape, batch = jax.devices()[0], (config.size, config.size, 3), config.batch_sizes[0]
    unet = Workload(net, shape, batch, config.training_steps)
    small = [Workload(MLP(), (2,), n, max(1, 12800 * config.training_steps // n), 10) for n in config.mlp_batch_sizes]
    report.section(f"Training on {device.platform.upper()}")

    def others(bare: Callable[[int], None]) -> dict[str, Subject]:
        if other is None:
            return {}
        images = batch, 3, config.size, config.size
        peers.set_threads(other, images)
        return {"diffusers and PyTorch": Subject(unet.steps, peers.training(other, images, unet.steps), bare)}

    say = lambda what: lambda i: progress(f"training, {what}: round {i}/{config.rounds}")  # noqa: E731
    first = f"U-Net, batch {batch}"
    measured = {first: (unet, measure(unet, config.rounds, say("U-Net"), others))}
    for work in small:
        name = f"MLP, batch {work.batch}"
        measured[name] = work, measure(work, config.rounds, say(name))
    ways = {name: way_rows(*found) for name, found in measured.items()}
    for name, rows in ways.items():
        show(f"Training, {name}", rows, formats=RATIOS)
        report.table(rows, f"{name}. {CAPTION if name == first else 'The same.'}", formats=RATIOS)
    report.finding(finding(measured))
    peak = peak_flops(device, jnp.float32)
    facts = [cost_row(name, *found, peak) for name, found in measured.items()]
    show("Cost of a step", facts, formats={})
    report.table(
        facts,
        f"Floating-point operations of a step's gradient as XLA counts them, what that makes of the {peak / 1e9:.3g} "
        "GFLOP/s of the largest matrix product tried on this device (float32), memory by XLA's own account, and "
        "compile times without and with a persistent cache that another run has filled.",
    )
    nets = {"float32": net, "bfloat16": net.clone(dtype=jnp.bfloat16), "float32, remat": net.clone(remat=True)}
    found = compare_networks(nets, unet, config.rounds, say("precision"))
    rows = [
        {
            "network": name,
            "over float32": overhead(timing).median,
            "lower quartile": overhead(timing).low,
            "upper quartile": overhead(timing).high,
            "memory (MiB)": size / 2**20,
        }
        for name, (timing, size) in found.items()
    ]
    show("Precision and memory", rows, formats=PRECISION)
    report.table(rows, "Time of a step over that in float32, and its memory: bfloat16, and remat.", formats=PRECISION)
    counts = tuple(n for n in config.training_devices if device.platform == "cpu" or n <= jax.device_count())
    scaled = []
    try:
        for how in ("data_parallel", "fully_sharded"):
            scaled += scaling(counts, how, config.features, config.size, batch, config.training_steps)
    except RuntimeError as error:  # what was measured before is worth its report
        report.text(f"Training on {counts} devices was not measured: {error}")
    if scaled:
        rows = scaling_rows(scaled)
        show("Devices", rows, formats={})
        report.table(rows, scaling_caption(device))
    report.metrics["training"] = {
        "ways": ways,
        "cost": facts,
        "scaling": scaled,
        "rounds": {name: trained.timings for name, (_, trained) in measured.items()},
    }


def way_rows(workload: Workload, trained: Trained) -> list[dict[str, Any]]:
    """One row per way to train."""
    return [
        {
            "way": way,
            "over bare": overhead(timing).median,
            "lower quartile": overhead(timing).low,
            "upper quartile": overhead(timing).high,
            "ms per step": 1e3 * spread(timing.run).median / workload.steps,
            "steps per second": workload.steps / spread(timing.run).median,
            "images per second": workload.steps * workload.batch / spread(timing.run).median,
            "waits (ms)": 1e3 * trained.waits[way] if way in trained.waits else None,
        }
        for way, timing in trained.timings.items()
    ]


def cost_row(name: str, workload: Workload, trained: Trained, peak: float) -> dict[str, Any]:
    """What a step takes."""
    alone, cached = compile_times(workload)
    per_step = spread(trained.timings["step"].run).median / workload.steps
    return {
        "network": name,
        "GFLOP per step": trained.flop / 1e9,
        "GFLOP/s": trained.flop / per_step / 1e9,
        "of the peak": f"{trained.flop / per_step / peak:.1%}",
        "memory (MiB)": trained.memory / 2**20,
        "compile (s)": alone,
        "compile, cached (s)": cached,
    }


def compile_times(workload: Workload) -> tuple[float, float]:
    """Seconds to trace, lower and compile a step without a persistent cache, and with one that has it."""
    kept = jax.config.jax_compilation_cache_dir, jax.config.jax_persistent_cache_min_compile_time_secs
    params, data = begin(workload)
    state, batch = create_state(jax.random.key(1), params, OPTIMIZER), jnp.asarray(data[: workload.batch])

    def compile() -> None:
        jax.clear_caches()
        make_train_step(loss_of(workload.net), OPTIMIZER).lower(state, batch).compile()

    with TemporaryDirectory() as directory:
        try:
            _cache(None, 0.0)
            alone = seconds(compile)
            _cache(directory, 0.0)
            compile()
            return alone, seconds(compile)
        finally:
            _cache(*kept)


def _cache(directory: str | Path | None, least: float) -> None:
    jax.config.update("jax_compilation_cache_dir", directory)
    jax.config.update("jax_persistent_cache_min_compile_time_secs", least)
    jax.experimental.compilation_cache.compilation_cache.reset_cache()


def scaling_rows(scaled: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """One row per number of devices; speed-up and losses against the fewest."""
    first = scaled[0]
    return [
        {
            "devices": row["devices"],
            "how": row["how"].replace("_", " "),
            "steps per second": 1 / row["seconds per step"],
            "speed-up": first["seconds per step"] / row["seconds per step"],
            "MiB per device": row["bytes of parameters and moments per device"] / 2**20,
            "losses differ by": float(np.max(np.abs(np.divide(row["losses"], first["losses"]) - 1))),
        }
        for row in scaled
    ]


def scaling_caption(device: jax.Device) -> str:
    """What the table of devices says, and what it cannot."""
    text = (
        "Training a small U-Net on so many devices, the batch of all together always the same. MiB: parameters and the "
        "optimiser's moments on each device. Losses: the largest relative difference of any step's loss from the "
        "first row's, by the same seed."
    )
    if device.platform == "cpu":
        text += " The devices share this machine's cores: the table shows what splitting costs, not what it gains."
    return text


def finding(measured: Mapping[str, tuple[Workload, Trained]]) -> str:
    """The sentence on the cost of training."""
    parts = []
    for name, (_, trained) in measured.items():
        ratios = {way: overhead(timing).median for way, timing in trained.timings.items()}
        best = min((way for way in ratios if way.startswith("fit")), key=ratios.get)
        whole = f"the whole loop {ratios[best]:.3f} ({best})"
        parts.append(f"{name}: {ADAM} {ratios[ADAM]:.3f}, a step {ratios['step']:.3f}, {whole}")
    within = all(overhead(trained.timings["step"]).median <= BOUND for _, trained in measured.values())
    return f"**Training** takes, in multiples of the bare value and gradient, {'; '.join(parts)}." + (
        "" if within else f" Not all are within {BOUND}: what a step adds to a gradient does not shrink with its batch."
    )
