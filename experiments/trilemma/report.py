"""The figures and tables of the report on the trilemma; its text is report.md."""

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from experiments.kit.frechet import FRECHET
from experiments.kit.literature import OWN_PAPERS, TRILEMMA, Published
from experiments.kit.run import Run
from experiments.trilemma.config import Config
from experiments.trilemma.measure import Facts, Measured
from experiments.trilemma.measure_images import REAL, SHOWN, Sampled
from experiments.trilemma.measure_progress import Reached
from experiments.trilemma.triangles import triangles
from jaxgen.report import curves, format_value, image_grid, panels, table, tradeoff

NOT_PUBLISHED = Published(None)


def write(run: Run[Config], measured: Measured) -> Path:
    """Write the report and return its path."""
    rows = {
        "quality": [quality_row(title, of) for title, of in measured.images.items()],
        "speed": [speed_row(title, of) for title, of in measured.images.items() if of.calls],
        "properties": [properties_row(measured, name) for name in measured.families],
        "budget": [budget_row(of) for of in measured.families.values()],
    }
    return run.write_report(
        Path(__file__).with_name("report.md"),
        values=measured,
        metrics=metrics(measured, rows),
        figures=figures(measured),
        tables={
            "quality": table(rows["quality"], best={FRECHET: "min", "KID × 1000": "min"}),
            "speed": table(rows["speed"]),
            "properties": table(rows["properties"]),
            "budget": table(rows["budget"]),
        },
    )


def published(of: Sampled) -> Published:
    """What the literature's table says of a way."""
    return TRILEMMA[of.published] if of.published else NOT_PUBLISHED


def quality_row(title: str, of: Sampled) -> dict[str, Any]:
    """Quality and coverage of a way, and the literature's."""
    kernel = of.mean("kernel")
    return {
        "drawn by": title,
        FRECHET: of.mean("frechet"),
        "KID × 1000": (1000 * kernel.mean, 1000 * kernel.error),
        "precision": of.mean("precision"),
        "recall": of.mean("recall"),
        "KL of classes": of.mean("classes"),
        "literature": of.published,
        "its FID": published(of).fid,
        "its recall": published(of).recall,
        "FID in its paper": OWN_PAPERS.get(of.published, NOT_PUBLISHED).fid,
    }


def speed_row(title: str, of: Sampled) -> dict[str, Any]:
    """Calls and seconds of a way, and the literature's."""
    return {
        "drawn by": title,
        "calls": of.calls,
        "seconds for 50 images": of.seconds,
        "literature": of.published,
        "its calls": published(of).calls,
        "its seconds for 100 images": published(of).seconds,
    }


def properties_row(measured: Measured, name: str) -> dict[str, Any]:
    """What a family is and has."""
    facts, bits, codes = measured.families[name], measured.likelihoods.get(name), measured.codes.get(name)
    return {
        "family": facts.title,
        "networks": f"{len(facts.networks)}: {', '.join(facts.networks)}",
        "seconds to the distance": interval_of(measured.reached[name]),
        "likelihood": bits.kind if bits else "none",
        "bits per dimension": bits.mean if bits else None,
        "code": f"{codes.dims} numbers" if codes else "not compared" if facts.encodes else "none",
        "same image, two seeds": codes.same if codes else None,
        "other image": codes.other if codes else None,
    }


def interval_of(of: Reached) -> str:
    """The seconds between which a distance is reached."""
    if of.after is None:
        return f"over {format_value(of.before, 2)}"
    return f"{format_value(of.before, 2)} to {format_value(of.after, 2)}"


def budget_row(of: Facts) -> dict[str, Any]:
    """What a family's seconds bought."""
    return {
        "family": of.title,
        "parameters": of.parameters,
        "seconds of a step": (of.budget.seconds_per_step, of.budget.spread),
        "steps": of.budget.steps,
        "seconds of training": of.budget.seconds,
        "seconds of compilation": of.budget.compile_seconds,
    }


def metrics(measured: Measured, rows: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    """The numbers for metrics.json."""
    return {
        **rows,
        "features": measured.features,
        "target": measured.target,
        "progress": measured.progress,
        "verdicts": measured.verdicts,
        "classifier_accuracy": measured.accuracy,
    }


def figures(measured: Measured) -> dict[str, Figure]:
    """All figures by name."""
    shown = np.concatenate([of.shown for of in measured.images.values()])
    return {
        "samples": image_grid(shown, SHOWN, row_labels=list(measured.images)),
        "triangles": triangles(measured.verdicts.corners),
        "quality-and-time": tradeoff(
            by_family(measured, lambda of: of.seconds.mean),
            x_label="seconds for 50 images",
            y_label=FRECHET,
            levels={REAL: measured.images[REAL].mean("frechet").mean},
            log_x=True,
            log_y=True,
        ),
        "quality-and-coverage": tradeoff(
            by_family(measured, lambda of: of.mean("recall").mean),
            x_label="recall",
            y_label=FRECHET,
            levels={REAL: measured.images[REAL].mean("frechet").mean},
            log_y=True,
        ),
        "progress": curves(
            {measured.families[name].title: tuple(of) for name, of in measured.progress.items()},
            x_label="seconds of training",
            y_label=FRECHET,
            levels={"target": measured.target, REAL: measured.images[REAL].sets[0].frechet},
            log_x=True,
            log_y=True,
        ),
        "loss": losses(measured),
    }


def by_family(measured: Measured, x: Any) -> dict[str, list[tuple[str, float, float]]]:
    """The ways of each family, by what `x` takes of them and their Fréchet distance."""
    return {
        facts.title: [
            (title, x(measured.images[title]), measured.images[title].mean("frechet").mean) for title in facts.ways
        ]
        for facts in measured.families.values()
    }


def losses(measured: Measured) -> Figure:
    """The training losses of every family, of the first seed."""
    quantities = {}
    for facts in measured.families.values():
        names = [name for name in facts.history.names if name.split("/")[-1] == "loss" and not name.startswith("eval")]
        quantities[facts.title] = {name.split("/")[0]: facts.history[name] for name in names}
    return panels(quantities, x_label="training step", smooth=9, columns=4)
