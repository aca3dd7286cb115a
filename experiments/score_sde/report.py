"""The figures and tables of the score-SDE report; its text is report.md."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from experiments.kit.frechet import FLOOR, FRECHET
from experiments.kit.run import Run
from experiments.score_sde.config import Config
from experiments.score_sde.measure import Forward, Measured
from experiments.score_sde.measure_codes import SHARES, Codes
from experiments.score_sde.measure_correctors import Correctors
from experiments.score_sde.measure_likelihood import Likelihood
from experiments.score_sde.measure_ode import Adaptive
from experiments.score_sde.measure_samplers import Comparison, OwnClocks
from jaxgen.report import curves, image_grid, panels, strip, table

CODE_COLUMNS = {name: name for name in ("codes compared", "correlation", "least", "most")}
CODE_COLUMNS["correlation"] = "mean correlation"
BETWEEN, TO_ODE = "Fréchet distance to the ODE's images", "distance to the ODE's images"

Rows = list[dict[str, Any]]


def write(run: Run[Config], measured: Measured) -> Path:
    """Write the report and return its path."""
    return run.write_report(
        Path(__file__).with_name("report.md"),
        values=measured,
        metrics=metrics(measured),
        figures=figures(measured, run.config.calls),
        tables={
            "by-calls": table(call_rows(measured.comparison)),
            "chains": table(chain_rows(measured.correctors)),
            "adaptive": table(adaptive_rows(measured.adaptive)),
            "likelihood": table(likelihood_rows(measured.likelihoods)),
            "codes": table(code_rows(measured.codes), CODE_COLUMNS),
        },
    )


def call_rows(comparison: Comparison) -> Rows:
    """A row for each measure and sampler, with a column for each budget."""
    measures = {
        BETWEEN: lambda found: found.frechet_to_ode,
        TO_ODE: lambda found: found.distance_to_ode,
        FRECHET: lambda found: found.frechet,
    }
    return [
        {"sampler": title, "measure": name} | {f"{found.budget} calls": measure(found) for found in of}
        for name, measure in measures.items()
        for title, of in comparison.sampled.items()
        if name == FRECHET or comparison.orders[title] is not None
    ]


def chain_rows(correctors: Sequence[Correctors]) -> Rows:
    """A row for each predictor, with and without a corrector."""
    return [
        {"process": of.process, "sampler": of.name, "steps": of.steps, "calls": of.calls, FRECHET: of.frechet}
        for each in correctors
        for of in each.chains
    ]


def adaptive_rows(adaptive: Adaptive) -> Rows:
    """A row for each process and tolerance of the ODE, then one for the reverse SDE."""
    rows = [
        {"process": of.process, "method": f"ODE, Tsit5 at {of.tolerance:g}", "calls": of.calls}
        | {"distance to the finest": of.distance, FRECHET: of.frechet}
        for of in adaptive.tolerances
    ]
    sde = {"process": "VP", "method": f"reverse SDE, Euler, {adaptive.sde_calls} steps", "calls": adaptive.sde_calls}
    return [*rows, sde | {"distance to the finest": None, FRECHET: adaptive.sde_frechet}]


def likelihood_rows(likelihoods: dict[str, Likelihood]) -> Rows:
    """A row for each process."""
    return [{"process": process, "bits/dim": of.mean, "network calls": of.calls} for process, of in likelihoods.items()]


def code_rows(codes: Codes) -> Rows:
    """A row for each kind of pair of codes."""
    kinds = {
        "the same image, two networks": codes.same_image,
        "different images, two networks": codes.other_images,
        "an image's code and fresh noise": codes.fresh_noise,
    }
    return [
        {"codes compared": kind, "correlation": float(np.mean(of)), "least": float(np.min(of))}
        | {"most": float(np.max(of))}
        for kind, of in kinds.items()
    ]


def metrics(measured: Measured) -> dict[str, Any]:
    """The numbers for metrics.json."""
    comparison = measured.comparison
    losses = {name: history["eval/loss"][1][-1] for name, history in measured.histories.items()}
    by_calls = []
    for title, of in comparison.sampled.items():
        for found in of:
            row = {"sampler": title, "budget": found.budget, "calls": found.calls, FRECHET: found.frechet}
            if found.squares is not None:
                row |= {BETWEEN: found.frechet_to_ode, TO_ODE: found.distance_to_ode}
            by_calls.append(row)
    return {
        "training": {"parameters": measured.parameters, "held_out_loss": losses},
        "floor": measured.floor,
        "exact_path": {"calls": comparison.ode_calls, FRECHET: comparison.ode_frechet},
        "quality_by_calls": by_calls,
        "own_clocks": [
            {"process": of.process, "sampler": of.sampler, "calls": of.calls, FRECHET: of.frechet}
            for of in measured.own_clocks.found
        ],
        "same_images": measured.same_images,
        "predictor_corrector": chain_rows(measured.correctors),
        "adaptive": adaptive_rows(measured.adaptive),
        "bits_per_dim": [
            {"process": row["process"], "bits/dim": row["bits/dim"].mean, "standard error": row["bits/dim"].error}
            | {"network calls": row["network calls"]}
            for row in likelihood_rows(measured.likelihoods)
        ],
        "encoding": code_rows(measured.codes),
        "round_trip": measured.codes.round_trip,
    }


def figures(measured: Measured, calls: Sequence[int]) -> dict[str, Any]:
    """All figures by name."""
    comparison, codes = measured.comparison, measured.codes
    of_ve = [chain for each in measured.correctors if each.process == "VE" for chain in each.chains]

    def by_sampler(budget: int) -> Any:
        found = [of[list(calls).index(budget)].images for of in comparison.sampled.values()]
        return image_grid(np.concatenate(found), len(found[0]), row_labels=list(comparison.sampled))

    def by_process(images: dict[str, np.ndarray]) -> Any:
        rows = list(images.values())
        return image_grid(np.concatenate(rows), len(rows[0]), row_labels=list(images))

    found = {
        "data": image_grid(measured.real, 15),
        "processes": schedules(measured.forward),
        "forward": strip(
            measured.forward.path, [f"t = {t:.2g}" for t in measured.forward.shown],
            row_labels=list(measured.forward.alpha),
        ),
        "loss": curves(
            {name: history["eval/loss"] for name, history in measured.histories.items()},
            x_label="training step", y_label="held-out loss", log_y=True,
        ),
        "many-calls": by_sampler(max(calls)),
        "own-clocks": own_clocks(measured.own_clocks, measured.floor),
        "samples": by_process(measured.own_clocks.images),
        "predictor-corrector": image_grid(
            np.concatenate([chain.images for chain in of_ve]), len(of_ve[0].images),
            row_labels=[chain.name for chain in of_ve], scale=3,
        ),
        "ode-samples": by_process(measured.adaptive.images),
        "encoding": image_grid(
            np.concatenate([codes.images, codes.first / 3, codes.second / 3, codes.back, codes.crossed]),
            len(codes.images),
            row_labels=["image", "code, network A", "code, network B", "A decodes A's code", "B decodes A's code"],
        ),
        "interpolation": strip(codes.between, [f"{share:.2g}" for share in np.linspace(0, 1, SHARES)]),
    }  # fmt: skip
    if comparison.few < max(calls):
        found["few-calls"] = by_sampler(comparison.few)
    if comparison.along_ode:
        found["quality-and-calls"] = quality_and_calls(comparison, measured.floor)
    if comparison.titles(None):
        found["noise-and-calls"] = noise_and_calls(comparison, measured.floor)
    return found


def schedules(forward: Forward) -> Any:
    """Signal, noise and log-SNR of each process."""
    quantities = {"signal α": forward.alpha, "noise σ": forward.sigma, "log-SNR (nats)": forward.log_snr}
    return panels(
        {quantity: {name: (forward.t, y) for name, y in of.items()} for quantity, of in quantities.items()},
        x_label="time t", log_y=["noise σ"],
    )  # fmt: skip


def lines(comparison: Comparison, titles: Sequence[str], measure: str) -> dict[str, Any]:
    """A measure against the network calls, for each sampler."""
    return {
        title: (
            [of.calls for of in comparison.sampled[title]],
            [getattr(of, measure) for of in comparison.sampled[title]],
        )
        for title in titles
    }


def level(comparison: Comparison, value: float) -> tuple[list[int], list[float]]:
    """A horizontal line over all budgets."""
    budgets = [of.budget for found in comparison.sampled.values() for of in found]
    return [min(budgets), max(budgets)], [value, value]


def quality_and_calls(comparison: Comparison, floor: float) -> Any:
    """Distances to the ODE's images and to the data, against network calls."""
    titles = comparison.along_ode
    quantities = {
        "Fréchet, to the ODE's images": lines(comparison, titles, "frechet_to_ode"),
        "pixels, to the ODE's images": lines(comparison, titles, "distance_to_ode"),
        "Fréchet, to the data": lines(comparison, titles, "frechet")
        | {FLOOR: level(comparison, floor), "the ODE's images": level(comparison, comparison.ode_frechet)},
    }
    return panels(quantities, x_label="network calls", log_x=True, height=300, log_y=list(quantities))


def noise_and_calls(comparison: Comparison, floor: float) -> Any:
    """Fréchet distance of the samplers that add noise, beside one that does not."""
    beside = [title for title in ("DPM-Solver++(2M)",) if title in comparison.sampled]
    found = lines(comparison, [*comparison.titles(None), *beside], "frechet") | {FLOOR: level(comparison, floor)}
    return panels({FRECHET: found}, x_label="network calls", log_x=True, log_y=[FRECHET], height=300)


def own_clocks(clocks: OwnClocks, floor: float) -> Any:
    """Fréchet distance against network calls in equal steps of each process's time."""
    calls = [of.calls for of in clocks.found]

    def of_process(process: str) -> dict[str, Any]:
        titles = dict.fromkeys(of.sampler for of in clocks.found)
        chosen = {
            title: [of for of in clocks.found if (of.process, of.sampler) == (process, title)] for title in titles
        }
        found = {title: ([of.calls for of in rows], [of.frechet for of in rows]) for title, rows in chosen.items()}
        return found | {FLOOR: ([min(calls), max(calls)], [floor, floor])}

    return panels(
        {process: of_process(process) for process in clocks.images},
        x_label="network calls", log_x=True, log_y=list(clocks.images), height=290,
    )  # fmt: skip
