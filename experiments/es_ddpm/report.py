"""The figures and tables of the ES-DDPM report; its text is report.md."""

from pathlib import Path
from typing import Any

import numpy as np

from experiments.es_ddpm.config import Config
from experiments.es_ddpm.measure import SHOWN, Measured
from experiments.es_ddpm.methods import CHAIN, VAE, late, longer
from experiments.kit.frechet import FLOOR, FRECHET
from experiments.kit.run import Run
from jaxgen.report import image_grid, panels, table, tradeoff


def write(run: Run[Config], measured: Measured) -> Path:
    """Write the report and return its path."""
    rows = quality_rows(measured)
    return run.write_report(
        Path(__file__).with_name("report.md"),
        values=measured,
        metrics={"methods": rows, "moved": measured.moved},
        figures=figures(measured, run.config.samples),
        tables={"quality": table(rows, best={FRECHET: "min"})},
    )


def quality_rows(measured: Measured) -> list[dict[str, Any]]:
    """A row for each method."""
    return [
        {
            "method": name,
            "calls": of.calls,
            FRECHET: of.compared.distance,
            "difference": None if name == CHAIN else of.compared.difference,
            "95 % bound": None if name == CHAIN else of.compared.bound,
            "seconds": of.seconds,
            "relative time": of.compared.time,
        }
        for name, of in measured.methods.items()
    ]


def figures(measured: Measured, samples: int) -> dict[str, Any]:
    """All figures by name."""
    shown = {VAE: VAE, **{f"T′ = {n}": late(n) for n in measured.starts}, CHAIN: CHAIN}
    drawn = np.concatenate([measured.methods[name].images for name in shown.values()])
    return {
        "data": image_grid(measured.real, 15),
        "loss": panels(
            {
                "VAE: −ELBO (nats)": {"": measured.histories["vae"]["eval/loss"]},
                "diffusion model: loss": {"": measured.histories["diffusion"]["eval/loss"]},
            },
            x_label="training step",
        ),
        "samples": image_grid(drawn, SHOWN, row_labels=list(shown)),
        "quality-and-time": quality_and_time(measured, samples),
    }


def quality_and_time(measured: Measured, samples: int) -> Any:
    """Fréchet distance against the seconds that a set takes."""
    groups = {
        "from T′ on": {f"T′ = {n}": late(n) for n in measured.starts},
        "DDPM from noise": {**{f"{n}": longer("DDPM", n) for n in measured.starts}, CHAIN: CHAIN},
        "DDIM from noise": {f"{n}": longer("DDIM", n) for n in measured.starts},
        "VAE alone": {VAE: VAE},
    }
    points = {
        group: [
            (label, measured.methods[name].seconds, measured.methods[name].compared.distance.mean)
            for label, name in members.items()
        ]
        for group, members in groups.items()
    }
    return tradeoff(
        points,
        x_label=f"seconds per {samples} samples",
        y_label=FRECHET,
        levels={FLOOR: measured.held_out_distance},
        log_x=True,
        log_y=True,
    )
