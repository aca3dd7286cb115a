"""The figures and tables of the report on controllable generation; its text is report.md."""

from pathlib import Path
from typing import Any

import numpy as np

from experiments.controllable.config import Config
from experiments.controllable.measure import Measured
from experiments.controllable.measure_classes import Classes
from experiments.controllable.measure_fills import Fills
from experiments.kit.frechet import FRECHET
from experiments.kit.run import Run
from jaxgen.report import curves, format_value, image_grid, table

ASKED = "read as the class asked for"
OBSERVED, HIDDEN, DIFFER, SPREAD = "observed part", "hidden part", "two fills", "spread"


def write(run: Run[Config], measured: Measured) -> Path:
    """Write the report and return its path."""
    rows = fill_rows(measured.fills)
    tables, metrics = {"fills": table(rows, formats={OBSERVED: short_error})}, {"fills": rows}
    if measured.classes is not None:
        by_scale = scale_rows(measured.classes)
        tables["scales"] = table(by_scale, best={ASKED: "max", FRECHET: "min"})
        metrics["classes"] = class_metrics(measured.classes, by_scale)
    return run.write_report(
        Path(__file__).with_name("report.md"),
        values=measured,
        metrics=metrics,
        figures=figures(measured),
        tables=tables,
    )


def fill_rows(fills: dict[str, Fills]) -> list[dict[str, Any]]:
    """A row for each task and method."""
    return [
        {
            "question": task.title,
            "method": method,
            OBSERVED: tuple(found.observed),
            HIDDEN: tuple(found.hidden),
            DIFFER: tuple(found.differ),
            SPREAD: tuple(found.spread),
        }
        for task in fills.values()
        for method, found in task.errors.items()
    ]


def short_error(error: tuple[float, float]) -> str:
    """An error with its standard error, or alone where it is rounding."""
    return format_value(error if error[0] > 1e-4 else error[0], 2)


def scale_rows(classes: Classes) -> list[dict[str, Any]]:
    """A row for each scale of guidance."""
    return [
        {"scale": scale, ASKED: tuple(of.share), FRECHET: of.frechet} for scale, of in classes.reading.by_scale.items()
    ]


def class_metrics(classes: Classes, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """The numbers on classes for metrics.json."""
    return {
        "table": rows,
        "noisy classifier": classes.accuracy_by_noise,
        "classifier": classes.classifier,
        "classifier by class": classes.by_class,
        "held-out images": classes.reading.floor,
    }


def figures(measured: Measured) -> dict[str, Any]:
    """All figures by name."""
    found = {
        "data": image_grid(measured.real, 15),
        "loss": curves(
            {"": measured.history["eval/loss"]}, x_label="training step", y_label="held-out loss", log_y=True
        ),
    }
    found |= {f"fills-{name}": fill_grid(task) for name, task in measured.fills.items()}
    if (classes := measured.classes) is not None:
        found["classifier"] = curves(
            {"": (list(classes.accuracy_by_noise), list(classes.accuracy_by_noise.values()))},
            x_label="noise σ/α",
            y_label="accuracy",
            log_x=True,
            levels={"most frequent class": classes.most_frequent},
        )
        found["classes"] = image_grid(np.concatenate(classes.images), len(classes.images[0]), row_labels=classes.names)
    return found


def fill_grid(task: Fills) -> Any:
    """The truth, the observation, and a row for each fill of each method."""
    rows = {"truth": [task.truth], "observed": [task.observed], **task.fills}
    labels = [name if i == 0 else "" for name, of in rows.items() for i in range(len(of))]
    return image_grid(np.concatenate([row for of in rows.values() for row in of]), len(task.truth), row_labels=labels)
