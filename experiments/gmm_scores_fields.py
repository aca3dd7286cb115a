"""The mixture experiment by its fields: exact and learned scores, and where and why they differ."""

from collections.abc import Callable, Sequence
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from experiments.toy_chance import over_seeds, plus_minus
from experiments.toy_sampling import density, exact_field, exact_score, learned_field, log_density
from jaxgen.distributions import GaussianMixture
from jaxgen.report import Panel2D, Report, curves, lattice, panels_2d

ARROWS, CELLS = 17, 120  # places of arrows, and cells of maps, on a side


def rms(error: np.ndarray, weights: np.ndarray | None = None) -> float:
    """Root mean square length of vectors (…, 2) under weights (…), by default equal ones."""
    squares = np.sum(np.square(np.asarray(error, np.float64)), -1)
    return float(np.sqrt(np.average(squares, weights=weights)))


def arrows(field: Callable[[np.ndarray], np.ndarray], half: float) -> tuple[np.ndarray, np.ndarray]:
    """Places and vectors of a field's arrows."""
    places = lattice((-half, half), ARROWS).reshape(-1, 2)
    return places, field(places)


def the_mixture(report: Report, mixture: GaussianMixture, n: int, half: float, seed: int) -> None:
    """The data, and the exact score of p."""
    x = mixture.sample(jax.random.key(seed + 2000), n)
    shown = density(mixture, lattice((-half, half), 200))
    weights, means = np.asarray(mixture.weights), np.asarray(mixture.means)
    apart = float(np.linalg.norm(means[0] - means[1]))
    report.figure(
        panels_2d(
            [
                [
                    Panel2D(f"{n} draws of p", density=shown, points=x),
                    Panel2D("∇ log p", density=shown, arrows=arrows(partial(exact_field, mixture), half)),
                ]
            ],
            (-half, half),
            color_label="length of the score",
        ),
        "mixture",
        f"p = {weights[0]:.2f} N(μ₁, Σ₁) + {weights[1]:.2f} N(μ₂, Σ₂), drawn from --seed {seed}, with means "
        f"({means[0, 0]:.1f}, {means[0, 1]:.1f}) and ({means[1, 0]:.1f}, {means[1, 1]:.1f}), {apart:.1f} apart. Left: "
        "data, and contours where p is e^−½, e^−2 and e^−9/2 of its highest: one, two and three standard deviations of "
        "a Gaussian. Right: its exact score; the colour tells the length. Between the modes the field parts along a "
        "line: on which side a chain is decides where it goes.",
    )
    report.metrics["mixture"] = {
        "weights": mixture.weights, "means": mixture.means, "covariances": mixture.covariances, "distance": apart
    }  # fmt: skip


def one_level(report: Report, models, half: float) -> None:
    """Exact and learned scores side by side at every σ."""
    exact, learned, relative = [], [], {}
    for sigma, fits in models.single.items():
        target = partial(exact_field, models.mixture, sigma=sigma)
        score = partial(learned_field, models.net, fits[0].params, sigma=sigma)
        shown = density(models.mixture, lattice((-half, half), 200), sigma)
        exact.append(Panel2D(f"∇ log q, σ = {sigma:g}", density=shown, arrows=arrows(target, half)))
        learned.append(Panel2D(f"network, σ = {sigma:g}", density=shown, arrows=arrows(score, half)))
        angles = _cosine(learned[-1].arrows[1], exact[-1].arrows[1])
        relative[sigma] = float(np.mean(angles))
    modes = {sigma: modes_left(models.mixture, sigma) for sigma in models.single}
    told = ", ".join(f"{value:.3f} at σ = {sigma:g}" for sigma, value in relative.items())
    report.figure(
        panels_2d([exact, learned], (-half, half), color_label="length of the score", row_labels=["exact", "learned"]),
        "fields",
        "Exact scores of q = p * N(0, σ² I), and what networks learned from noised draws by denoising score matching "
        "at that σ alone; contours of q. The directions agree with a mean cosine of "
        f"{told}; modes of q: " + ", ".join(f"{n} at σ = {sigma:g}" for sigma, n in modes.items()) + ".",
    )
    report.metrics["mean_cosine"] = {str(sigma): value for sigma, value in relative.items()}


def _cosine(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.sum(a * b, -1) / (np.linalg.norm(a, axis=-1) * np.linalg.norm(b, axis=-1))


def modes_left(mixture: GaussianMixture, sigma: float) -> int:
    """How many maxima the density under noise has along the line through both means, where all of them lie nearly."""
    means = np.asarray(mixture.means, np.float64)
    along = means[0] + np.linspace(-0.2, 1.2, 2001)[:, None] * (means[1] - means[0])
    values = log_density(mixture, along, sigma)
    inside = values[1:-1]
    return int(np.sum((inside > values[:-2]) & (inside >= values[2:])))


def errors(report: Report, models, half: float) -> None:
    """Where each network is wrong about q, and how far q's score is from p's."""
    points = lattice((-half, half), CELLS)
    p, of_p = density(models.mixture, points), exact_field(models.mixture, points)
    cell = (2 * half / CELLS) ** 2
    maps, weighted, bias_learned, bias_exact, rows, found = [], [], [], [], [], {}
    for sigma, fits in models.single.items():
        q = density(models.mixture, points, sigma)
        of_q = exact_field(models.mixture, points, sigma)
        scores = [learned_field(models.net, fit.params, points, sigma) for fit in fits]
        error = np.linalg.norm(scores[0] - of_q, axis=-1)
        maps.append(Panel2D(f"σ = {sigma:g}", heat=error, density=q))
        weighted.append(Panel2D(f"σ = {sigma:g}", heat=q * error**2, density=q))
        bias_learned.append(Panel2D(f"σ = {sigma:g}", heat=np.linalg.norm(scores[0] - of_p, axis=-1), density=p))
        bias_exact.append(Panel2D(f"σ = {sigma:g}", heat=np.linalg.norm(of_q - of_p, axis=-1), density=p))
        often = q * cell / np.sum(q * cell)  # a draw's chance to fall into each cell
        low = often < np.quantile(often, 0.5)  # the emptier half of the square
        rows.append(
            {
                "σ": sigma,
                "to q, weighted": over_seeds([rms(s - of_q, q) for s in scores]),
                "to q, unweighted": over_seeds([rms(s - of_q) for s in scores]),
                "to p, weighted": over_seeds([rms(s - of_p, p) for s in scores]),
                "to p, unweighted": over_seeds([rms(s - of_p) for s in scores]),
                "q to p, weighted": rms(of_q - of_p, p),
                "q to p, unweighted": rms(of_q - of_p),
            }
        )
        found[sigma] = {
            "mass of the emptier half": float(often[low].sum()),
            "loss of the emptier half": float((q * error**2)[low].sum() / (q * error**2).sum()),
            "error in the emptier half": over_seeds([rms((s - of_q)[low]) for s in scores])[0],
            "error in the fuller half": over_seeds([rms((s - of_q)[~low]) for s in scores])[0],
        }
    report.metrics["score_errors"] = rows
    report.metrics["halves"] = {str(sigma): value for sigma, value in found.items()}
    least = min(found)
    halves = found[least]
    label = "‖network − ∇ log q‖"
    report.figure(
        panels_2d([maps], (-half, half), color_label=label),
        "errors",
        f"Error of each network as a score of q, everywhere alike; contours of q. At σ = {least:g} the emptier half of "
        f"the square holds {halves['mass of the emptier half']:.1g} of q's mass, and the loss asks about it as often: "
        f"the root mean square error there is {halves['error in the emptier half']:.2g}, in the fuller half "
        f"{halves['error in the fuller half']:.2g}.",
    )
    report.figure(
        panels_2d([weighted], (-half, half), color_label="q ‖network − ∇ log q‖²"),
        "weighted-errors",
        "The same errors squared and weighted by q, which is what the loss sees. Of the loss that is left at σ = "
        f"{least:g}, {halves['loss of the emptier half']:.1%} lies in the emptier half.",
    )
    report.figure(
        panels_2d(
            [bias_learned, bias_exact], (-half, half), color_label="distance to ∇ log p",
            row_labels=["network", "exact ∇ log q"],
        ),
        "bias",
        "Distance to the score of p itself; contours of p. Above the networks', below that of the exact score of "
        "p * N(0, σ² I), the optimum of denoising score matching. Root mean square under p, networks and exact: "
        + "; ".join(
            f"{row['to p, weighted'][0]:.3f} and {row['q to p, weighted']:.3f} at σ = {row['σ']:g}" for row in rows
        )
        + ".",
    )  # fmt: skip
    report.table(
        rows,
        f"Root mean square errors of the learned scores, mean ± standard error over {len(fits)} trainings: "
        "against the score of q = p * N(0, σ² I) and against that of p, weighted by that density and unweighted over "
        "the square of the figures. The last two columns compare the two exact scores.",
    )
    report.finding(whose_score(rows))


def whose_score(rows: Sequence[dict]) -> str:
    """What the networks of one σ learned: q's score where all are four times as near to it as to p's."""
    of_q = all(4 * row["to q, weighted"][0] < row["to p, weighted"][0] for row in rows)
    told = "; ".join(
        f"{plus_minus(row['to q, weighted'])} from q's score and {plus_minus(row['to p, weighted'])} from p's, q's "
        f"own being {row['q to p, weighted']:.3g} from p's (σ = {row['σ']:g})" for row in rows
    )  # fmt: skip
    said = "is the score of q = p * N(0, σ² I), not of p" if of_q else "is not yet the score of q = p * N(0, σ² I)"
    return f"**What a network of one σ learns** {said}. Root mean square distances, under q and under p: {told}."


def many_levels(report: Report, models, ladder, half: float) -> None:
    """The fields of the network of many levels, and its error at every σ beside those of one level."""
    last, first = float(ladder.homework[-1]), float(ladder.homework[0])
    shown = sorted({last, first, *(sigma for sigma in models.single if last < sigma < first)})
    exact, learned = [], []
    for sigma in shown:
        target = partial(exact_field, models.mixture, sigma=sigma)
        score = partial(learned_field, models.net, models.homework[0].params, sigma=sigma)
        q = density(models.mixture, lattice((-half, half), 200), sigma)
        exact.append(Panel2D(f"σ = {sigma:g}", density=q, arrows=arrows(target, half)))
        learned.append(Panel2D(f"σ = {sigma:g}", density=q, arrows=arrows(score, half)))
    report.figure(
        panels_2d(
            [exact, learned], (-half, half), color_label="length of the score", row_labels=["exact", "one network"]
        ),
        "many-fields",
        f"One network that is told σ, trained on σ in [1, {ladder.homework[0]:g}], beside the exact scores of q. "
        "Its output is divided by σ, so that one function of one scale serves fields whose lengths differ by "
        f"{_span([plane.arrows[1] for plane in exact]):.0f} times.",
    )
    sigmas = np.union1d(np.geomspace(ladder.longer[-1], ladder.longer[0], 21), 1.0)
    lines = error_by_sigma(models, sigmas, jax.random.key(3))
    report.figure(
        curves(lines, x_label="σ", y_label="σ × error of the score", log_x=True, log_y=True, height=320),
        "error-by-sigma",
        "Error of each network as a score of q at every σ, times σ, which makes it the error in ε (root mean square "
        f"under q, mean over {len(models.homework)} trainings). " + _reach(lines, models),
    )
    report.metrics["error_by_sigma"] = {name: {"sigma": x, "error": y} for name, (x, y) in lines.items()}


def _span(fields) -> float:
    lengths = [np.sqrt(np.mean(np.sum(np.square(field), -1))) for field in fields]
    return max(lengths) / min(lengths)


def error_by_sigma(models, sigmas: np.ndarray, key: jax.Array, n: int = 2000) -> dict[str, tuple]:
    """σ × the root mean square error under q of every network at each σ, mean over seeds: {name: (σ, error)}."""
    eps_key, x_key = jax.random.split(key)
    x0, eps = models.mixture.sample(x_key, n), jax.random.normal(eps_key, (n, 2))
    exact = exact_score(models.mixture)

    @jax.jit
    def at(params, sigma, told):
        x = x0 + sigma * eps
        error = models.net.apply(params, x, told) - exact(x, sigma)
        return sigma * jnp.sqrt(jnp.mean(jnp.sum(error**2, -1)))

    def line(fits, sigmas, told=None):
        return sigmas, np.mean(
            [[at(fit.params, sigma, sigma if told is None else told) for sigma in sigmas] for fit in fits], 0
        )

    above = sigmas[sigmas >= 1 - 1e-6]
    lines = {
        f"σ = {sigma:g} only": line(fits, np.union1d(sigmas, [sigma, 2 * sigma]), sigma)
        for sigma, fits in models.single.items()
    }
    lines["all σ ≥ 1"] = line(models.homework, above)
    lines[f"all σ ≥ {sigmas[0]:g}"] = line(models.longer, sigmas)
    return lines


def _reach(lines: dict[str, tuple], models) -> str:
    """The curves in words: errors of the networks of one σ there and at twice σ, and the worst of the others."""
    told = []
    for sigma in models.single:
        x, y = lines[f"σ = {sigma:g} only"]
        at_home, away = y[np.searchsorted(x, [sigma, 2 * sigma])]
        told.append(f"{at_home:.2g} there and {away:.2g} at twice it (σ = {sigma:g})")
    worst = [f"{y.max():.2g} ({name})" for name, (_, y) in lines.items() if name.startswith("all")]
    return f"Networks of one σ are off by {', '.join(told)}; those that are told σ by at most {', '.join(worst)}."
