"""The table of times relative to PyTorch's."""

from typing import Any

from experiments.benchmark.measure_pytorch import Against, PyTorch
from experiments.kit.timing import Spread, Timing, overhead, spread
from jaxgen.report import Table, table


def row(of: Against, steps: dict[str, int]) -> dict[str, Any]:
    """A task: milliseconds of one call, step or batch, and the ratios of JAX to PyTorch."""
    torch = of.one_device.network if of.shared is None else of.shared.network
    return {
        "task": of.task,
        "batch": of.batch,
        "PyTorch (ms)": _milliseconds(torch, steps[of.task]),
        "threads": of.threads,
        "one device (ms)": _milliseconds(of.one_device.run, steps[of.task]),
        "ratio": _quartiles(of.one_device),
        "cores share (ms)": None if of.shared is None else _milliseconds(of.shared.run, steps[of.task]),
        "ratio, cores share": "" if of.shared is None else _quartiles(of.shared),
    }


def tables(measured: PyTorch, training_steps: int) -> dict[str, Table]:
    """The report's table by name."""
    return {"pytorch": table(rows(measured, training_steps))}


def rows(measured: PyTorch, training_steps: int) -> list[dict[str, Any]]:
    """One row per task and batch size."""
    steps = {"call": training_steps, "training step": training_steps, "DDIM": 1}
    return [row(of, steps) for of in measured.tasks]


def record(measured: PyTorch, training_steps: int) -> dict[str, Any]:
    """The rows, and the seconds of every round."""
    return {"rows": rows(measured, training_steps), "rounds": [of._asdict() for of in measured.tasks]}


def _milliseconds(seconds: Any, steps: int) -> float:
    return 1e3 * spread(seconds).median / steps


def _quartiles(timing: Timing) -> str:
    ratio: Spread = overhead(timing)
    return f"{ratio.median:.2f} ({ratio.low:.2f}–{ratio.high:.2f})"
