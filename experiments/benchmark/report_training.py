"""The tables of training."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from experiments.benchmark.cost import CompileTime
from experiments.benchmark.devices import Scaled
from experiments.benchmark.measure_steps import Trained, Variant
from experiments.benchmark.measure_training import Training
from experiments.kit.timing import overhead, spread
from jaxgen.report import Table, table

RATIOS = {"relative time": ".3f", "lower quartile": ".3f", "upper quartile": ".3f"}
PRECISION = {"relative time": ".2f", "lower quartile": ".2f", "upper quartile": ".2f"}


def way_rows(trained: Trained) -> list[dict[str, Any]]:
    """One row per way of training."""
    return [
        {
            "way": way,
            "relative time": overhead(timing).median,
            "lower quartile": overhead(timing).low,
            "upper quartile": overhead(timing).high,
            "ms per step": 1e3 * spread(timing.run).median / trained.steps,
            "steps per second": trained.steps / spread(timing.run).median,
            "images per second": trained.steps * trained.batch / spread(timing.run).median,
            "waits (ms)": 1e3 * trained.waits[way] if way in trained.waits else None,
        }
        for way, timing in trained.timings.items()
    ]


def cost_row(trained: Trained, compiled: CompileTime, peak: float) -> dict[str, Any]:
    """What a step costs."""
    return {
        "network": trained.title,
        "GFLOP per step": trained.flop / 1e9,
        "GFLOP/s": trained.flop_per_second / 1e9,
        "MFU": f"{trained.flop_per_second / peak:.1%}",
        "memory (MiB)": trained.memory_bytes / 2**20,
        "compile (s)": compiled.empty,
        "compile, cached (s)": compiled.cached,
    }


def cost_rows(training: Training) -> list[dict[str, Any]]:
    """One row per network and batch size."""
    pairs = zip(training.trained, training.compile_times, strict=True)
    return [cost_row(trained, compiled, training.peak) for trained, compiled in pairs]


def variant_row(name: str, variant: Variant) -> dict[str, Any]:
    """Time of a step relative to that in float32, and its memory."""
    relative = overhead(variant.timing)
    return {
        "network": name,
        "relative time": relative.median,
        "lower quartile": relative.low,
        "upper quartile": relative.high,
        "memory (MiB)": variant.memory_bytes / 2**20,
    }


def scaling_rows(scaled: Sequence[Scaled]) -> list[dict[str, Any]]:
    """One row per number of devices; speed-up and losses relative to the first."""
    first = scaled[0]
    return [
        {
            "devices": of.devices,
            "how": of.how.replace("_", " "),
            "steps per second": 1 / of.seconds_per_step,
            "speed-up": first.seconds_per_step / of.seconds_per_step,
            "MiB per device": of.bytes_per_device / 2**20,
            "losses differ by": float(np.max(np.abs(np.divide(of.losses, first.losses) - 1))),
        }
        for of in scaled
    ]


def tables(training: Training) -> dict[str, Table]:
    """The report's tables by name."""
    found = {f"training-{trained.name}": table(way_rows(trained), formats=RATIOS) for trained in training.trained}
    found["training-cost"] = table(cost_rows(training))
    variants = [variant_row(name, variant) for name, variant in training.variants.items()]
    found["precision"] = table(variants, formats=PRECISION)
    if training.scaled:
        found["devices"] = table(scaling_rows(training.scaled))
    return found


def printed(training: Training) -> dict[str, Table]:
    """The terminal's tables by title."""
    titles = {f"training-{trained.name}": f"Training, {trained.title}" for trained in training.trained}
    titles |= {"training-cost": "Cost of a step", "precision": "Precision and memory", "devices": "Devices"}
    found = tables(training)
    return {title: found[name] for name, title in titles.items() if name in found}


def record(training: Training) -> dict[str, Any]:
    """Everything measured, unrounded, with the times of every round."""
    return {
        "ways": {trained.title: way_rows(trained) for trained in training.trained},
        "cost": cost_rows(training),
        "precision": [variant_row(name, variant) for name, variant in training.variants.items()],
        "scaling": [of._asdict() for of in training.scaled],
        "rounds": {trained.title: trained.timings for trained in training.trained},
    }
