"""The tables, the metrics and the writing of the NCSN toy's report; its text is report.md."""

from pathlib import Path
from typing import Any

from experiments.kit.run import Run
from experiments.ncsn_toy.config import Config
from experiments.ncsn_toy.figures import figures, shares_along
from experiments.ncsn_toy.measure import Measured
from experiments.ncsn_toy.measure_objectives import Objectives
from experiments.ncsn_toy.measure_ring import Ring
from experiments.ncsn_toy.measure_weights import Weights
from jaxgen.report import table

SHARE = "share at (5, 5)"
COST, NOISE = "time of a gradient / DSM's", "variance of the gradient / DSM's"


def write(run: Run[Config], measured: Measured) -> Path:
    """Write the report and return its path."""
    return run.write_report(
        Path(__file__).with_name("report.md"),
        values=measured,
        metrics=metrics(measured, run.config.dims),
        figures=figures(measured, run.config.dims),
        tables={
            "mode-weights": table(weight_rows(measured.weights), formats={"changed sides": ".1%", "far away": ".1%"}),
            "reached": table(objective_rows(measured.objectives)),
            "costs": table(cost_rows(measured, run.config.dims)),
        },
    )


def weight_rows(weights: Weights) -> list[dict[str, Any]]:
    """A row for each method, then one for draws of p."""
    rows = [
        {
            "method": name,
            SHARE: of.share,
            "error": of.error,
            "exact scores, in law": of.expected,
            "changed sides": of.changed,
            "far away": of.far,
        }
        for name, of in weights.methods.items()
    ]
    return [*rows, {"method": "draws of p", SHARE: weights.draws}]


def objective_rows(objectives: Objectives) -> list[dict[str, Any]]:
    """A row for each objective."""
    return [
        {
            "objective": name,
            "divergence to its own density": of.own,
            "divergence to p": of.to_p,
            "objective + constant": of.shifted,
            "its scatter": of.scatter,
        }
        for name, of in objectives.of.items()
    ]


def cost_rows(measured: Measured, dims: tuple[int, ...]) -> list[dict[str, Any]]:
    """A row for each objective in each dimension."""
    return [
        {
            "d": d,
            "objective": name,
            COST: costs[i].time.median,
            "lower quartile": costs[i].time.low,
            "upper quartile": costs[i].time.high,
            NOISE: costs[i].variance,
        }
        for i, d in enumerate(dims)
        for name, costs in measured.dimensions.costs.items()
    ]


def metrics(measured: Measured, dims: tuple[int, ...]) -> dict[str, Any]:
    """The numbers for metrics.json."""
    regions, objectives, variances = measured.regions, measured.objectives, measured.variances
    return {
        "low_density": {
            "relative error where p > 1e-3": regions.common,
            "relative error where p < 1e-6": regions.rare,
            "share of the square where p < 1e-6": regions.rare_share,
            "relative error of all levels where p < 1e-6": {str(k): error for k, error in regions.of_levels.items()},
            "log10 p": regions.log_p,
            "by density": regions.by_density,
        },
        "mode_weights": weight_rows(measured.weights),
        "shares": {name: {"steps": x, "share": y} for name, (x, y) in shares_along(measured.weights).items()},
        "ring": ring_metrics(measured.ring),
        "objectives": {
            "final": objective_rows(objectives),
            "curves": {
                name: {"step": objectives.steps, "own": of.own_curve, "shifted": of.shifted_curve}
                for name, of in objectives.of.items()
            },
        },
        "gradient_noise": variances.others
        | {"sigma": list(variances.dsm), "DSM": list(variances.dsm.values()), "slope": variances.slope},
        "by_dimension": cost_rows(measured, dims),
    }


def ring_metrics(ring: Ring) -> dict[str, Any]:
    """The numbers of the ring for metrics.json."""
    names = {noise: f"noise {noise:g}" if noise else "no noise" for noise in ring.noises}
    reached = {noise: {k: v for k, v in of._asdict().items() if v is not None} for noise, of in ring.noises.items()}
    return {str(noise): of for noise, of in reached.items()} | {
        "curves": {names[noise]: {"step": ring.steps, "minus_loss": -loss} for noise, loss in ring.loss.items()},
        "pull": {names[noise]: {"step": ring.steps, "length": pull} for noise, pull in ring.pull.items()},
    }
