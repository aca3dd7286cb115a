"""The figures and tables of the report on the Dirac-GAN; its text is report.md."""

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from experiments.dirac_gan.config import Config
from experiments.dirac_gan.measure import Measured
from experiments.dirac_gan.measure_portraits import CELLS, EXTENT, GONE, METHODS, Portrait
from experiments.dirac_gan.measure_steps import CriticalSizes
from experiments.dirac_gan.variants import NAMES
from experiments.kit.plane import lattice
from experiments.kit.run import Run
from jaxgen.report import Panel2D, curves, format_value, panels, panels_2d, table

Rows = list[dict[str, Any]]

RADII = 1e-3, 1e2  # shown
HIGHEST = 2.0  # modulus shown


def write(run: Run[Config], measured: Measured) -> Path:
    """Write the report and return its path."""
    rows = all_rows(measured)
    return run.write_report(
        Path(__file__).with_name("report.md"),
        values=measured,
        metrics=metrics(measured, rows),
        figures=figures(run.config, measured),
        tables={
            "eigenvalues": table(rows["eigenvalues"], formats={"largest difference": rounded}),
            "outcomes": table(rows["outcomes"]),
            "critical-strengths": table(rows["critical-strengths"], digits=7),
            "critical-sizes": table(rows["critical-sizes"], digits=4, formats={"strength": "g"}),
            "cycles": table(rows["cycles"], formats={"h": "g", "2h": "g"}),
        },
    )


def all_rows(measured: Measured) -> dict[str, Rows]:
    """The rows of every table."""
    found = measured.eigenvalues
    return {
        "eigenvalues": [
            {
                "variant": name,
                "formula": eigenvalue_pair(found.formula[variant]),
                "measured": eigenvalue_pair(found.measured[variant]),
                "largest difference": found.error[variant],
            }
            if variant in found.measured
            else {"variant": name, "formula": "none: kink at ψ = 0"}
            for variant, name in NAMES.items()
        ],
        "outcomes": [
            {"variant": of.name}
            | {name: f"{of.outcomes[method]}, {radius(of.end[method])}" for method, name in METHODS.items()}
            for of in measured.portraits.values()
        ],
        "critical-strengths": [
            {
                "remedy": NAMES[variant],
                "strength": "σ²" if variant == "instance_noise" else "γ",
                "formula": of.formula,
                "measured, from": of.low,
                "to": of.high,
            }
            for variant, of in found.critical.items()
        ],
        "critical-sizes": [row for of in measured.critical for row in size_rows(of)],
        "cycles": [
            {
                "h": float(size),
                "2h": 2 * float(size),
                "r² from within": float(within),
                "r² from without": float(without),
                "alternating, r² from without": float(in_turn),
            }
            for size, (within, without), (_, in_turn) in zip(
                measured.cycles.sizes, measured.cycles.simultaneous, measured.cycles.alternating, strict=True
            )
        ],
    }


def size_rows(of: CriticalSizes) -> Rows:
    """A row for each strength that was checked on trajectories."""
    first = len(of.strengths) - of.checked
    return [
        {
            "remedy": of.name,
            "strength": float(of.strengths[first + i]),
            "formula": float(of.formula[first + i]),
            "measured": float(of.middle[first + i]),
            "5 % below": "falls" if of.falls[i] else "rises",
            "5 % above": "rises" if of.rises[i] else "falls",
        }
        for i in range(of.checked)
    ]


def eigenvalue_pair(values: np.ndarray) -> str:
    """Two eigenvalues as text: a ± bi, or two real numbers."""
    first, second = values
    if abs(first.imag) < 1e-9:
        return " and ".join(format_value(float(each.real)) for each in (first, second))
    real = format_value(float(first.real)) if abs(first.real) > 1e-9 else ""
    return f"{real} ± {format_value(float(abs(first.imag)))}i".strip().replace("± ", "± " if real else "±")


def radius(value: float) -> str:
    """A radius in few digits; that of a trajectory that has arrived is only rounding."""
    return f"r = {format_value(value)}" if value > GONE else "r → 0"


def rounded(value: float) -> str:
    """An error in one digit."""
    return format_value(value, 1)


def metrics(measured: Measured, rows: dict[str, Rows]) -> dict[str, Any]:
    """The numbers for metrics.json."""
    found = measured.eigenvalues
    return {
        "eigenvalues": {
            NAMES[variant]: {
                "formula": [[each.real, each.imag] for each in found.formula[variant].tolist()],
                "measured": [[each.real, each.imag] for each in of.tolist()],
                "largest difference": found.error[variant],
            }
            for variant, of in found.measured.items()
        },
        "outcomes": {
            of.name: {method: [of.outcomes[method], of.end[method]] for method in METHODS}
            for of in measured.portraits.values()
        },
        "drift of the flow": measured.portraits["unregularised"].drift,
        "laws": measured.laws._asdict(),
        "critical strengths": rows["critical-strengths"],
        "critical sizes": rows["critical-sizes"],
        "worst critical size": {of.name: of.error for of in measured.critical},
        "cycles": rows["cycles"],
        "late": measured.cycles.late,
    }


def figures(config: Config, measured: Measured) -> dict[str, Figure]:
    """All figures by name."""
    found = measured.eigenvalues
    return {
        "portraits": portraits(config, measured),
        "radii": radii(config, measured),
        "damping": curves(
            {NAMES[variant]: (found.strengths, of) for variant, of in found.slowest.items()},
            x_label="strength: γ, or σ² of instance noise", y_label="largest real part", height=290,
        ),
        "moduli": moduli(measured),
        "critical": curves(
            {of.name: grid(of) for of in measured.critical},
            x_label="strength: γ, or σ² of instance noise", y_label="critical step size h", height=320,
        ),
    }  # fmt: skip


def portraits(config: Config, measured: Measured) -> Figure:
    """A panel for each variant, titled with its outcomes."""
    places = lattice(EXTENT, CELLS).reshape(-1, 2)

    def panel(of: Portrait) -> Panel2D:
        shown = of.paths[: config.shown_steps + 1]
        return Panel2D(f"{of.name}: {verdict(of)}", arrows=(places, of.velocity), paths=shown)

    shown = [panel(of) for of in measured.portraits.values()]
    return panels_2d(
        [shown[i : i + 3] for i in range(0, len(shown), 3)],
        EXTENT,
        path_labels=list(METHODS.values()),
        axis_labels=("generator θ", "critic ψ"),
        arrow_colors=False,
    )


def verdict(of: Portrait) -> str:
    """Whether a variant converges; the exceptions have a line each."""
    others = of.methods("cycles", "diverges")
    if len(others) == len(METHODS):
        return "does not converge"
    return ",\n".join(["converges", *(f"but not by {name}" for name in others)])


def radii(config: Config, measured: Measured) -> Figure:
    """The distance to the equilibrium over a long time; what is too small or too large to show is left out."""
    steps = np.unique(np.geomspace(1, config.followed_steps, 300).astype(int))
    quantities = {}
    for of in measured.portraits.values():
        shown = np.where((of.radius > RADII[0]) & (of.radius < RADII[1]), of.radius, np.nan)[steps]
        quantities[f"{of.name}: r"] = {
            name: (config.step_size * steps, shown[:, i]) for i, name in enumerate(METHODS.values())
        }
    return panels(quantities, x_label="time h × step", log_x=True, log_y=list(quantities), height=190)


def moduli(measured: Measured) -> Figure:
    """The largest modulus by step size."""
    lines = {
        f"{NAMES[variant]}, {order}": (measured.moduli.sizes, np.where(of < HIGHEST, of, np.nan))
        for (variant, order), of in measured.moduli.largest.items()
    }
    return curves(lines, x_label="step size h", y_label="largest |λ|", levels={"|λ| = 1": 1.0}, height=340)


def grid(of: CriticalSizes) -> tuple[np.ndarray, np.ndarray]:
    """The measured critical step sizes along the grid of strengths."""
    last = len(of.strengths) - of.checked
    return of.strengths[:last], of.middle[:last]
