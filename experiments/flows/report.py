"""The figures and tables of the report on flows; its text is report.md."""

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from experiments.flows.config import Config
from experiments.flows.densities import EXTENT
from experiments.flows.measure import Measured
from experiments.flows.measure_exam import Exam
from experiments.flows.measure_images import ImageResults
from experiments.kit.run import Run
from jaxgen.report import Panel2D, curves, image_grid, panels_2d, table

Rows = list[dict[str, Any]]


def write(run: Run[Config], measured: Measured) -> Path:
    """Write the report and return its path."""
    rows = all_rows(measured)
    return run.write_report(
        Path(__file__).with_name("report.md"),
        values=measured,
        metrics=rows | {"classifier accuracy": measured.accuracy},
        figures=figures(run.config, measured),
        tables={
            "gaps": table(rows["gaps"], formats={"seconds": ".0f", "mass": ".3f"}),
            "bits": table(rows["bits"]),
            "counterexamples": table(rows["exam"], digits=4),
        },
    )


def all_rows(measured: Measured) -> dict[str, Rows]:
    """The rows of every table."""
    return {
        "gaps": [
            {
                "density": density,
                "flow": kind,
                "nats": of.gap,
                "mass": of.mass,
                "inverse": of.round_trip,
                "calls": of.sampling,
                "parameters": of.parameters,
                "seconds": of.seconds,
            }
            for density, flows in measured.plane.items()
            for kind, of in flows.items()
        ],
        "bits": [
            {
                "data": name,
                "values": of.dims,
                "held-out images": of.bits,
                "with many draws": of.tight,
                "training images": of.train_bits,
                "uniform density": of.uniform,
                "parameters": of.parameters,
            }
            for name, of in measured.images.items()
        ],
        "exam": [
            {"model": of.name, "bits per dimension": of.bits, "Fréchet distance": of.frechet} | of.fixed
            for of in (measured.exam.flow, measured.exam.mixture, measured.exam.memory)
        ],
    }


def figures(config: Config, measured: Measured) -> dict[str, Figure]:
    """All figures by name."""
    return {
        "densities": densities(measured),
        "draws": draws(measured),
        "loss": curves(
            {
                f"{name}, {which}": history[series]
                for name, history in measured.histories.items()
                for which, series in (("training", "loss"), ("held-out", "eval/loss"))
            },
            x_label="step",
            y_label="bits per dimension",
            height=320,
        ),
        **{f"samples-{name}": samples(config, of) for name, of in measured.images.items()},
        **{f"interpolation-{name}": interpolation(of) for name, of in measured.images.items()},
        "exam": exam(measured.exam),
    }


def densities(measured: Measured) -> Figure:
    """The truth, and the density of each kind of flow."""
    rows = [
        [
            Panel2D("truth", heat=measured.truths[density].density),
            *(Panel2D(short(kind), heat=of.density) for kind, of in flows.items()),
        ]
        for density, flows in measured.plane.items()
    ]
    highest = max(float(of.density.max()) for of in measured.truths.values())
    return panels_2d(folded(rows), EXTENT, color_label="density", log_color=False, color_limits=(0, 1.2 * highest))


def draws(measured: Measured) -> Figure:
    """Draws of the truth and of each kind of flow."""
    rows = [
        [
            Panel2D("truth", points=measured.truths[density].draws),
            *(Panel2D(short(kind), points=of.draws) for kind, of in flows.items()),
        ]
        for density, flows in measured.plane.items()
    ]
    return panels_2d(folded(rows), EXTENT)


def folded(rows: list[list[Panel2D]]) -> list[list[Panel2D]]:
    """Rows of three panels."""
    return [row[i : i + 3] for row in rows for i in range(0, len(row), 3)]


def short(kind: str) -> str:
    """A title that fits above a panel."""
    return kind.replace("continuous, ", "continuous,\n").replace("autoregressive spline", "autoregressive\nspline")


def samples(config: Config, of: ImageResults) -> Figure:
    """Training images, and samples at every temperature."""
    shown = np.concatenate([of.data[None], of.samples])
    names = ["data", *(f"T = {t:g}" for t in config.temperatures)]
    return image_grid(shown.reshape(-1, *shown.shape[2:]), len(of.data), row_labels=names)


def interpolation(of: ImageResults) -> Figure:
    """A row for each pair of held-out images."""
    path = of.interpolations
    return image_grid(path.reshape(-1, *path.shape[2:]), path.shape[1])


def exam(of: Exam) -> Figure:
    """Samples of the three models."""
    each = (of.flow, of.mixture, of.memory)
    shown = np.stack([model.samples for model in each])
    names = ["flow", "mixture", "memory"]
    half = shown.shape[1] // 2
    return image_grid(shown[:, :half].reshape(-1, *shown.shape[2:]), half, row_labels=names)
