"""The figures of the mixture report."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from experiments.gmm_scores.config import Config
from experiments.gmm_scores.measure import Measured
from experiments.gmm_scores.measure_chains import Annealing, OneLevelChains, tenth
from experiments.gmm_scores.measure_samplers import Sampler, Samplers
from experiments.gmm_scores.measure_scores import Field, OneLevel, Target
from jaxgen.report import Panel2D, curves, dot_plot, panels_2d

LENGTH = "length of the score"
ROWS = ("ascent", "Langevin")
SIDES = ("started nearer to mode 1", "started nearer to mode 2")


def figures(config: Config, measured: Measured) -> dict[str, Any]:
    """All figures by name."""
    half = measured.target.half
    one_level, comparison = [of.field for of in measured.one_level], measured.comparison
    return {
        "mixture": mixture(measured.target),
        "fields": fields(one_level, half, "network"),
        **error_maps(measured.one_level, measured.target),
        "trajectories": trajectories(measured.chains, half),
        "starts": starts(measured.chains, half),
        "many-fields": fields(measured.many.fields, half, "one network"),
        "error-by-sigma": curves(
            measured.many.errors, x_label="σ", y_label="σ × error of the score", log_x=True, log_y=True, height=320
        ),
        "annealing": annealing(measured.annealing),
        "samples": samples(comparison, measured.target),
        "mmd": dot_plot(
            ranges(comparison, "mmds"),
            x_label=f"MMD to p of {config.samples} samples",
            levels={"floor": comparison.floor, "twice the floor": 2 * comparison.floor},
            log_x=True,
        ),
        "weights": dot_plot(
            ranges(comparison, "weights"),
            x_label="share of samples nearer to mode 1",
            levels={"in p": float(measured.target.weights[0])},
        ),
    }


def mixture(target: Target) -> Any:
    """Draws of p, and its score."""
    draws = Panel2D(f"{len(target.draws)} draws of p", density=target.density, points=target.draws)
    score = Panel2D("∇ log p", density=target.density, arrows=(target.places, target.score))
    return panels_2d([[draws, score]], (-target.half, target.half), color_label=LENGTH)


def fields(shown: Sequence[Field], half: float, learned: str) -> Any:
    """Exact scores above, learned ones below, a column per level."""
    rows = [
        [Panel2D(f"σ = {of.sigma:g}", density=of.density, arrows=(of.places, vectors(of))) for of in shown]
        for vectors in (lambda of: of.exact, lambda of: of.learned)
    ]
    return panels_2d(rows, (-half, half), color_label=LENGTH, row_labels=["exact", learned])


def error_maps(levels: Sequence[OneLevel], target: Target) -> dict[str, Any]:
    """Maps of the errors of the networks of one level."""
    limits = (-target.half, target.half)

    def maps(name: str, density: np.ndarray | None = None) -> list[Panel2D]:
        return [
            Panel2D(
                f"σ = {of.field.sigma:g}",
                heat=getattr(of, name),
                density=of.field.density if density is None else density,
            )
            for of in levels
        ]

    return {
        "errors": panels_2d([maps("error")], limits, color_label="‖network − ∇ log q‖"),
        "weighted-errors": panels_2d([maps("loss")], limits, color_label="q ‖network − ∇ log q‖²"),
        "bias": panels_2d(
            [maps("from_p", target.density), maps("exact_from_p", target.density)],
            limits,
            color_label="distance to ∇ log p",
            row_labels=["network", "exact ∇ log q"],
        ),
    }


def trajectories(chains: OneLevelChains, half: float) -> Any:
    """Paths from a circle; of Langevin dynamics the first tenth, for a whole path would hide itself."""
    ascent = [Panel2D(of.name, density=of.density, paths=of.paths) for of in chains.ascent]
    langevin = [Panel2D(of.name, density=of.density, paths=tenth(of.paths)) for of in chains.langevin]
    return panels_2d([ascent, langevin], (-half, half), row_labels=ROWS)


def starts(chains: OneLevelChains, half: float) -> Any:
    """Where all chains end, coloured by the side on which they began."""
    rows = [
        [Panel2D(f"{of.name}: {of.weight:.2f}", density=of.density, points=of.ends, groups=chains.sides) for of in each]
        for each in (chains.ascent, chains.langevin)
    ]
    return panels_2d(rows, (-half, half), row_labels=ROWS, group_labels=SIDES)


def annealing(of: Annealing) -> Any:
    """The chains at the start and after some levels."""
    panels = [
        Panel2D(f"{state.name}: {state.weight:.2f}", density=state.density, points=state.x, groups=of.sides)
        for state in of.shown
    ]
    return panels_2d([panels[:3], panels[3:]], (-of.half, of.half), group_labels=SIDES)


def samples(comparison: Samplers, target: Target) -> Any:
    """Samples of the methods, each with the width of its modes."""

    def title(of: Sampler) -> str:
        return "\n".join([*of.name.split(", ", 1), f"width {of.found[0].width:.2f}"])

    panels = [Panel2D(title(of), density=target.density, points=of.samples) for of in comparison.shown.values()]
    columns = -(-len(panels) // 2)
    return panels_2d([panels[:columns], panels[columns:]], (-target.half, target.half))


def ranges(comparison: Samplers, what: str) -> dict[str, dict[str, tuple[float, float, float]]]:
    """Mean, least and largest over seeds of each method, without the draws of p."""
    values = {of.name: getattr(of, what) for key, of in comparison.all.items() if key != "p"}
    return {"": {name: (float(of.mean()), float(of.min()), float(of.max())) for name, of in values.items()}}
