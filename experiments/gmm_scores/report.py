"""The tables, metrics and page of the mixture report; its figures are in figures.py, its text in report.md."""

from pathlib import Path
from typing import Any

from experiments.gmm_scores.config import Config
from experiments.gmm_scores.figures import figures
from experiments.gmm_scores.measure import Measured
from experiments.gmm_scores.measure_samplers import Sampler
from experiments.gmm_scores.measure_scores import OneLevel
from experiments.kit.run import Run
from jaxgen.metrics import MeanAndError
from jaxgen.report import format_value, table


def write(run: Run[Config], measured: Measured) -> Path:
    """Write the report and return its path."""
    errors = [row for of in measured.one_level for row in error_rows(of)]
    samplers = [sampler_row(of) for of in measured.samplers.values()]
    return run.write_report(
        Path(__file__).with_name("report.md"),
        values=measured,
        metrics=metrics(measured, errors, samplers),
        figures=figures(run.config, measured),
        tables={"score-errors": table(errors), "samplers": table(samplers, formats={"width": width})},
    )


def error_rows(of: OneLevel) -> list[dict[str, Any]]:
    """Errors of the networks of one σ."""
    distances = {"network to q": of.to_q, "network to p": of.to_p, "q to p": of.q_to_p}
    return [
        {"σ": of.field.sigma, "mean": how} | {name: getattr(distance, how) for name, distance in distances.items()}
        for how in ("weighted", "unweighted")
    ]


def sampler_row(of: Sampler) -> dict[str, Any]:
    """What a method's samples are like."""
    row = {
        "sampler": of.name,
        "weight of mode 1": of.weight,
        "error": of.error,
        "width": of.width,
        "MMD / floor": of.mmd,
        "MMD to its target / floor": of.own_mmd,
        "calls": of.calls,
    }
    return {name: value for name, value in row.items() if value is not None}


def width(value: MeanAndError) -> str:
    """A width in few digits, without its error where ascent has left nearly nothing of it."""
    return format_value(value) if value.mean > 1e-4 else format_value(value.mean, 1)


def metrics(measured: Measured, errors: list[dict[str, Any]], samplers: list[dict[str, Any]]) -> dict[str, Any]:
    """The numbers for metrics.json."""
    target, chains, annealing = measured.target, measured.chains, measured.annealing
    by_method = {"ascent": chains.ascent, "Langevin": chains.langevin}
    return {
        "mixture": {
            "weights": target.weights,
            "means": target.means,
            "covariances": target.covariances,
            "distance": target.distance,
        },
        "mean_cosine": {str(of.field.sigma): of.cosine for of in measured.one_level},
        "score_errors": errors,
        "halves": {str(of.field.sigma): of.halves._asdict() for of in measured.one_level},
        "error_by_sigma": {name: curve._asdict() for name, curve in measured.many.errors.items()},
        "ends of the six ascents": {of.name: of.points for of in chains.ascent},
        "starts": [
            {"method": method, "σ": of.sigma, "changed sides": of.changed}
            | measured.samplers[f"{method} {of.sigma}" if of.sigma else method].found[0]._asdict()
            for method, each in by_method.items()
            for of in each
        ],
        "annealing": {
            "sigma": annealing.sigmas,
            "share": annealing.weights[1:],
            "share of the starts": annealing.weights[0],
            "changed sides": annealing.changed[1:],
        },
        "samplers": samplers,
        "floor": measured.comparison.floor,
        "floors": measured.comparison.floors,
    }
