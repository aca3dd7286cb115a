"""The figures and tables of the report on variational inference; its text is report.md."""

import math
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from experiments.kit.run import Run
from experiments.variational.config import Config
from experiments.variational.measure import Measured
from experiments.variational.measure_ascents import Ascents
from experiments.variational.measure_gradients import OF_ELBO, OF_WEIGHTED, MoreDraws
from experiments.variational.measure_minibatches import Ascent, Minibatches
from experiments.variational.measure_posteriors import EXTENT, OWN_MODE, VARIABLES, Posterior
from experiments.variational.problems import MIXTURE
from jaxgen.report import Panel2D, curves, panels, panels_2d, table

Rows = list[dict[str, Any]]


def write(run: Run[Config], measured: Measured) -> Path:
    """Write the report and return its path."""
    rows = all_rows(measured, run.config)
    return run.write_report(
        Path(__file__).with_name("report.md"),
        values=measured,
        metrics=metrics(measured, rows),
        figures=figures(measured),
        tables={name: table(of) for name, of in rows.items()},
    )


def all_rows(measured: Measured, config: Config) -> dict[str, Rows]:
    """The rows of every table."""
    gradients = measured.gradients
    return {
        "ascents": [
            {
                "model": name,
                "log p(x)": of.log_evidence,
                "gap of coordinate ascent": of.best_gap,
                "from its worst start": of.worst_gap,
                "sweeps to within .001": of.sweeps_needed,
                "stochastic ascent below it": of.stochastic_excess,
            }
            for name, of in measured.ascents.items()
        ],
        "widths": [
            {
                "model": name,
                "variable": variable,
                "exact std": of.exact.std[i],
                "mean field's std": of.mean_field.std[i],
                "ratio": of.ratio[i],
                "distance of means / exact std": round(float(of.offset[i]), 6),
                "exact correlation": round(of.exact.correlation, 6),
            }
            for name, of in measured.posteriors.items()
            for i, variable in enumerate(VARIABLES[name])
        ],
        "batches": batch_rows(measured.minibatches),
        "gradients": [
            {
                "estimator": name,
                "bound": "ELBO" if name in OF_ELBO else f"K = {config.draws}",
                "variance, q the prior": gradients.variance(name, "prior"),
                "variance, q the optimum": gradients.variance(name, "optimum"),
                "largest bias / its error": gradients.largest_bias.get(name),
            }
            for name in OF_ELBO | OF_WEIGHTED
        ],
        "toy-ends": [
            {"estimator": of.estimator, "x": of.x, "shape": of.shape, "rate / (x + 1)": of.rate, "KL": of.kl}
            for of in measured.toy
        ],
        "encoders": [
            {
                "rank": of.rank,
                "least": max(of.least, 0.0) if of.least > -1e-9 else of.least,
                "trained": of.trained,
                "smallest of any datum": of.smallest,
                "approximation gap": of.approximation,
            }
            for of in measured.amortisation
        ],
    }


def batch_rows(measured: Minibatches) -> Rows:
    """A row for each size of a batch with falling steps, then one for the constant step."""
    smallest = next(iter(measured.falling))
    cases = {f"B = {size}": (size, of) for size, of in measured.falling.items()}
    cases[f"B = {smallest}, ρ = 0.1"] = smallest, measured.constant
    return [
        {
            "batches": name,
            "bias of the ELBO": measured.estimates[size].bias,
            "std of one batch's ELBO": measured.estimates[size].std,
            "below the optimum after 1 pass": of.after_one_pass,
            "at the end": of.at_the_end,
        }
        for name, (size, of) in cases.items()
    ]


def metrics(measured: Measured, rows: dict[str, Rows]) -> dict[str, Any]:
    """The numbers for metrics.json."""
    more = measured.more_draws
    ratios = {name: of.mean(0) for name, of in more.ratio.items()}
    return {
        **rows,
        "one sweep": float(measured.minibatches.whole.below[0, 0]),
        "theta": {str(x): {"best": of.best, "kl": of.least} for x, of in measured.divergences.items()},
        "more_draws": {"draws": more.draws, "slopes": more.slopes, **ratios},
    }


def figures(measured: Measured) -> dict[str, Figure]:
    """All figures by name."""
    divergences = {f"x = {x:g}": (of.theta, of.kl) for x, of in measured.divergences.items()}
    return {
        "bounds": bounds(measured.ascents),
        "posteriors": panels_2d(
            [[density(name, of) for name, of in measured.posteriors.items() if name != OWN_MODE]],
            EXTENT, color_label="density / its highest", log_color=False,
        ),
        "minibatches": minibatches(measured.minibatches),
        "draws": draws(measured.more_draws),
        "theta": curves(divergences, x_label="θ", y_label="KL(q ‖ posterior), nats", log_x=True, height=270),
        "toy": toy(measured),
        "amortisation": amortisation(measured),
    }  # fmt: skip


def bounds(ascents: dict[str, Ascents]) -> Figure:
    """The gaps of both ascents along their passes over the data."""
    quantities = {}
    for name, of in ascents.items():
        sweeps = np.arange(of.gap.shape[1]) / 2
        along = of.log_evidence - of.stochastic_elbo.mean(0)
        shown = np.unique(np.geomspace(1, len(along) - 1, 200).astype(int))
        lines = {
            "coordinate ascent": (sweeps[1:], of.gap[:, 1:].mean(0)),
            "stochastic ascent": (of.batch_share * shown, along[shown]),
        }
        if name == MIXTURE:
            lines["log 2"] = np.geomspace(sweeps[1], sweeps[-1], 50), np.full(50, math.log(2))
        quantities[f"{name}: log p(x) − ELBO"] = lines
    return panels(quantities, x_label="passes over the data", log_x=True, log_y=list(quantities), columns=2, height=310)


def density(name: str, of: Posterior) -> Panel2D:
    """The exact posterior as colour and the mean field as contours."""
    return Panel2D(f"{name}: {' and '.join(VARIABLES[name])}", heat=of.density, density=of.mean_field_density)


def minibatches(measured: Minibatches) -> Figure:
    """How far each ascent is below the optimum; less than a millionth of a nat is not shown."""
    smallest = next(iter(measured.falling))

    def line(of: Ascent) -> tuple[np.ndarray, np.ndarray]:
        mean = of.below.mean(0)
        return of.passes, np.where(mean > 1e-6, mean, np.nan)

    lines = {"all data, ρ = 1": line(measured.whole)}
    lines |= {f"B = {size}": line(of) for size, of in measured.falling.items()}
    lines[f"B = {smallest}, ρ = 0.1"] = line(measured.constant)
    return curves(
        lines, x_label="passes over the data", y_label="nats below the optimum", log_x=True, log_y=True, height=320
    )


def draws(measured: MoreDraws) -> Figure:
    """Noise over signal by the number of draws."""
    lines = {name: (measured.draws, of.mean(0)) for name, of in measured.ratio.items()}
    return curves(lines, x_label="draws K of a gradient", y_label="noise / signal", log_x=True, log_y=True, height=330)


def toy(measured: Measured) -> Figure:
    """The divergence along the ascents at the middle datum."""
    data = list(measured.divergences)
    shown = [of for of in measured.toy if of.x == data[len(data) // 2]]
    lines = {of.estimator: (np.arange(1, len(of.path)), np.maximum(of.path[1:], 1e-15)) for of in shown}
    return curves(lines, x_label="step", y_label="KL(q ‖ posterior), nats", log_y=True, height=320)


def amortisation(measured: Measured) -> Figure:
    """The amortisation gap along training, and how far it is above the least of its rank."""
    rows = measured.amortisation
    quantities = {
        "amortisation gap, nats": {f"rank {of.rank}": (of.steps, of.gap) for of in rows},
        "above the least of its rank": {
            f"rank {of.rank}": (of.steps, np.maximum(of.gap - of.least, 1e-9)) for of in rows
        },
    }
    return panels(quantities, x_label="training step", log_x=True, log_y=list(quantities), columns=2, height=310)
