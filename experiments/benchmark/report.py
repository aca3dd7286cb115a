"""The figures and tables of the benchmark's report; its text is report.md."""

from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from experiments.benchmark import report_pytorch as pytorch
from experiments.benchmark import report_sampling as sampling
from experiments.benchmark import report_training as training
from experiments.benchmark.config import Config
from experiments.benchmark.measure import Measured
from experiments.benchmark.terminal import show
from experiments.kit.run import Run
from jaxgen.report import Table, table


def write(run: Run[Config], measured: Measured) -> Path:
    """Print the tables, write the report and return its path."""
    tables = {}
    for result in measured.sampling:
        tables |= sampling.tables(result)
        for title, printed in sampling.printed(result).items():
            show(title, printed)
    if measured.training is not None:
        tables |= training.tables(measured.training)
        for title, printed in training.printed(measured.training).items():
            show(title, printed)
    if measured.pytorch is not None:
        tables |= pytorch.tables(measured.pytorch)
        show("Beside PyTorch", tables["pytorch"])
    return run.write_report(
        Path(__file__).with_name("report.md"),
        values=measured,
        metrics=metrics(measured),
        figures=figures(measured),
        tables=tables | {"environment": environment(measured)},
    )


def figures(measured: Measured) -> dict[str, Figure]:
    """All figures by name."""
    found = {}
    for result in measured.sampling:
        found[f"overhead-{result.name}"] = sampling.overhead_plot(result, measured.bounds.sampling)
        if result.peers:
            found[f"peers-{result.name}"] = sampling.peer_plot(result)
    return found


def environment(measured: Measured) -> Table:
    """What the times depend on."""
    return table([{"quantity": name, "value": value} for name, value in measured.environment.items()])


def metrics(measured: Measured) -> dict[str, Any]:
    """The numbers for metrics.json."""
    found: dict[str, Any] = {"environment": measured.environment}
    if measured.sampling:
        first = measured.sampling[0]
        found["parameters"] = {"ours": first.parameters} | (
            {"diffusers": first.peer_parameters} if first.peer_parameters is not None else {}
        )
        found["results"] = [sampling.record(result) for result in measured.sampling]
    if measured.training is not None:
        found["training"] = training.record(measured.training)
    if measured.pytorch is not None:
        found["pytorch"] = pytorch.record(measured.pytorch)
    return found
