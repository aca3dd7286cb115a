"""The figures and tables of the comparison of autoencoders; its text is report.md."""

from pathlib import Path
from typing import Any

import numpy as np

from experiments.kit.run import Run
from experiments.vae_zoo.config import Config
from experiments.vae_zoo.measure import Measured, Result
from experiments.vae_zoo.measure_codes import POINTS, VALUES
from experiments.vae_zoo.model import SC, VAE, VAMP, VQ, Usage
from jaxgen.metrics import mean_and_error
from jaxgen.report import Panel2D, image_grid, panels, panels_2d, table

COLUMNS = 12
UNITS = {VAE: "dimensions", VAMP: "dimensions", VQ: "codes", SC: "atoms"}
BITS, BOUND, RATE, ERROR = "−log p (bits/dim)", "−ELBO (bits/dim)", "rate (nats)", "reconstruction error"
SAMPLES, RECONSTRUCTIONS = "Fréchet distance of samples", "Fréchet distance of reconstructions"


def write(run: Run[Config], measured: Measured) -> Path:
    """Write the report and return its path."""
    likelihood, quality, usage = rows(measured)
    return run.write_report(
        Path(__file__).with_name("report.md"),
        values=measured,
        metrics=metrics(measured),
        figures=figures(measured),
        tables={
            "likelihood": table(likelihood, best={BITS: "min"}),
            "quality": table(quality, best={ERROR: "min"}),
            "usage": table(usage, formats={"zeros": ".0%", "perplexity": ".1f", "Hoyer": ".2f"}),
        },
    )


def rows(measured: Measured) -> tuple[list[dict[str, Any]], ...]:
    """The rows of the three tables, one for each model: likelihood, quality and use of the code."""

    def average(values: np.ndarray | None) -> Any:
        return None if values is None else mean_and_error(values)

    def likelihood(of: Result) -> dict[str, Any]:
        return {BITS: average(of.bits), BOUND: average(of.bound), RATE: average(of.rate)}

    def quality(of: Result) -> dict[str, Any]:
        distances = {SAMPLES: of.sample_distance, RECONSTRUCTIONS: of.reconstruction_distance}
        return {ERROR: average(of.held_out.errors)} | distances

    def usage(name: str, of: Usage) -> dict[str, Any]:
        used = {"unit": UNITS[name], "number": of.of, "used": of.used}
        return used | {"perplexity": of.perplexity, "zeros": of.zeros, "Hoyer": of.hoyer}

    models = measured.models.items()
    return (
        [{"model": name} | likelihood(of) for name, of in models],
        [{"model": name} | quality(of) for name, of in models],
        [{"model": name} | usage(name, of.held_out.usage) for name, of in models],
    )


def metrics(measured: Measured) -> dict[str, Any]:
    """The numbers for metrics.json."""
    return {
        "models": [
            {key: value for row in parts for key, value in row.items()} for parts in zip(*rows(measured), strict=True)
        ],
        "floor": {"held-out images": measured.floor},
        "differences": measured.differences,
    }


def figures(measured: Measured) -> dict[str, Any]:
    """All figures by name."""
    models = measured.models
    return {
        "data": image_grid(measured.real, 15),
        "loss": losses(measured),
        "reconstructions": image_grid(
            np.concatenate([measured.held_out, *(of.held_out.reconstructions[:COLUMNS] for of in models.values())]),
            len(measured.held_out),
            row_labels=["held out", *models],
        ),
        "interpolation": image_grid(
            np.concatenate([of.held_out.interpolation for of in models.values()]),
            len(POINTS),
            titles=[f"{share:.2f}" for share in POINTS],
            row_labels=list(models),
        ),
        "traversal-vae": traversal(models[VAE]),
        "traversal-vampprior": traversal(models[VAMP]),
        "codes": codes(measured),
        "samples": samples(measured),
        "pseudo-inputs": image_grid(measured.pseudo_inputs, COLUMNS),
        "atoms": image_grid(measured.atoms, COLUMNS),
    }


def losses(measured: Measured) -> Any:
    """Each model's own objective over training."""
    training, held_out = "training", "held out (averaged parameters)"
    return panels(
        {
            name: {training: of.history["loss"], held_out: of.history["eval/loss"]}
            for name, of in measured.models.items()
        },
        x_label="training step",
        columns=2,
        smooth={training: 9, held_out: 1},
    )


def traversal(of: Result) -> Any:
    """A row for each dimension of a Gaussian code."""
    images = of.held_out.traversal
    return image_grid(
        images.reshape(-1, *images.shape[2:]),
        len(VALUES),
        titles=[f"{value:.1f}" for value in VALUES],
        row_labels=[f"z{i + 1}" for i in range(len(images))],
    )


def codes(measured: Measured) -> Any:
    """Codes of held-out images in the plane of their first two principal components, by class."""
    planes = {name: of.held_out.plane for name, of in measured.models.items()}
    shown = [
        Panel2D(f"{name}: {plane.share:.0%}", points=plane.points, groups=measured.groups)
        for name, plane in planes.items()
    ]
    return panels_2d([shown], (-2.5, 2.5), group_labels=measured.class_names)


def samples(measured: Measured) -> Any:
    """Two rows of samples of each model that has a prior."""
    drawn = {name: of.samples[: 2 * COLUMNS] for name, of in measured.models.items() if of.samples is not None}
    labels = [label for name in drawn for label in (name, "")]
    return image_grid(np.concatenate(list(drawn.values())), COLUMNS, row_labels=labels)
