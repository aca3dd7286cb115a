"""The figures and tables of the report on GANs with diffusion; its text is report.md."""

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from experiments.diffusion_gan.config import Config
from experiments.diffusion_gan.measure import Measured
from experiments.diffusion_gan.measure_images import Sampled
from experiments.diffusion_gan.measure_plane import Coverage
from experiments.kit.frechet import FRECHET
from experiments.kit.run import Run
from experiments.kit.statistics import over_repetitions
from jaxgen.report import Panel2D, image_grid, panels, panels_2d, table, tradeoff

PANELS_PER_ROW, POINTS, LIMITS = 5, 1500, (-2.2, 2.2)
IMAGES_PER_ROW = 15


def write(run: Run[Config], measured: Measured) -> Path:
    """Write the report and return its path."""
    plane = {name: plane_rows(of) for name, of in measured.plane.items()}
    images = image_rows(measured.images)
    return run.write_report(
        Path(__file__).with_name("report.md"),
        values=measured,
        metrics={"plane": plane, "images": images, "parameters": measured.parameters},
        figures=figures(measured),
        tables={f"{name}-coverage": table(rows) for name, rows in plane.items()}
        | {"images": table(images, best={FRECHET: "min"})},
    )


def plane_rows(methods: dict[str, Coverage]) -> list[dict[str, Any]]:
    """A row for each method on one mixture."""
    return [
        {
            "method": name,
            "calls": of.calls,
            "modes found, by seed": ", ".join(f"{found.modes}" for found in of.seeds),
            "good share": over_repetitions(of.of("good_share")),
            "KL of the modes (nats)": over_repetitions(of.of("kl")),
        }
        for name, of in methods.items()
    ]


def image_rows(methods: dict[str, Sampled]) -> list[dict[str, Any]]:
    """A row for each method on images."""
    return [
        {
            "method": name,
            "calls": of.calls,
            FRECHET: of.mean("frechet"),
            "precision": of.mean("precision"),
            "recall": of.mean("recall"),
            "seconds per 50": of.seconds,
        }
        for name, of in methods.items()
    ]


def figures(measured: Measured) -> dict[str, Figure]:
    """All figures by name."""
    shown = np.concatenate([of.shown[:IMAGES_PER_ROW] for of in measured.images.values()])
    return {
        **{name: samples_2d(of) for name, of in measured.plane.items()},
        "loss": losses(measured),
        "samples": image_grid(shown, IMAGES_PER_ROW, row_labels=list(measured.images)),
        "quality-and-time": quality_and_time(measured.images),
    }


def samples_2d(methods: dict[str, Coverage]) -> Figure:
    """The samples of every method's first seed, the mixture's own last."""
    drawn = [Panel2D(name, points=of.samples[:POINTS]) for name, of in methods.items()]
    return panels_2d([drawn[i : i + PANELS_PER_ROW] for i in range(0, len(drawn), PANELS_PER_ROW)], LIMITS)


def losses(measured: Measured) -> Figure:
    """Both players' losses, and the diffusion model's."""
    game, diffusion = measured.game_history, measured.diffusion_history
    return panels(
        {
            "DDGAN": {"generator": game["generator/loss"], "critic": game["critic/loss"]},
            "diffusion model": {"training": diffusion["loss"], "held out": diffusion["eval/loss"]},
        },
        x_label="training step",
        smooth={"generator": 9, "critic": 9, "training": 9, "held out": 1},
    )


def quality_and_time(methods: dict[str, Sampled]) -> Figure:
    """The Fréchet distance against the seconds of 50 images."""
    points: dict[str, list[tuple[str, float, float]]] = {}
    for name, of in methods.items():
        if of.calls is not None:
            kind, steps = name.rsplit("-", 1)
            points.setdefault(kind, []).append((steps, of.seconds, of.mean("frechet").mean))
    (real,) = (of for of in methods.values() if of.calls is None)
    return tradeoff(
        points, x_label="seconds per 50 images", y_label=FRECHET,
        levels={"held-out images": real.mean("frechet").mean}, log_x=True, log_y=True,
    )  # fmt: skip
