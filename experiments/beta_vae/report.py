"""The figures and tables of the β-VAE report; its text is report.md."""

from pathlib import Path
from typing import Any

import numpy as np

from experiments.beta_vae.config import Config
from experiments.beta_vae.measure import Measured
from experiments.beta_vae.measure_codes import SHOWN, VALUES
from experiments.beta_vae.measure_scores import values
from experiments.kit.run import Run
from jaxgen.report import Panel2D, dot_plot, image_grid, panels, panels_2d, table

SCORES = {
    "mig": "MIG (Locatello)", "chen": "MIG (Chen)", "disentanglement": "DCI", "modularity": "modularity", "sap": "SAP",
}  # fmt: skip
COSTS = {"reconstruction": "reconstruction", "kl": "KL", "active": "dimensions in use"}
PANELS_IN_A_ROW = 4


def write(run: Run[Config], measured: Measured) -> Path:
    """Write the report and return its path."""
    return run.write_report(
        Path(__file__).with_name("report.md"),
        values=measured,
        metrics={"scores": {beta: [each._asdict() for each in of] for beta, of in measured.scores.items()}},
        figures=figures(measured),
        tables=tables(measured),
    )


def tables(measured: Measured) -> dict[str, Any]:
    """All tables by name."""

    def by_beta(columns: dict[str, str]) -> list[dict[str, Any]]:
        return [
            {"β": beta} | {column: measured.means[name][beta] for name, column in columns.items()}
            for beta in measured.scores
        ]

    return {
        "scores": table(by_beta(SCORES), best={SCORES["mig"]: "max", SCORES["chen"]: "max"}),
        "costs": table(by_beta(COSTS)),
        "factors": table([{"β": beta} | of for beta, of in measured.gaps.items()]),
    }


def figures(measured: Measured) -> dict[str, Any]:
    """All figures by name."""
    by_beta = {f"β = {beta}": of for beta, of in measured.pictures.items()}
    reconstructions = [measured.held_out / 127.5 - 1, *(signed(of.reconstructions) for of in by_beta.values())]
    found = {
        "data": image_grid(measured.real, 15),
        "loss": loss(measured),
        "reconstructions": image_grid(np.concatenate(reconstructions), SHOWN, row_labels=["held out", *by_beta]),
        "samples": image_grid(
            np.concatenate([signed(of.samples) for of in by_beta.values()]), SHOWN, row_labels=list(by_beta)
        ),
        "mig": gaps(measured),
        "positions": positions(measured),
        "codes": codes(measured),
    }
    for beta, of in measured.pictures.items():
        found[traversal_name(beta)] = image_grid(
            signed(of.traversal.reshape(-1, *of.traversal.shape[2:])),
            len(VALUES),
            titles=[f"{value:.1f}" for value in VALUES],
            row_labels=[f"{kl:.2f} nats" for kl in of.kl],
        )
    return found


def traversal_name(beta: str) -> str:
    """The name of the figure of a β's traversal, as report.md has it."""
    return f"traversal-{beta}".replace(".", "-").replace("+", "")


def signed(images: np.ndarray) -> np.ndarray:
    """Images in [0, 1] as images in [−1, 1]."""
    return 2 * images - 1


def loss(measured: Measured) -> Any:
    """Both terms of the objective along training."""
    terms = {"reconstruction (nats)": "reconstruction", "KL (nats)": "kl"}
    return panels(
        {
            title: {f"β = {beta}": history[name] for beta, history in measured.histories.items()}
            for title, name in terms.items()
        },
        x_label="training step",
        smooth=9,
        log_y=("reconstruction (nats)",),
    )


def gaps(measured: Measured) -> Any:
    """Mean, lowest and highest mutual information gap over the seeds, by β."""
    return dot_plot(
        {
            SCORES[name]: {
                f"β = {beta}": (of.mean(), of.min(), of.max()) for beta, of in values(measured.scores, name).items()
            }
            for name in ("mig", "chen")
        },
        x_label="mutual information gap",
    )


def positions(measured: Measured) -> Any:
    """The mean code of each dimension as an image of the position, by β."""
    maps = [of.by_position for of in measured.pictures.values()]
    return image_grid(
        np.clip(np.concatenate(maps)[..., None] / VALUES[-1], -1, 1),
        len(maps[0]),
        titles=[f"{kl:.2f}" for of in measured.pictures.values() for kl in of.position_kl],
        row_labels=[f"β = {beta}" for beta in measured.pictures],
    )


def codes(measured: Measured) -> Any:
    """Mean codes of all positions in two dimensions, by β."""
    drawn = [Panel2D(f"β = {beta}", points=of.points, groups=measured.shapes) for beta, of in measured.pictures.items()]
    rows = [drawn[i : i + PANELS_IN_A_ROW] for i in range(0, len(drawn), PANELS_IN_A_ROW)]
    return panels_2d(rows, (-4.0, 4.0), group_labels=["square", "ellipse", "heart"])
