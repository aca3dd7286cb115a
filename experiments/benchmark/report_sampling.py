"""The figures and tables of one device and batch size."""

from typing import Any

import numpy as np
from matplotlib.figure import Figure

from experiments.benchmark.measure_sampling import Sampling
from experiments.benchmark.samplers import FIXED
from experiments.kit.timing import overhead, spread
from jaxgen.report import Table, dot_plot, table

SPEED = (
    "sampler",
    "network calls",
    "overhead",
    "lower quartile",
    "upper quartile",
    "ms per image",
    "images per second",
    "MFU",
)
COST = ("sampler", "compile (s)", "first call (s)", "memory (MiB)")
FORMATS = {"overhead": ".3f", "lower quartile": ".3f", "upper quartile": ".3f", "MFU": ".1%"}
PEER_FORMATS = {
    "ratio": ".2f",
    "lower quartile": ".2f",
    "upper quartile": ".2f",
    "best": ".2f",
    "networks": ".2f",
    "their overhead": ".3f",
}


def rows(result: Sampling) -> list[dict[str, Any]]:
    """One row per sampler."""
    return [
        {
            "sampler": name,
            "network calls": sampled.calls,
            "overhead": result.overheads[name].median,
            "lower quartile": result.overheads[name].low,
            "upper quartile": result.overheads[name].high,
            "ms per image": 1e3 * np.median(sampled.timing.run) / (sampled.batches * result.batch),
            "images per second": sampled.batches * result.batch / np.median(sampled.timing.run),
            "MFU": result.utilisation(name),
            "compile (s)": sampled.compile_seconds,
            "first call (s)": sampled.first_call_seconds,
            "memory (MiB)": sampled.memory_bytes / 2**20,
        }
        for name, sampled in result.samplers.items()
    ]


def peer_rows(result: Sampling) -> list[dict[str, Any]]:
    """One row per sampler that diffusers has too; ratios are ours over theirs, below 1 where ours is faster."""
    found = []
    for name, peer in result.peers.items():
        ours, ratio = result.samplers[name], spread(result.ratio(name))
        found.append(
            {
                "sampler": name,
                "diffusers": peer.scheduler,
                "calls": str(ours.calls) if peer.calls == ours.calls else f"{ours.calls} / {peer.calls}",
                "ours (ms)": 1e3 * np.median(ours.timing.run) / result.batch,
                "theirs (ms)": 1e3 * np.median(peer.timing.run) / result.batch,
                "ratio": ratio.median,
                "lower quartile": ratio.low,
                "upper quartile": ratio.high,
                "best": ours.timing.run.min() / peer.timing.run.min(),
                "networks": result.network_ratio_of(name),
                "their overhead": overhead(peer.timing).median,
                "compile (s)": ours.compile_seconds,
            }
        )
    return found


def tables(result: Sampling) -> dict[str, Table]:
    """The report's tables by name."""
    found = {
        f"speed-{result.name}": table(rows(result), SPEED, formats=FORMATS),
        f"cost-{result.name}": table(rows(result), COST),
    }
    if result.peers:
        compared = peer_rows(result)
        shown = [name for name in compared[0] if "quartile" not in name and name != "diffusers"]
        formats = {name: how for name, how in PEER_FORMATS.items() if name in shown}
        found[f"diffusers-{result.name}"] = table(compared, shown, formats=formats)
    return found


def printed(result: Sampling) -> dict[str, Table]:
    """The terminal's tables by title."""
    found = {f"Samplers on {result.where}": table(rows(result), formats=FORMATS)}
    if result.peers:
        title = f"Time per image, ours and that of diffusers, on {result.where}"
        found[title] = table(peer_rows(result), formats=PEER_FORMATS)
    return found


def overhead_plot(result: Sampling, bound: float) -> Figure:
    """Overhead of each sampler."""
    # where the axis reaches far, the bound's name would cover that of 1
    near = max(value.high for value in result.overheads.values()) < 1.5
    return dot_plot(
        {
            "fixed steps": {name: value for name, value in result.overheads.items() if name in FIXED},
            "others": {name: value for name, value in result.overheads.items() if name not in FIXED},
        },
        x_label="time relative to the network calls alone",
        levels={f"{bound}": bound} | ({"1": 1.0} if near else {}),
    )


def peer_plot(result: Sampling) -> Figure:
    """Time per image of both libraries."""

    def milliseconds(of: dict[str, Any]) -> dict[str, Any]:
        return {name: spread(1e3 * of[name].timing.run / result.batch) for name in result.peers}

    return dot_plot(
        {"jaxgen": milliseconds(result.samplers), "diffusers": milliseconds(result.peers)},
        x_label="ms per image",
        log_x=True,
        row_height=31,
    )


def record(result: Sampling) -> dict[str, Any]:
    """Everything measured, unrounded, with the times of every round."""
    return {
        "device": result.platform,
        "device kind": result.device_kind,
        "batch": result.batch,
        "FLOP of a network call": result.flop,
        "peak FLOP per second": result.peak,
        "load": result.load,
        "network": {"ms per call in a loop": result.loop_ms, "ms per call from Python": result.python_ms},
        "threads of diffusers": result.peer_threads,
        "peak device bytes": result.device_peak_bytes,
        "samplers": [
            row | {"fixed steps": row["sampler"] in FIXED, "rounds": result.samplers[row["sampler"]].timing}
            for row in rows(result)
        ],
        "peers": [row | {"rounds": result.peers[row["sampler"]].timing} for row in peer_rows(result)],
    }
