"""The tables and figures of the benchmark, on the terminal and in its report."""

import platform
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from rich.console import Console
from rich.table import Table

from experiments.benchmark_peers import SCHEDULERS
from experiments.timing import Spread, Timing, overhead, spread, threads
from jaxgen.report import Report, dot_plot, table

BOUND = 1.02  # of the overhead, for samplers of fixed steps


class Peer(NamedTuple):
    """diffusers' sampler: its network calls and times."""

    calls: int
    timing: Timing


class Result(NamedTuple):
    """What was measured at one batch size on one device, by sampler."""

    device: jax.Device
    batch: int
    load: float
    compiled: Mapping[str, Any]
    timings: Mapping[str, Timing]
    single: Timing
    single_calls: int
    peers: Mapping[str, Peer]
    peer_threads: int | None

    @property
    def where(self) -> str:
        """The device and batch size in words."""
        return f"{self.device.platform.upper()}, batch {self.batch}"


SPEED = (
    "sampler",
    "network calls",
    "overhead",
    "lower quartile",
    "upper quartile",
    "ms per image",
    "images per second",
)
COST = ("sampler", "compile (s)", "first call (s)", "memory (MiB)")
FORMATS = {"overhead": ".3f", "lower quartile": ".3f", "upper quartile": ".3f"}
PEER_FORMATS = {
    "ratio": ".2f",
    "lower quartile": ".2f",
    "upper quartile": ".2f",
    "best": ".2f",
    "networks": ".2f",
    "their overhead": ".3f",
}


def rows(result: Result) -> list[dict[str, Any]]:
    """One row per sampler."""
    return [
        {
            "sampler": name,
            "network calls": made.subject.calls,
            "overhead": overhead(timing).median,
            "lower quartile": overhead(timing).low,
            "upper quartile": overhead(timing).high,
            "ms per image": 1e3 * np.median(timing.run) / (made.batches * result.batch),
            "images per second": made.batches * result.batch / np.median(timing.run),
            "compile (s)": made.compile_seconds,
            "first call (s)": made.first_call_seconds,
            "memory (MiB)": made.memory_bytes / 2**20,
        }
        for name, made, timing in ((name, result.compiled[name], result.timings[name]) for name in result.compiled)
    ]


def peer_rows(result: Result) -> list[dict[str, Any]]:
    """One row per sampler that diffusers has too; ratios are ours over theirs, below 1 where ours is faster."""
    found = []
    for name, (calls, theirs) in result.peers.items():
        ours, own_calls = result.timings[name], result.compiled[name].subject.calls
        found.append(
            {
                "sampler": name,
                "diffusers": SCHEDULERS[name][0].removesuffix("Scheduler"),
                "calls": str(own_calls) if calls == own_calls else f"{own_calls} / {calls}",
                "ours (ms)": 1e3 * np.median(ours.run) / result.batch,
                "theirs (ms)": 1e3 * np.median(theirs.run) / result.batch,
                "ratio": spread(ours.run / theirs.run).median,
                "lower quartile": spread(ours.run / theirs.run).low,
                "upper quartile": spread(ours.run / theirs.run).high,
                "best": ours.run.min() / theirs.run.min(),
                "networks": np.median((ours.network / own_calls) / (theirs.network / calls)),
                "their overhead": overhead(theirs).median,
                "compile (s)": result.compiled[name].compile_seconds,
            }
        )
    return found


def write(
    report: Report,
    results: Sequence[Result],
    fixed: Collection[str],
    facts: Mapping[str, str],
    parameters: Mapping[str, int],
) -> None:
    """Everything into the report, and the tables to the terminal."""
    for result in results:
        report.section(result.where)
        _network(report, result, parameters)
        _samplers(report, result, fixed, first=result is results[0])
        if result.peers:
            _peers(report, result)
    report.section("How it was measured")
    report.text(
        "The overhead of a sampler is its time over that of one compiled loop of as many bare network calls, each fed "
        "with the last one's output so that none can be left out. Calls from Python would be an easier yardstick: they "
        "count their dispatch, which a sampler does not have. Network calls are counted on the host while the sampler "
        "runs. Samplers and yardsticks run in turns, each sampler right beside its own yardstick, and every ratio is "
        "taken within such a pair: what else the machine does falls on both. Numbers are medians over the rounds, "
        "ranges and bars quartiles.\n\n"
        "Compile time is tracing, lowering and compiling; the first call adds one run. Memory is what the compiled "
        "program holds at its peak by XLA's own account: arguments (the parameters), temporaries and result.\n\n"
        "`generate` draws four batches and writes them to disk, all of which is timed.\n\n"
        + ", ".join(f"{name} {value}" for name, value in facts.items())
        + "."
    )
    report.metrics |= {
        "environment": dict(facts),
        "parameters": dict(parameters),
        "results": [_record(result, fixed) for result in results],
    }


def busy(load: float) -> bool:
    """Whether others use a good part of the machine."""
    return load > 0.3 * threads()


def environment(devices: Sequence[jax.Device]) -> dict[str, str]:
    """What the times depend on."""
    cache = "on (compile times may be those of a cache)" if jax.config.jax_compilation_cache_dir else "off"
    return {
        "devices:": "; ".join(f"{device.platform} ({device.device_kind})" for device in devices),
        "processor": platform.processor() or platform.machine(),
        "threads": str(threads()),
        "jaxlib": jax.lib.__version__,
        "compilation cache": cache,
    }


def _network(report: Report, result: Result, parameters: Mapping[str, int]) -> None:
    loop = spread(1e3 * result.single.network / result.single_calls)
    calls = spread(1e3 * result.single.run / result.single_calls)
    text = (
        f"A call of the network ({parameters['ours'] / 1e6:.2f} M parameters) takes {loop.median:.3g} ms "
        f"({_range(loop, 1)}) in a compiled loop and {calls.median:.3g} ms ({_range(calls, 1)}) from Python. "
    )
    if result.peers:
        theirs = spread(np.concatenate([1e3 * peer.timing.network / peer.calls for peer in result.peers.values()]))
        text += (
            f"The network of diffusers ({parameters['diffusers'] / 1e6:.2f} M parameters, the same levels, attention "
            f"and adaptive norms) takes {theirs.median:.3g} ms ({_range(theirs, 1)}) on {result.peer_threads} of "
            f"{threads()} threads, the number that was faster for PyTorch when tried first. "
        )
    report.text(text + f"The machine's load was {result.load:.1f} before the run began.")


def _samplers(report: Report, result: Result, fixed: Collection[str], first: bool) -> None:
    laid_out = rows(result)
    show(f"Samplers on {result.where}", laid_out, formats=FORMATS)
    over = {name: overhead(result.timings[name]) for name in result.compiled}
    report.figure(
        dot_plot(
            {
                "fixed steps": {name: value for name, value in over.items() if name in fixed},
                "others": {name: value for name, value in over.items() if name not in fixed},
            },
            x_label="time over that of its network calls alone",
            levels={f"{BOUND}": BOUND, "1": 1.0},
        ),
        f"overhead-{result.device.platform}-{result.batch}",
        f"Overhead of each sampler on {result.where}: median and quartiles.",
    )
    report.table(laid_out, f"Speed on {result.where}.", SPEED, formats=FORMATS)
    report.table(laid_out, f"What a first batch takes on {result.where}, and the memory of every batch.", COST)
    steps = {name: value.median for name, value in over.items() if name in fixed}
    if first and steps:
        worst = max(steps, key=steps.get)
        within = sum(value <= BOUND for value in steps.values())
        report.finding(
            f"**Overhead.** On {result.where}, {within} of {len(steps)} fixed-step samplers take at most {BOUND} times "
            f"as long as their network calls alone; `{worst}` has the most, {steps[worst]:.3f}."
        )


def _peers(report: Report, result: Result) -> None:
    compared = peer_rows(result)
    show(f"Time per image, ours and that of diffusers, on {result.where}", compared, formats=PEER_FORMATS)
    report.figure(
        dot_plot(
            {
                who: {name: spread(1e3 * of(name).run / result.batch) for name in result.peers}
                for who, of in (("jaxgen", result.timings.get), ("diffusers", lambda name: result.peers[name].timing))
            },
            x_label="ms per image",
            log_x=True,
            row_height=31,
        ),
        f"peers-{result.device.platform}-{result.batch}",
        f"Time per image beside diffusers on {result.where}: median and quartiles.",
    )
    report.table(
        compared,
        f"Time per image beside diffusers on {result.where}. Ratios are ours over theirs, below 1 where ours is "
        "faster: round by round, of each side's fastest round, and of the networks alone. Theirs runs uncompiled; ours "
        "is compiled once per sampler and batch size, in the seconds of the last column.",
        [name for name in compared[0] if "quartile" not in name and name != "diffusers"],
        formats={name: how for name, how in PEER_FORMATS.items() if "quartile" not in name},
    )
    if busy(result.load):
        report.text(
            f"**The machine was busy** (load {result.load:.1f} before this run). PyTorch's threads wait for "
            "each other more than XLA's do, so neighbours slow it more: take these ratios from a quiet machine."
        )
    ratios = {row["sampler"]: row["ratio"] for row in compared}
    low, high = min(ratios, key=ratios.get), max(ratios, key=ratios.get)
    networks = np.median([row["networks"] for row in compared])
    report.finding(
        f"**Beside diffusers.** On {result.where} ours takes {ratios[low]:.2f} (`{low}`) to {ratios[high]:.2f} "
        f"(`{high}`) of the time of diffusers; of the networks alone the ratio is {networks:.2f}."
        + (f" The machine was busy (load {result.load:.1f}), which slows PyTorch more." if busy(result.load) else "")
    )


def _record(result: Result, fixed: Collection[str]) -> dict[str, Any]:
    """Everything measured, unrounded, with every round's times."""
    stats = result.device.memory_stats() or {}
    return {
        "device": result.device.platform,
        "device kind": result.device.device_kind,
        "batch": result.batch,
        "load": result.load,
        "network": {
            "ms per call in a loop": spread(1e3 * result.single.network / result.single_calls),
            "ms per call from Python": spread(1e3 * result.single.run / result.single_calls),
        },
        "threads of diffusers": result.peer_threads,
        "peak device bytes": stats.get("peak_bytes_in_use"),
        "samplers": [
            row | {"fixed steps": row["sampler"] in fixed, "rounds": result.timings[row["sampler"]]}
            for row in rows(result)
        ],
        "peers": [row | {"rounds": result.peers[row["sampler"]].timing} for row in peer_rows(result)],
    }


def show(title: str, laid_out: Sequence[Mapping[str, Any]], formats: Mapping[str, str]) -> None:
    """Prints a table."""
    cells = table(laid_out, formats=formats)
    printed = Table(title=title, title_justify="left")
    for cell in cells.header:
        printed.add_column(cell.text, justify="right" if cell.number else "left")
    for row in cells.rows:
        printed.add_row(*(cell.text for cell in row))
    console = Console()
    # a pipe or a log file has no width of its own
    (console if console.is_terminal else Console(width=150)).print(printed)


def _range(of: Spread, decimals: int) -> str:
    return f"{of.low:.{decimals}f}–{of.high:.{decimals}f}"
