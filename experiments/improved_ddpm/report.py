"""The figures and tables of the improved-DDPM report; its text is report.md."""

from pathlib import Path
from typing import Any

import numpy as np

from experiments.improved_ddpm.config import Config
from experiments.improved_ddpm.measure import ForwardChain, Measured
from experiments.improved_ddpm.measure_bound import Bounds
from experiments.improved_ddpm.measure_samples import LEARNED, SMALL, Skipping, Strided
from experiments.kit.frechet import FLOOR, FRECHET
from experiments.kit.run import Run
from jaxgen.metrics import mean_and_error
from jaxgen.report import curves, image_grid, panels, strip, table
from jaxgen.training import History


def write(run: Run[Config], measured: Measured) -> Path:
    """Write the report and return its path."""
    by_chain = {steps(n): "min" for n in measured.bounds.chains}
    by_length = {steps(n): "min" for n in measured.lengths}
    return run.write_report(
        Path(__file__).with_name("report.md"),
        values=measured,
        metrics=metrics(measured),
        figures=figures(measured),
        tables={
            "bits": table(bits_rows(measured.bounds), best=by_chain),
            "ranking": table(ranking_rows(measured.bounds)),
            "gain": table(gain_rows(measured.bounds)),
            "frechet": table(frechet_rows(measured.samples), best=by_length),
        },
    )


def steps(n: int) -> str:
    """Title of the column of n steps."""
    return f"{n} steps"


def bits_rows(bounds: Bounds) -> list[dict[str, Any]]:
    """Bits per dimension: a row for each network and variance."""
    return [
        {"schedule": row.schedule, "objective": row.objective, "variance": row.variance}
        | {steps(n): mean_and_error(bits) for n, bits in row.by_steps.items()}
        for row in bounds.bits
    ]


def ranking_rows(bounds: Bounds) -> list[dict[str, Any]]:
    """A row for each network with its best variance, the best first."""
    return [
        {"schedule": of.schedule, "objective": of.objective, "variance": of.variance, "bits/dim": of.bits}
        | {"more than the first": of.more, "verdict": of.verdict}
        for of in bounds.ranking
    ]


def gain_rows(bounds: Bounds) -> list[dict[str, Any]]:
    """What the learned variance gains: a row for each schedule."""
    return [{"schedule": of.schedule} | {steps(n): of.gain(n) for n in bounds.chains} for of in bounds.hybrid]


def frechet_rows(samples: list[Strided]) -> list[dict[str, Any]]:
    """Fréchet distances: a row for each network and sampler."""
    return [
        {"schedule": of.schedule, "objective": of.objective, "sampler": of.sampler}
        | {steps(n): sampled.frechet for n, sampled in of.by_steps.items()}
        for of in samples
    ]


def metrics(measured: Measured) -> dict[str, Any]:
    """The numbers for metrics.json."""
    skipping = measured.skipping
    frechet = {name: [sampled.frechet for sampled in of] for name, of in skipping.samples.items()}
    found = {
        "share_of_the_chain_until_1_percent_is_left": {
            name: of.until_1_percent for name, of in measured.forward.items()
        },
        "held_out_error": {name: float(of["eval/loss"][1][-1]) for name, of in measured.histories.items()},
        "bits_per_dim": bits_rows(measured.bounds),
        "gain_of_the_learned_variance": gain_rows(measured.bounds),
        "ranking": ranking_rows(measured.bounds),
        "frechet": frechet_rows(measured.samples),
        "skipping": {"share": skipping.shares, "frechet": frechet},
    }
    if skipping.sets:
        found["skipping"]["log ratio at 20 %"] = {
            name: mean_and_error(of.skipped - of.whole) for name, of in skipping.sets.items()
        }
    return found


def figures(measured: Measured) -> dict[str, Any]:
    """All figures by name."""
    return {
        "data": image_grid(measured.real, 15),
        "chain": chains(measured.forward),
        "signal": curves(
            {name: (of.times, of.signal) for name, of in measured.forward.items()},
            x_label="t/T",
            y_label="ᾱ, the signal's share of the variance",
        ),
        "training": training(measured.histories),
        **bound_figures(measured.bounds),
        "quality-by-steps": quality_by_steps(measured),
        "samples": samples(measured.samples, measured.lengths[-1]),
        **skipping_figures(measured.skipping, measured.floor),
    }


def chains(forward: dict[str, ForwardChain]) -> Any:
    """Images along the chain of each schedule."""
    path = np.concatenate([of.path for of in forward.values()], axis=1)
    labels = [name if i == 0 else "" for name, of in forward.items() for i in range(of.path.shape[1])]
    shown = next(iter(forward.values())).shown
    return strip(path, [f"{share:.0%}" for share in shown], row_labels=labels)


def training(histories: dict[str, History]) -> Any:
    """Held-out error in ε: a panel for each schedule, a curve for each objective."""
    quantities: dict[str, dict[str, Any]] = {}
    for name, history in histories.items():
        schedule, objective = name.split(", ")
        quantities.setdefault(schedule, {})[objective] = history["eval/loss"]
    return panels(quantities, x_label="training step")


def bound_figures(bounds: Bounds) -> dict[str, Any]:
    """Bits per dimension by number of steps, and where along the chain they are spent, of the hybrid networks."""
    by_steps = {
        of.schedule: {
            row.variance: (bounds.chains, [float(row.by_steps[n].mean()) for n in bounds.chains])
            for row in bounds.bits
            if (row.schedule, row.objective) == (of.schedule, "hybrid")
        }
        for of in bounds.hybrid
    }
    terms = {of.schedule: of.terms for of in bounds.hybrid}
    return {
        "bits-by-steps": panels(by_steps, x_label="steps of the chain", log_x=True),
        "terms": panels(terms, x_label="t/T", log_y=list(terms)),
    }


def quality_by_steps(measured: Measured) -> Any:
    """Fréchet distance of the hybrid networks by number of steps."""
    lengths = measured.lengths
    quantities: dict[str, dict[str, Any]] = {}
    for of in measured.samples:
        if of.objective == "hybrid":
            found = [of.by_steps[n].frechet for n in lengths]
            quantities.setdefault(of.schedule, {})[of.sampler] = lengths, found
    for series in quantities.values():
        series[FLOOR] = lengths, [measured.floor] * len(lengths)
    return panels(quantities, x_label="steps", log_x=True, log_y=list(quantities))


def samples(found: list[Strided], n: int) -> Any:
    """Samples of each network by n steps, with learned variance if it is hybrid, else with the small one."""
    shown = {
        f"{of.schedule}, {of.objective}": of.by_steps[n].images
        for of in found
        if of.sampler == (LEARNED if of.objective == "hybrid" else SMALL)
    }
    return image_grid(np.concatenate(list(shown.values())), 15, row_labels=list(shown))


def skipping_figures(skipping: Skipping, floor: float) -> dict[str, Any]:
    """Quality by the skipped share of the reverse chain, and samples."""
    percent = [100 * share for share in skipping.shares]
    grids = {name: np.stack([sampled.images[:5] for sampled in of]) for name, of in skipping.samples.items()}
    return {
        "skipping": curves(
            {name: (percent, [sampled.frechet for sampled in of]) for name, of in skipping.samples.items()},
            x_label="skipped part of the reverse chain (%)",
            y_label=FRECHET,
            log_y=True,
            levels={FLOOR: floor},
        ),
        "skipped-samples": strip(
            np.concatenate(list(grids.values()), axis=1),
            [f"{share:.0%}" for share in skipping.shares],
            row_labels=[name if i == 0 else "" for name in grids for i in range(5)],
            scale=4,
        ),
    }
