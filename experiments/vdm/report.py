"""The figures and tables of the report on variational diffusion models; its text is report.md."""

from pathlib import Path
from typing import Any

import numpy as np

from experiments.kit.run import Run
from experiments.vdm.config import Config
from experiments.vdm.measure import Measured
from experiments.vdm.measure_chains import Chains
from experiments.vdm.measure_likelihood import Bits
from experiments.vdm.measure_shapes import Shapes
from jaxgen.report import curves, image_grid, panels, table

BITS_COLUMNS = ("schedule", "by", "images", "prior", "diffusion", "reconstruction", "bits/dim", "network calls")
BITS_TITLES = {"reconstruction": "reconstr.", "network calls": "calls"}
SPREADS = ["std of one draw", "std of a batch, uniform t", "std of a batch, stratified t"]


def write(run: Run[Config], measured: Measured) -> Path:
    """Write the report and return its path."""
    rows = {
        "shapes": shape_rows(measured.shapes),
        "chains": chain_rows(measured.chains),
        "bits": bits_rows(measured.bits),
    }
    tables = {
        "shapes": table(rows["shapes"], best=dict.fromkeys(SPREADS, "min")),
        "chains": table(rows["chains"]),
        "bits": table(rows["bits"], {name: BITS_TITLES.get(name, name) for name in BITS_COLUMNS}),
    }
    return run.write_report(
        Path(__file__).with_name("report.md"),
        values=measured,
        metrics={
            "ends": {name: of.ends for name, of in measured.schedules.items()},
            "shapes": rows["shapes"],
            "finite": rows["chains"],
            "bits_per_dim": rows["bits"],
            "compressors": measured.compressors._asdict(),
        },
        figures=figures(measured),
        tables=tables,
    )


def shape_rows(shapes: Shapes) -> list[dict[str, Any]]:
    """A row for each shape of γ."""
    return [
        {
            "shape of γ": name,
            "diffusion term": tuple(of.diffusion),
            "minus the straight one's": tuple(of.above_straight),
            **dict(zip(SPREADS, (of.one_draw, *of.batch), strict=True)),
        }
        for name, of in shapes.by_name.items()
    ]


def chain_rows(chains: Chains) -> list[dict[str, Any]]:
    """A row for each T, then one for continuous time."""
    rows = [
        {"T": steps, "diffusion term": tuple(of.diffusion), "above T = ∞": tuple(of.excess)}
        for steps, of in chains.by_steps.items()
    ]
    return [*rows, {"T": "∞", "diffusion term": tuple(chains.limit)}]


def bits_rows(bits: dict[str, Bits]) -> list[dict[str, Any]]:
    """Two rows for each model: by the bound and by the ODE."""
    rows = []
    for name, of in bits.items():
        terms = {"prior": of.prior, "diffusion": of.diffusion, "reconstruction": of.reconstruction}
        rows.append({"schedule": name, "by": "bound", "images": len(of.bound)} | terms | {"bits/dim": tuple(of.mean)})
        rows.append(
            {
                "schedule": name,
                "by": "ODE",
                "images": len(of.ode.bits),
                "network calls": of.ode.calls,
                "reconstruction": of.ode.reconstruction,
                "bits/dim": tuple(of.ode_mean),
            }
        )
    return rows


def figures(measured: Measured) -> dict[str, Any]:
    """All figures by name."""
    labels = [label for name in measured.samples for label in (name, "")]
    found = {
        "data": image_grid(measured.real, 15),
        "schedules": curves(
            {name: (of.t, of.gamma) for name, of in measured.schedules.items()},
            x_label="time t",
            y_label="γ = −log SNR (nats)",
        ),
        "training": training(measured),
        "integrand": curves(
            {name: (of.t, of.integrand) for name, of in measured.shapes.by_name.items()},
            x_label="time t",
            y_label="diffusion term at t (bits/dim)",
            log_y=True,
        ),
        "samples": image_grid(np.concatenate(list(measured.samples.values())), 15, row_labels=labels),
    }
    excess = {steps: of.excess.mean for steps, of in measured.chains.by_steps.items() if of.excess.mean > 0}
    if excess:
        found["finite"] = finite(excess)
    return found


def training(measured: Measured) -> Any:
    """Bits along training, and the square of the diffusion term."""
    quantities = {"bits/dim of a batch": "loss", "diffusion term squared": "diffusion_squared"}
    return panels(
        {
            quantity: {name: history[key] for name, history in measured.histories.items()}
            for quantity, key in quantities.items()
        },
        x_label="training step",
        log_y=quantities,
        smooth={name: max(1, len(history["loss"][0]) // 40) for name, history in measured.histories.items()},
    )


def finite(excess: dict[int, float]) -> Any:
    """The excess of T steps over continuous time, where it is above 0, and 1/T through the first point."""
    steps, values = list(excess), list(excess.values())
    return curves(
        {"L_T − L_∞": (steps, values), "1/T": (steps, [values[0] * steps[0] / n for n in steps])},
        x_label="steps T",
        y_label="bits/dim",
        log_x=True,
        log_y=True,
    )
