"""The NCSN toy by its mixture: what score matching on clean data knows of the score where there are no data."""

from collections.abc import Sequence

import numpy as np

from experiments.toy_chance import over_seeds, plus_minus
from experiments.toy_sampling import density, exact_field, learned_field, log_density
from jaxgen.metrics import MeanAndError
from jaxgen.report import Panel2D, Report, curves, lattice, panels_2d

HALF, ARROWS, CELLS = 8.0, 17, 120
LIMITS = (-HALF, HALF)


def by_density(error: np.ndarray, target: np.ndarray, log_density: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Relative error √(Σ‖error‖²/Σ‖target‖²) in each bin of log-density between ascending edges; NaN in empty ones."""
    bins = np.digitize(log_density.ravel(), edges) - 1
    squares = [np.sum(np.square(field), -1).ravel() for field in (error, target)]
    sums = [np.bincount(bins, weights, len(edges))[: len(edges) - 1] for weights in squares]
    return np.sqrt(np.divide(sums[0], sums[1], out=np.full(len(edges) - 1, np.nan), where=sums[1] > 0))


def low_density(report: Report, models, config) -> None:
    """The score that sliced score matching learned, its error, and the error by density."""
    mixture, points = models.mixture, lattice(LIMITS, CELLS)
    p, log_p = density(mixture, points), log_density(mixture, points) / np.log(10)
    of_p = exact_field(mixture, points)
    errors = [learned_field(models.net, params, points) - of_p for params in models.clean]
    edges = np.arange(np.floor(log_p.min()), 1.0)
    lines = {"learned on clean data": np.mean([by_density(e, of_p, log_p, edges) for e in errors], 0)}
    often, rare, relative = log_p > -3, log_p < -6, {}
    for sigma in models.sigmas[[-1, len(models.sigmas) // 2, 0]]:
        of_q = exact_field(mixture, points, sigma)
        found = [learned_field(models.net, params, points, sigma) - of_q for params in models.many]
        lines[f"all levels, at σ = {sigma:.3g}"] = np.mean([by_density(e, of_q, log_p, edges) for e in found], 0)
        relative[float(sigma)] = relative_errors(found, of_q, rare)
    near, far, empty = relative_errors(errors, of_p, often), relative_errors(errors, of_p, rare), float(np.mean(rare))
    report.metrics["low_density"] = {
        "relative error where p > 1e-3": near,
        "relative error where p < 1e-6": far,
        "share of the square where p < 1e-6": empty,
        "relative error of all levels where p < 1e-6": {str(sigma): error for sigma, error in relative.items()},
        "log10 p": edges[:-1] + 0.5,
        "by density": lines,
    }
    places = lattice(LIMITS, ARROWS).reshape(-1, 2)
    panels = [
        Panel2D("exact ∇ log p", density=p, arrows=(places, exact_field(mixture, places))),
        Panel2D(
            "learned on clean data", density=p, arrows=(places, learned_field(models.net, models.clean[0], places))
        ),
    ]
    report.figure(
        panels_2d([panels], LIMITS, color_label="length of the score"),
        "score-fields",
        "The score of 0.8 N((5, 5), I) + 0.2 N((−5, −5), I), and what a network learned from draws of it by sliced "
        "score matching; contours of p at one, two and three standard deviations of the larger mode. Where p > 1e-3 "
        f"the learned score is off by {percent(near)}, where p < 1e-6, on {empty:.0%} of the square, by "
        f"{percent(far)} (root mean square, relative, mean ± standard error over {config.seeds} trainings).",
    )
    length = np.linalg.norm(errors[0], axis=-1)
    weighted = p * length**2
    maps = [
        Panel2D("‖learned − exact‖", heat=length / length.max(), density=p),
        Panel2D("p ‖learned − exact‖²", heat=weighted / weighted.max(), density=p),
    ]
    inside, worst = weighted[~rare].sum() / weighted.sum(), np.unravel_index(np.argmax(length), length.shape)
    report.figure(
        panels_2d([maps], LIMITS, color_label="share of its largest value"),
        "score-error",
        f"Left: the error of the learned score, at most {length.max():.2g}, where p = 1e{log_p[worst]:.0f}. Right: its "
        f"square weighted by p, which is what the loss contains: {inside:.2%} of it lies where p > 1e-6, on "
        f"{np.mean(~rare):.0%} of the square. Both in shares of their largest value.",
    )
    report.figure(
        curves(
            {name: (edges[:-1] + 0.5, values) for name, values in lines.items()},
            x_label="log₁₀ p(x)", y_label="relative error of the score", log_y=True, height=300,
        ),
        "error-by-density",
        "Relative error of the learned scores by p's density at the place. The network of all levels, held against the "
        "score of p * N(0, σ² I), is off where p < 1e-6 by "
        + ", ".join(f"{percent(error)} at σ = {sigma:.3g}" for sigma, error in relative.items())
        + ".",
    )  # fmt: skip
    sigma = float(models.sigmas[0])
    report.finding(empty_regions(near, far, empty, sigma, relative[sigma]))


def relative_errors(errors: Sequence[np.ndarray], target: np.ndarray, where: np.ndarray) -> MeanAndError:
    """√(Σ‖error‖²/Σ‖target‖²) over the places `where`, over trainings."""
    total = np.sum(np.square(target[where]))
    return over_seeds([np.sqrt(np.sum(np.square(error[where])) / total) for error in errors])


def percent(value: MeanAndError) -> str:
    """A relative error with its own."""
    return plus_minus(MeanAndError(100 * value.mean, 100 * value.error)) + "%"


def empty_regions(near: MeanAndError, far: MeanAndError, empty: float, sigma: float, noised: MeanAndError) -> str:
    """What happens to the error where there are no data, and whether noise mends it: by a factor of two at least."""
    rose = "grows" if far.mean > 2 * near.mean else "does not grow"
    filled = "fills the gap" if 2 * noised.mean < far.mean else "does not fill the gap"
    return (
        f"**Empty regions.** The relative error of the score learned on clean data {rose} from {percent(near)} where "
        f"p > 1e-3 to {percent(far)} where p < 1e-6, which is {empty:.0%} of the square that chains start in. Noise "
        f"{filled}: at σ = {sigma:g} the network of all levels is off by {percent(noised)} at the same places."
    )
