"""The figures and tables of the sprites report; its text is report.md."""

from pathlib import Path
from typing import Any

import numpy as np

from experiments.kit.run import Run
from experiments.sprites.config import Config
from experiments.sprites.measure import Forward, Measured, Sampled
from jaxgen.report import animate, curves, image_grid, panels, strip, table, tradeoff

FLOOR = "held-out real images"


def write(run: Run[Config], measured: Measured) -> Path:
    """Write the report and return its path."""
    rows = quality_rows(measured)
    return run.write_report(
        Path(__file__).with_name("report.md"),
        values=measured,
        metrics=metrics(measured, rows),
        figures=figures(measured),
        tables={"quality": table(rows)},
    )


def quality_rows(measured: Measured) -> list[dict[str, Any]]:
    """A row for each method, then one for held-out images."""
    noised = f"{measured.shown} from noised images"
    methods = measured.methods | {noised: measured.noised, FLOOR: measured.held_out}

    def row(name: str, of: Sampled) -> dict[str, Any]:
        quality = {"Fréchet distance": of.frechet, "precision": of.precision, "recall": of.recall}
        cost = {"seconds per 50": of.seconds, "first 50 (s)": of.first_seconds}
        return {"method": name, "network calls": of.calls, **quality, **cost}

    return [{k: v for k, v in row(name, of).items() if v is not None} for name, of in methods.items()]


def metrics(measured: Measured, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """The numbers for metrics.json."""
    found = {
        "training": {"parameters": measured.parameters, "held_out_loss": measured.history["eval/loss"][1][-1]},
        "variety": {name: of.variety for name, of in measured.spread.items()},
        "detail": {name: of.detail for name, of in measured.spread.items()},
        "methods": rows,
    }
    if measured.classes is not None:
        found["class_agreement"] = measured.classes.agreement
        found["classifier_accuracy"] = measured.classifier.accuracy
    return found


def figures(measured: Measured) -> dict[str, Any]:
    """All figures by name."""
    first, *_ = measured.methods.values()
    pairs = np.concatenate([first.images[:12], measured.nearest])
    found = {
        "data": image_grid(measured.real, 15),
        "schedule": schedule(measured.forward),
        "forward": strip(measured.forward.path, [f"{step}" for step in measured.forward.steps]),
        "loss": curves(
            {
                "training": measured.history["loss"],
                "held out (averaged parameters)": measured.history["eval/loss"],
            },
            x_label="training step",
            y_label="ε-MSE",
            smooth={"training": 15},
            log_y=True,
        ),
        "ddpm": image_grid(first.images[:50], 10),
        "ddim": image_grid(measured.methods[measured.shown].images[:50], 10),
        "ddpm-without-z": image_grid(measured.silent, 10),
        "trajectory": animate(measured.trajectory, 10),
        "nearest": image_grid(pairs, len(pairs) // 2, row_labels=["sample", "nearest"]),
        "quality-and-time": quality_and_time(measured),
    }
    if measured.classes is not None:
        shown = measured.classes.images[:, :10]
        found["classes"] = image_grid(
            shown.reshape(-1, *shown.shape[2:]), shown.shape[1], row_labels=measured.classes.names
        )
    return found


def schedule(forward: Forward) -> Any:
    """β, the coefficients of signal and noise, and the log-SNR at each step."""
    step = np.arange(1, len(forward.beta) + 1)
    quantities = {
        "β": {"β": (step, forward.beta)},
        "signal and noise": {"α = √ᾱ": (step, forward.alpha), "σ = √(1−ᾱ)": (step, forward.sigma)},
        "log-SNR (nats)": {"log-SNR": (step, forward.log_snr)},
    }
    return panels(quantities, x_label="step")


def quality_and_time(measured: Measured) -> Any:
    """Fréchet distance against the seconds that fifty samples take."""
    first, *others = measured.methods
    groups = {"DDIM": {name: measured.methods[name] for name in others}, "DDPM": {first: measured.methods[first]}}
    groups["DDIM from noised images"] = {f"{measured.shown} from noised images": measured.noised}
    return tradeoff(
        {group: [(name, of.seconds, of.frechet) for name, of in members.items()] for group, members in groups.items()},
        x_label="seconds per 50 samples",
        y_label="Fréchet distance",
        levels={FLOOR: measured.held_out.frechet},
        log_x=True,
        log_y=True,
    )
