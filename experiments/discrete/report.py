"""The figures and tables of the report on discrete diffusion; its text is report.md."""

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from experiments.discrete.config import Config
from experiments.discrete.measure import Measured
from experiments.kit.run import Run
from jaxgen.data import decode_symbols, from_palette
from jaxgen.report import curves, image_grid, panels, table

Rows = list[dict[str, Any]]
COLUMNS = 12
SHOWN_LINES = 4


def write(run: Run[Config], measured: Measured) -> Path:
    """Write the report and return its path."""
    rows = all_rows(measured)
    return run.write_report(
        Path(__file__).with_name("report.md"),
        values=measured._asdict(),
        metrics=rows,
        figures=figures(measured),
        tables={
            "bits": table(rows["bits"]),
            "ngrams": table(rows["ngrams"]),
            "statistics": table(rows["statistics"]),
            "lines": table(rows["lines"]),
            "toy-bits": table(rows["toy"], digits=4),
            "unmasked": table(rows["unmasked"]),
            "sampler-distances": table(rows["samplers"]),
        },
    )


def all_rows(measured: Measured) -> dict[str, Rows]:
    """The rows of every table."""
    kinds = measured.models
    unmasking = measured.unmasking
    return {
        "bits": [
            {"data": kind}
            | {name: of.bits for name, of in each.items()}
            | {"best n-gram": min(measured.baselines[kind].bits.values()), "parameters": measured.parameters[kind]}
            for kind, each in kinds.items()
        ],
        "ngrams": [
            {"data": kind} | {f"{length} before": bits for length, bits in measured.baselines[kind].bits.items()}
            for kind in kinds
        ],
        "statistics": [
            {"data": kind, "samples of": name, "distance": of.distance, "known words": of.words}
            for kind, each in kinds.items()
            for name, of in each.items()
        ]
        + [
            {
                "data": "text",
                "samples of": "Markov chain of order 2",
                "distance": measured.baselines["text"].markov_distance,
                "known words": measured.baselines["text"].markov_words,
            }
        ]
        + [
            {
                "data": kind,
                "samples of": "the training data",
                "distance": of.train_distance,
                "known words": of.train_words,
            }
            for kind, of in measured.baselines.items()
        ],
        "lines": [
            {"text of": source, "window": decode_symbols(window)}
            for source, windows in texts(measured).items()
            for window in windows[:SHOWN_LINES]
        ],
        "toy": [
            {
                "chain": name,
                "learned": of.learned,
                "exact conditionals": of.exact,
                "posterior for leave-one-out": of.wrong,
                "one step": float(of.chains[0]),
                f"{measured.steps[-1]} steps": float(of.chains[-1]),
            }
            for name, of in measured.toys.items()
        ],
        "unmasked": [
            {"asked": float(asked), "one categorical draw": float(one), "two draws": float(two)}
            for asked, one, two in zip(unmasking.asked, unmasking.one_draw, unmasking.two_draws, strict=True)
        ],
        "samplers": [{"sampler": name, "distance": far} for name, (_, far) in measured.samplers.items()],
    }


def texts(measured: Measured) -> dict[str, np.ndarray]:
    """Windows of text by source."""
    return {
        "held-out data": measured.data["text"],
        "Markov chain of order 2": measured.baselines["text"].markov,
        **{name: of.samples for name, of in measured.models["text"].items()},
    }


def figures(measured: Measured) -> dict[str, Figure]:
    """All figures by name."""
    images = {kind: measured.palettes[kind] for kind in ("sprites", "digits")}
    return {
        **{f"samples-{kind}": samples(measured, kind, palette) for kind, palette in images.items()},
        "samplers": rows_of_images(
            {name: found for name, (found, _) in measured.samplers.items()}, measured.palettes["sprites"], each=1
        ),
        "losses": panels(
            {
                f"{kind}: bits per token": {name: history["eval/loss"] for name, history in each.items()}
                for kind, each in measured.histories.items()
            },
            x_label="training step",
            columns=2,
        ),
        "steps": curves(
            {name: (np.array(measured.steps), of.chains) for name, of in measured.toys.items()},
            x_label="steps of the chain",
            y_label="bound, bits per token",
            log_x=True,
            levels={"exact": measured.entropy, "product of marginals": measured.marginals},
            height=280,
        ),
    }


def samples(measured: Measured, kind: str, palette: np.ndarray) -> Figure:
    """Held-out images beside samples of each chain."""
    sources = {"data": measured.data[kind]} | {name: of.samples for name, of in measured.models[kind].items()}
    return rows_of_images(sources, palette, each=2)


def rows_of_images(sources: dict[str, np.ndarray], palette: np.ndarray, each: int) -> Figure:
    """A few rows of images of each source; the last rows repeat none, so short sources have fewer columns."""
    columns = min(COLUMNS, *(len(indices) // each for indices in sources.values()))
    shown = [from_palette(indices[: each * columns], palette) for indices in sources.values()]
    labels = [name if row == 0 else "" for name in sources for row in range(each)]
    return image_grid(np.concatenate(shown), columns, row_labels=labels)
