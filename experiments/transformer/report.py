"""The figures and tables of the report on transformers; its text is report.md."""

from pathlib import Path
from typing import Any

import numpy as np

from experiments.kit.frechet import FRECHET
from experiments.kit.run import Run
from experiments.transformer.config import Config
from experiments.transformer.measure import SHOWN, Measured
from experiments.transformer.train import DIT, UNET
from jaxgen.report import curves, image_grid, panels, table


def write(run: Run[Config], measured: Measured) -> Path:
    """Write the report and return its path."""
    rows = quality_rows(measured)
    return run.write_report(
        Path(__file__).with_name("report.md"),
        values=measured,
        metrics={
            "quality": rows,
            "held_out_distance": measured.held_out_distance,
            "seconds_per_step": {name: of.seconds_per_step for name, of in measured.networks.items()},
        },
        figures=figures(measured),
        tables={
            "quality": table(rows, best={FRECHET: "min", "held-out loss": "min"}),
            "cost": table(cost_rows(measured)),
        },
    )


def quality_rows(measured: Measured) -> list[dict[str, Any]]:
    """How good each network is."""
    return [
        {
            "network": name,
            "steps": of.steps,
            "held-out loss": of.history["eval/loss"][1][-1],
            FRECHET: of.distance,
        }
        | ({} if of.agreement is None else {"right class": of.agreement})
        for name, of in measured.networks.items()
    ]


def cost_rows(measured: Measured) -> list[dict[str, Any]]:
    """What each network costs."""
    return [
        {
            "network": name,
            "parameters (millions)": of.parameters / 1e6,
            "steps": of.steps,
            "ms per step": 1000 * of.seconds_per_step,
            "seconds of training": of.seconds,
            "seconds per set of samples": of.sampling_seconds,
        }
        for name, of in measured.networks.items()
    ]


def figures(measured: Measured) -> dict[str, Any]:
    """All figures by name."""
    held_out = {name: of.history["eval/loss"] for name, of in measured.networks.items()}
    seconds = {
        name: (steps * measured.networks[name].seconds_per_step, losses) for name, (steps, losses) in held_out.items()
    }
    return {
        "data": image_grid(measured.real, 15),
        "loss-by-step": curves(held_out, x_label="training step", y_label="loss on held-out images", log_y=True),
        "loss-by-second": curves(seconds, x_label="seconds of training", y_label="loss on held-out images", log_y=True),
        "samples": image_grid(
            np.concatenate([of.images for of in measured.networks.values()]), SHOWN, row_labels=list(measured.networks)
        ),
        "errors": errors(measured),
    }


def errors(measured: Measured) -> Any:
    """The error of each network at each noise level, and that of the transformers relative to the U-Net's."""
    base, levels = measured.networks[UNET].errors, measured.noise_levels
    return panels(
        {
            "mean squared error of x̂0": {name: (levels, of.errors) for name, of in measured.networks.items()},
            f"relative to the {UNET}": {
                name: (levels, of.errors / base) for name, of in measured.networks.items() if name.startswith(DIT)
            },
        },
        x_label="noise level σ/α",
        log_x=True,
    )
