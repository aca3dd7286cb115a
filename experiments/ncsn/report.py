"""The figures and tables of the NCSN report; its text is report.md."""

from pathlib import Path
from typing import Any

import numpy as np

from experiments.kit.frechet import FLOOR, FRECHET
from experiments.kit.run import Run
from experiments.ncsn.config import Config
from experiments.ncsn.measure import Change, Levels, Measured
from experiments.ncsn.variants import NCSN_V2
from jaxgen.metrics import mean_and_error
from jaxgen.report import Table, curves, image_grid, strip, table

DIFFERENCE = "minus NCSNv2's"


def write(run: Run[Config], measured: Measured) -> Path:
    """Write the report and return its path."""
    return run.write_report(
        Path(__file__).with_name("report.md"),
        values=measured,
        metrics=metrics(measured),
        figures=figures(measured),
        tables={
            "equations": table(equation_rows(measured)),
            "distances": narrow_table(distance_rows(measured)),
            "noise": narrow_table(noise_rows(measured)),
        },
    )


def narrow_table(rows: list[dict[str, Any]]) -> Table:
    """A table whose headers are short enough for the page."""
    return table(rows, {name: "difference" if name == DIFFERENCE else name for name in rows[0]})


def metrics(measured: Measured) -> dict[str, Any]:
    """The numbers for metrics.json."""
    ladder, whole = measured.ladder, measured.samples[NCSN_V2]
    return {
        "ladder": {
            "sigma_first": ladder.first,
            "gamma": measured.gamma,
            "levels": ladder.n,
            "step_size": whole.settings.step_size * ladder.last**2,
            "variance_ratio": measured.variance_ratio,
        },
        "held_out_loss": {name: of["eval/loss"][1][-1] for name, of in measured.history.items()},
        "variants": distance_rows(measured),
        "noise": noise_rows(measured),
        "distances": {name: of.distances for name, of in measured.samples.items()} | {FLOOR: measured.held_out},
    }


def equation_rows(measured: Measured) -> list[dict[str, Any]]:
    """What the equations of the first, second and fourth techniques give for these images."""
    ladder = measured.ladder
    quantities = [
        ("1", f"σ₁, the largest distance among {measured.examined} training images", ladder.first),
        ("2", f"γ at which levels overlap by half in {measured.dims} dimensions", measured.gamma),
        ("2", f"levels from σ₁ to σ_L = {ladder.last:g}", ladder.n),
    ]
    for name, ratio in measured.variance_ratio.items():
        step_size = measured.samples[name].settings.step_size
        quantities.append(("4", f"variance over σ² after a level, ε = {step_size:.3g} σ_L² ({name})", ratio))
    return [dict(zip(("technique", "quantity", "value"), row, strict=True)) for row in quantities]


def distance_rows(measured: Measured) -> list[dict[str, Any]]:
    """Settings and Fréchet distance of each variant, then of held-out images."""
    rows = []
    for name, of in measured.samples.items():
        row = dict.fromkeys(("σ₁", "levels", "T", "ε/σ_L²"))
        if of.settings is not None:
            row = dict(zip(row, of.settings[:4], strict=True))
        rows.append(
            {"variant": name, **row, "calls": of.calls, FRECHET: mean_and_error(of.distances),
             DIFFERENCE: difference(measured.distance_changes, name)}
        )  # fmt: skip
    return [*rows, dict.fromkeys(rows[0]) | {"variant": FLOOR, FRECHET: mean_and_error(measured.held_out)}]


def noise_rows(measured: Measured) -> list[dict[str, Any]]:
    """The noise in units of σ_L, predicted and measured."""
    return [
        {
            "variant": name,
            "predicted": None if of.settings is None else of.settings.predicted_noise,
            "chain's end": mean_and_error(of.chain_noise),
            "samples": mean_and_error(of.noise),
            DIFFERENCE: difference(measured.noise_changes, name),
            "noise images": float(of.noise_images.mean()),
        }
        for name, of in measured.samples.items()
    ]


def difference(changes: dict[str, Change], name: str) -> Any:
    """The mean difference of a variant from NCSNv2, where it has one."""
    return changes[name].difference if name in changes else None


def figures(measured: Measured) -> dict[str, Any]:
    """All figures by name."""
    losses = {name: of["eval/loss"] for name, of in measured.history.items()}
    samples = [np.clip(of.images, -1, 1) for of in measured.samples.values()]
    return {
        "data": image_grid(measured.real, 15),
        "loss": curves(losses, x_label="training step", y_label="held-out loss", log_y=True),
        "variants": image_grid(np.concatenate(samples), len(samples[0]), row_labels=list(measured.samples)),
        "levels": through_the_levels(measured.chains),
    }


def through_the_levels(chains: Levels) -> Any:
    """A few chains, level by level, divided by σ where that exceeds 1."""
    scale = np.maximum(1.0, chains.sigmas)[:, None, None, None, None]
    labels = [f"σ = {sigma:.2g}" for sigma in chains.sigmas]
    return strip(np.clip(chains.states / scale, -1, 1), labels)
