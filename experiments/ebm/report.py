"""The figures and tables of the report on energies in the plane; its text is report.md."""

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from experiments.ebm.config import Config
from experiments.ebm.densities import LIMITS
from experiments.ebm.measure import Measured
from experiments.ebm.methods import NAMES
from experiments.kit.run import Run
from jaxgen.report import Panel2D, format_value, panels, panels_2d, table

LEARNED = ("persistent", "dsm", "recovery")
TITLES = NAMES | {"truth": "truth"}


def write(run: Run[Config], measured: Measured) -> Path:
    """Write the report and return its path."""
    rows = {"landscapes": landscape_rows(measured), "samples": sample_rows(measured)}
    return run.write_report(
        Path(__file__).with_name("report.md"),
        values=measured,
        metrics=rows
        | {
            "costs": {name: {key: of._asdict() for key, of in each.items()} for name, each in measured.costs.items()},
            "drifts": {name: {key: of._asdict() for key, of in each.items()} for name, each in measured.drifts.items()},
            "calls to match the DDPM": measured.calls_to_match,
        },
        figures=figures(measured),
        tables={
            "landscape-numbers": table(rows["landscapes"], ("density", "learned by", "KL", "mass beyond")),
            "likelihoods": table(
                rows["landscapes"],
                ("density", "learned by", "log-likelihood", "first seed", "by AIS", "effective share"),
                formats={"log-likelihood": log_likelihood, "first seed": log_likelihood, "by AIS": annealed},
            ),
            "sample-numbers": table(rows["samples"]),
        },
    )


def landscape_rows(measured: Measured) -> list[dict[str, Any]]:
    """A row for each energy."""
    return [
        {
            "density": name,
            "learned by": NAMES[key],
            "KL": of.divergence,
            "mass beyond": of.beyond.mean(),
            "log-likelihood": of.likelihood.mean,
            "first seed": float(of.likelihoods[0]),
            "by AIS": of.annealed,
            "effective share": of.share,
        }
        for name, each in measured.landscapes.items()
        for key, of in each.items()
    ]


def sample_rows(measured: Measured) -> list[dict[str, Any]]:
    """A row for each method."""
    return [
        {
            "density": name,
            "method": NAMES[key],
            "parameters": measured.parameters[NAMES[key]],
            "MMD / floor": of.mmd,
            "calls": of.calls,
            "seconds": of.seconds,
        }
        for name, each in measured.samples.items()
        for key, of in each.items()
        if key != "truth"
    ]


def log_likelihood(value: float) -> str:
    """A log-likelihood in three decimals, or in few digits where it is far off."""
    return f"{value:.3f}".replace("-", "−") if abs(value) < 100 else format_value(value)


def annealed(of: Any) -> str:
    """A log-likelihood and its error in three decimals."""
    if not np.isfinite(of.mean) or abs(of.mean) >= 100:
        return format_value(of.mean)
    return f"{of.mean:.3f} ± {of.error:.3f}".replace("-", "−")


def figures(measured: Measured) -> dict[str, Figure]:
    """All figures by name."""
    followed, mmd = "{}: KL", "{}: MMD / floor"
    names = list(measured.landscapes)
    return {
        "landscapes": landscape_figure(measured),
        "misfits": misfit_figure(measured),
        "samples": sample_figure(measured),
        "divergences": panels(
            {
                followed.format(name): {
                    NAMES[key]: (steps, np.maximum(kl, 1e-4))
                    for key in LEARNED
                    for steps, kl in [measured.histories[name][key]["eval/loss"]]
                }
                for name in names
            },
            x_label="training step", log_y=[followed.format(name) for name in names], columns=2,
        ),
        "costs": panels(
            {
                mmd.format(name): {NAMES[key]: (of.calls, finite(of.mmd)) for key, of in measured.costs[name].items()}
                for name in names
            },
            x_label="network calls for a sample", log_x=True, log_y=[mmd.format(name) for name in names], columns=2,
            height=260,
        ),
        "drifts": panels(
            {
                mmd.format(name): {NAMES[key]: (of.steps, finite(of.mmd)) for key, of in measured.drifts[name].items()}
                for name in names
            },
            x_label="Langevin steps after sampling", log_y=[mmd.format(name) for name in names], columns=2, height=260,
        ),
    }  # fmt: skip


def finite(values: np.ndarray) -> np.ndarray:
    """Values with gaps where they are not finite."""
    return np.where(np.isfinite(values), values, np.nan)


def landscape_figure(measured: Measured) -> Figure:
    """The true and the learned densities of the first seed, on one scale."""
    highest = max(float(of.truth.max()) for each in measured.landscapes.values() for of in each.values())
    rows = [
        [Panel2D("truth", heat=next(iter(each.values())).truth)]
        + [Panel2D(NAMES[key].replace("maximum", "max."), heat=of.density) for key, of in each.items()]
        for each in measured.landscapes.values()
    ]
    return panels_2d(rows, LIMITS, color_label="density", log_color=False, color_limits=(0.0, 1.1 * highest))


def misfit_figure(measured: Measured) -> Figure:
    """Where the energies are wrong; short-run chains are on another scale and left out."""
    rows = [
        [Panel2D(NAMES[key], heat=of.misfit, density=of.truth) for key, of in each.items() if key != "short_run"]
        for each in measured.landscapes.values()
    ]
    return panels_2d(rows, LIMITS, color_label="p |log q/p|", log_color=False)


def sample_figure(measured: Measured) -> Figure:
    """Samples of the first seed."""
    low, high = LIMITS
    rows = []
    for each in measured.samples.values():
        inside = {key: of.x[(np.abs(of.x) < high).all(-1)] for key, of in each.items()}
        shown = [Panel2D(TITLES[key], points=x if len(x) else None) for key, x in inside.items()]
        rows += [shown[:3], shown[3:]]
    return panels_2d(rows, (low, high))
