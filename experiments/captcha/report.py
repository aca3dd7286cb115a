"""The figures and tables of the CAPTCHA report; its text is report.md."""

from pathlib import Path
from typing import Any

import numpy as np

from experiments.captcha.config import Config
from experiments.captcha.measure import Captioned, Conditional, Measured
from experiments.captcha.recogniser import Reading
from experiments.kit.run import Run
from jaxgen.report import curves, image_grid, table

WHOLE, CHARACTERS, OF_REAL = "whole text", "characters", "whole, of real"
COLUMNS = 10


def write(run: Run[Config], measured: Measured) -> Path:
    """Write the report and return its path."""
    return run.write_report(
        Path(__file__).with_name("report.md"),
        values=measured,
        metrics=metrics(measured),
        figures=figures(measured),
        tables={"reading": table(reading_rows(measured.conditional))},
    )


def reading_rows(found: Conditional) -> list[dict[str, Any]]:
    """How often texts are read: rows of real images, then two for each scale of guidance."""
    kinds = {"seen": found.seen, "unseen": found.unseen}

    def row(who: str, kind: str, reading: Reading) -> dict[str, Any]:
        return {"images": who, "texts": kind, WHOLE: reading.whole, CHARACTERS: reading.characters}

    real = [row("real, held out", kind, of.ceiling) for kind, of in kinds.items()]
    generated = [
        row(f"guidance {scale:g}", kind, of.readings[scale]) | {OF_REAL: of.of_real(scale)}
        for scale in found.scales
        for kind, of in kinds.items()
    ]
    return real + generated


def metrics(measured: Measured) -> dict[str, Any]:
    """The numbers for metrics.json."""
    novelty, diversity = measured.conditional.novelty, measured.conditional.diversity
    found = {
        "held_out_loss": float(measured.history["eval/loss"][1][-1]),
        "unconditional": {"as sure as 95 % of real": measured.unconditional.sure},
        "reading": reading_rows(measured.conditional),
        "novelty": {"generated": novelty.generated, "held out": novelty.held_out},
    }
    if diversity is not None:
        found["diversity"] = {"generated": diversity.generated}
        if diversity.real is not None:
            found["diversity"]["real"] = diversity.real
    return found


def figures(measured: Measured) -> dict[str, Any]:
    """All figures by name."""
    found, scales = measured.conditional, measured.conditional.scales
    near = found.novelty
    shares = {
        f"{kind} texts": (scales, [of.readings[scale].whole.mean for scale in scales])
        for kind, of in (("seen", found.seen), ("unseen", found.unseen))
    }
    return {
        "real": captioned(measured.real),
        "loss": curves(
            {"": measured.history["eval/loss"]}, x_label="training step", y_label="held-out loss", log_y=True
        ),
        "unconditional": captioned(measured.unconditional.shown),
        "asked-seen": captioned(found.seen.shown),
        "asked-unseen": captioned(found.unseen.shown),
        "sweep": curves(shares, x_label="guidance scale", y_label="share of whole texts read"),
        "nearest": image_grid(
            np.concatenate([near.images, near.nearest]), len(near.images), row_labels=("generated", "nearest real")
        ),
    }


def captioned(of: Captioned) -> Any:
    """Images, each with its text."""
    return image_grid(of.images, COLUMNS, titles=of.texts)
