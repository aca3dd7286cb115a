"""The figures and tables of the report on recovery likelihood and prior holes; its text is report.md."""

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from experiments.kit.frechet import FRECHET
from experiments.kit.run import Run
from experiments.kit.statistics import over_repetitions
from experiments.recovery_likelihood.config import Config
from experiments.recovery_likelihood.measure import Measured
from experiments.recovery_likelihood.measure_latent import AGGREGATE, CLASSIFIED, LEARNED, NORMAL, POINTS, RESAMPLED
from experiments.recovery_likelihood.measure_plane import BEST, ENERGY, GAUSSIAN, TRUTH
from experiments.recovery_likelihood.modes import LIMITS, WEIGHTS
from jaxgen.report import Panel2D, dot_plot, image_grid, panels, panels_2d, strip, table

COLUMNS = 15
SCATTERED = 1500
LATENT_LIMITS = (-4.0, 4.0)


def write(run: Run[Config], measured: Measured) -> Path:
    """Write the report and return its path."""
    rows = {"plane": plane_rows(measured), "priors": prior_rows(measured), "images": image_rows(measured)}
    return run.write_report(
        Path(__file__).with_name("report.md"),
        values=measured,
        metrics=rows
        | {
            "closed": measured.closed._asdict(),
            "calls of Gaussian kernels to match": measured.plane.calls_to_match,
            "curves": {name: of._asdict() for name, of in measured.plane.curves.items()},
            "long chains": {"calls": measured.images.long.calls, **measured.images.long.distances},
            "parameters": measured.parameters,
        },
        figures=figures(measured),
        tables={
            "plane-numbers": table(rows["plane"]),
            "prior-numbers": table(rows["priors"]),
            "image-numbers": table(rows["images"]),
        },
    )


def plane_rows(measured: Measured) -> list[dict[str, Any]]:
    """A row for each chain of the plane."""
    return [
        {
            "reverse kernels": kind,
            "steps": of.steps or None,
            "calls": of.calls or None,
            "mass in the hole": of.hole,
            "largest error of a weight": over_repetitions(of.weight_errors),
            "modes found, by seed": ", ".join(map(str, of.modes)),
            "MMD / floor": of.mmd,
            "seconds per 1000": of.seconds or None,
        }
        for kind, each in measured.plane.chains.items()
        for of in each.values()
    ]


def prior_rows(measured: Measured) -> list[dict[str, Any]]:
    """A row for each prior of the VAEs."""
    return [
        {
            "latents from": name,
            FRECHET: of.frechet,
            "precision": over_repetitions(of.precisions),
            "recall": over_repetitions(of.recalls),
            "mass in the hole": of.hole,
            "calls": of.calls or None,
            "seconds per 1000": of.seconds if of.calls else None,
        }
        for name, of in measured.latent.priors.items()
    ]


def image_rows(measured: Measured) -> list[dict[str, Any]]:
    """A row for each way to draw images."""
    return [
        {
            "images": name,
            "calls": of.calls,
            FRECHET: of.mean("frechet"),
            "precision": of.mean("precision"),
            "recall": of.mean("recall"),
            "seconds per 50": of.seconds,
        }
        for name, of in measured.images.methods.items()
    ]


def figures(measured: Measured) -> dict[str, Figure]:
    """All figures by name."""
    priors, images = measured.latent.priors, measured.images
    long = images.long
    return {
        "plane-samples": plane_samples(measured),
        "kernels": kernels(measured),
        "weights": weights(measured),
        "plane-costs": plane_costs(measured),
        "latents": latents(measured),
        "prior-images": image_grid(
            np.concatenate([of.shown for of in priors.values()]), COLUMNS, row_labels=list(priors)
        ),
        "training": training(measured),
        "images": image_grid(
            np.concatenate([of.shown[: 2 * COLUMNS] for of in images.methods.values()]), COLUMNS,
            row_labels=[label for name in images.methods for label in (name, "")],
        ),
        "long-images": strip(long.shown, [f"+{calls}" for calls in long.shown_calls]),
        "long-distances": panels(
            {"squared MMD to training images": {
                **{f"from {name}": (long.calls, of) for name, of in long.distances.items()},
                "held-out images": (long.calls, np.full(len(long.calls), long.floor)),
            }},
            x_label="Langevin calls after sampling", columns=1, height=280,
        ),
    }  # fmt: skip


def plane_samples(measured: Measured) -> Figure:
    """Samples of the first seed of every chain."""

    def panel(title: str, x: np.ndarray) -> Panel2D:
        inside = x[(np.abs(x) < LIMITS[1]).all(-1)][:SCATTERED]
        return Panel2D(title, points=inside if len(inside) else None)

    chains = measured.plane.chains
    rows = [
        [panel(f"{kind},\n{of.steps} steps", of.samples) for of in chains[kind].values()]
        for kind in (GAUSSIAN, BEST, ENERGY)
    ]
    rows[0].append(panel(TRUTH, chains[TRUTH][0].samples))
    return panels_2d(rows, LIMITS)


def kernels(measured: Measured) -> Figure:
    """One reverse kernel: exact, of the energy, the chains in it, and the best Gaussian."""
    found = measured.plane.kernels
    highest = float(found.exact.max())
    ends = found.ends[(np.abs(found.ends) < LIMITS[1]).all(-1)]
    shown = [
        Panel2D("exact", heat=found.exact, points=found.condition[None]),
        Panel2D("energy", heat=found.energy, points=found.condition[None]),
        Panel2D("ends of its chains", points=ends if len(ends) else None),
        Panel2D("best Gaussian", heat=found.gaussian, points=found.condition[None]),
    ]
    return panels_2d([shown], LIMITS, color_label="density", log_color=False, color_limits=(0.0, 1.1 * highest))


def weights(measured: Measured) -> Figure:
    """The weight of each mode by the chains of the compared number of steps, with standard errors."""
    steps, chains = measured.closed.steps, measured.plane.chains

    def spread(shares: np.ndarray) -> tuple[float, float, float]:
        mean, error = over_repetitions(shares)
        return mean, mean - error, mean + error

    names = [f"mode {k + 1}" for k in range(len(WEIGHTS))]
    exact = {name: (weight,) * 3 for name, weight in zip(names, WEIGHTS, strict=True)}
    found = {
        kind: {name: spread(shares) for name, shares in zip(names, chains[kind][steps].weights.T, strict=True)}
        for kind in (GAUSSIAN, BEST, ENERGY)
    }
    return dot_plot(
        {TRUTH: exact} | found, x_label=f"share of samples nearest to the mode, {steps} steps", row_height=32
    )


def plane_costs(measured: Measured) -> Figure:
    """Hole and MMD by network calls."""
    curves = measured.plane.curves
    hole, mmd = "mass in the hole", "MMD / floor"
    return panels(
        {
            hole: {name: (of.calls, np.maximum(of.hole, 1e-4)) for name, of in curves.items()},
            mmd: {name: (of.calls, np.where(np.isfinite(of.mmd), of.mmd, np.nan)) for name, of in curves.items()},
        },
        x_label="network calls for a sample", log_x=True, log_y=(hole, mmd), columns=2, height=280,
    )  # fmt: skip


def latents(measured: Measured) -> Figure:
    """The aggregate posterior and the priors in the two coordinates that show the hole most."""
    axes, priors = list(measured.latent.axes), measured.latent.priors

    def panel(name: str) -> Panel2D:
        z = priors[name].latents[:POINTS, axes]
        return Panel2D(
            name if name == NORMAL else name.replace(", ", ",\n"), points=z[(np.abs(z) < LATENT_LIMITS[1]).all(-1)]
        )

    shown = (AGGREGATE, NORMAL, RESAMPLED, CLASSIFIED, LEARNED)
    return panels_2d([[panel(name) for name in shown]], LATENT_LIMITS)


def training(measured: Measured) -> Figure:
    """What was followed in all trainings."""
    plane, latent, images = measured.plane_histories, measured.latent_histories, measured.image_histories
    return panels(
        {
            "plane: KL of energies (nats)": {
                f"{levels} levels": of["eval/loss"] for levels, of in plane.items()
            },
            "VAE: −ELBO (nats)": {"held out": latent["VAE"]["eval/loss"]},
            "images: error of the score": {name: of["eval/loss"] for name, of in images.items()},
        },
        x_label="training step",
    )  # fmt: skip
