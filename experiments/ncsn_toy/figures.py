"""The figures of the NCSN toy."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from experiments.ncsn_toy import measure_regions, measure_ring, measure_weights
from experiments.ncsn_toy.measure import Measured
from experiments.ncsn_toy.measure_gradients import Dimensions, Variances
from experiments.ncsn_toy.measure_objectives import Objectives
from experiments.ncsn_toy.measure_regions import Regions
from experiments.ncsn_toy.measure_ring import Ring
from experiments.ncsn_toy.measure_weights import LONGER, Weights
from jaxgen.report import Panel2D, curves, panels, panels_2d

LENGTH = "length of the score"
GROUPS = ("started nearer to (5, 5)", "started nearer to (−5, −5)")


def figures(measured: Measured, dims: tuple[int, ...]) -> dict[str, Any]:
    """All figures by name."""
    weights = measured.weights
    return (
        region_figures(measured.regions)
        | {
            "langevin": ends(weights, "Langevin"),
            "annealed": ends(weights, "annealed"),
            "shares": curves(
                shares_along(weights),
                x_label="Langevin steps",
                y_label="share at (5, 5)",
                levels={"in p": weights.weight.mean},
            ),
        }
        | ring_figures(measured.ring)
        | {
            "objectives": objectives_figure(measured.objectives),
            "gradient-noise": gradient_noise(measured.variances),
            "dimension": dimension(measured.dimensions, dims),
        }
    )


def region_figures(regions: Regions) -> dict[str, Any]:
    """The exact and the learned score, the error, and the error by density."""
    limits, p = measure_regions.LIMITS, regions.p
    fields = [
        Panel2D("exact ∇ log p", density=p, arrows=(regions.places, regions.exact)),
        Panel2D("learned on clean data", density=p, arrows=(regions.places, regions.learned)),
    ]
    weighted = p * regions.error**2
    maps = [
        Panel2D("‖learned − exact‖", heat=regions.error / regions.error.max(), density=p),
        Panel2D("p ‖learned − exact‖²", heat=weighted / weighted.max(), density=p),
    ]
    by_density = {name: (regions.log_p, values) for name, values in regions.by_density.items()}
    return {
        "score-fields": panels_2d([fields], limits, color_label=LENGTH),
        "score-error": panels_2d([maps], limits, color_label="share of its largest value"),
        "error-by-density": curves(
            by_density, x_label="log₁₀ p(x)", y_label="relative error of the score", log_y=True, height=300
        ),
    }


def ends(weights: Weights, kind: str) -> Any:
    """Draws of the target, and the last states of chains in the colours of where they began."""
    target = weights.targets[kind]
    named = f"p * N(0, {target.sigma**2:g} I)" if target.sigma else "p"
    shown = [Panel2D(f"draws of {named}: {target.share:.2f}", density=target.density, points=target.points)]
    for name, of in weights.methods.items():
        if name.startswith(kind):
            title = "\n".join(f"{name}: {of.shown_share:.2f}".split(", ", 1))
            shown.append(Panel2D(title, density=target.density, points=of.shown, groups=weights.side))
    return panels_2d([shown], measure_weights.LIMITS, group_labels=GROUPS)


def shares_along(weights: Weights) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """The share of the first mode along the chains, by method; those of 3 × the steps would squeeze the others."""
    return {name: (of.steps, of.along) for name, of in weights.methods.items() if name != LONGER}


def ring_figures(ring: Ring) -> dict[str, Any]:
    """Losses on the ring, and fields of scores."""
    lines, levels = {}, {}
    for noise, loss in ring.loss.items():
        lines[f"noise {noise:g}" if noise else "no noise"] = (ring.steps, np.where(loss < -0.1, -loss, np.nan))
        if noise:
            levels[f"bound, noise {noise:g}"] = -ring.noises[noise].least_loss
    fields = [Panel2D(of.title, points=of.data, arrows=(ring.places, of.score)) for of in ring.fields]
    return {
        "ring-loss": curves(lines, x_label="training step", y_label="− loss", log_y=True, height=320, levels=levels),
        "ring-fields": panels_2d([fields], measure_ring.LIMITS, color_label=LENGTH),
    }


def objectives_figure(objectives: Objectives) -> Any:
    """The exact divergence of each objective, and the objective itself."""
    exact, shifted = "exact ½E‖s − ∇log q‖²", "the objective + its constant"
    return panels(
        {
            exact: {name: (objectives.steps, of.own_curve) for name, of in objectives.of.items()},
            shifted: {name: (objectives.steps, of.shifted_curve) for name, of in objectives.of.items()},
        },
        x_label="training step", log_y=[exact], columns=2, height=300,
    )  # fmt: skip


def gradient_noise(variances: Variances) -> Any:
    """The variance of the gradient by the σ of DSM."""
    sigmas = list(variances.dsm)
    level = np.geomspace(sigmas[0], sigmas[-1], 50)
    lines = {"DSM": (sigmas, [of.mean for of in variances.dsm.values()])}
    lines |= {name: (level, np.full(50, of.mean)) for name, of in variances.others.items()}
    return curves(lines, x_label="σ of DSM", y_label="variance of the gradient", log_x=True, log_y=True, height=300)


def dimension(dimensions: Dimensions, dims: tuple[int, ...]) -> Any:
    """Time and variance of a gradient over DSM's by dimension."""
    time, variance = "time of a gradient / DSM's", "variance of the gradient / DSM's"
    quantities: Mapping[str, Any] = {
        time: {name: (dims, [cost.time.median for cost in costs]) for name, costs in dimensions.costs.items()},
        variance: {name: (dims, [cost.variance.mean for cost in costs]) for name, costs in dimensions.costs.items()},
    }
    return panels(quantities, x_label="dimension d", log_x=True, log_y=list(quantities), columns=1, height=240)
