"""The table of times relative to PyTorch's."""

from typing import Any

import numpy as np

from experiments.benchmark.measure_pytorch import Against, PyTorch
from experiments.kit.timing import Timing, overhead, spread
from jaxgen.report import Table, table


def row(of: Against) -> dict[str, Any]:
    """A task: milliseconds of one call, step or batch, and the ratios of JAX to PyTorch."""

    def milliseconds(seconds: np.ndarray) -> float:
        return 1e3 * spread(seconds).median / of.count

    return {
        "task": of.task,
        "batch": of.batch,
        "PyTorch (ms)": milliseconds((of.shared or of.one_device).network),
        "threads": of.threads,
        "one device (ms)": milliseconds(of.one_device.run),
        "ratio": _quartiles(of.one_device),
        "cores share (ms)": None if of.shared is None else milliseconds(of.shared.run),
        "ratio, cores share": "" if of.shared is None else _quartiles(of.shared),
    }


def tables(measured: PyTorch) -> dict[str, Table]:
    """The report's table by name."""
    return {"pytorch": table([row(of) for of in measured.tasks])}


def record(measured: PyTorch) -> dict[str, Any]:
    """The rows, and the seconds of every round."""
    return {"rows": [row(of) for of in measured.tasks], "rounds": [of._asdict() for of in measured.tasks]}


def _quartiles(timing: Timing) -> str:
    ratio = overhead(timing)
    return f"{ratio.median:.2f} ({ratio.low:.2f}–{ratio.high:.2f})"
