"""The NCSN toy by its mixture: the learned score where there are no data, and the weights that chains end with."""

from functools import partial

import jax
import numpy as np

from experiments.toy_sampling import (
    anneal,
    density,
    exact_field,
    exact_score,
    learned_field,
    log_density,
    nearest_mode,
    over_seeds,
    uniform_starts,
    walk,
)
from jaxgen.report import Plane, Report, curves, lattice, planes

HALF, ARROWS, CELLS = 8.0, 17, 120
LIMITS = (-HALF, HALF)
GROUPS = ("started nearer to (5, 5)", "started nearer to (−5, −5)")
FRAMES = 20
PATIENT = "the same, 3 × the steps"


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
        relative[float(sigma)] = _relative(found, of_q, rare)
    near, far, empty = _relative(errors, of_p, often), _relative(errors, of_p, rare), float(np.mean(rare))
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
        Plane("exact ∇ log p", density=p, arrows=(places, exact_field(mixture, places))),
        Plane("learned on clean data", density=p, arrows=(places, learned_field(models.net, models.clean[0], places))),
    ]
    report.figure(
        planes([panels], LIMITS, color_label="length of the score"),
        "score-fields",
        "The score of 0.8 N((5, 5), I) + 0.2 N((−5, −5), I), and what a network learned from draws of it by sliced "
        "score matching; contours of p at one, two and three standard deviations of the larger mode. Where p > 1e-3 "
        f"the learned score is off by {near:.1%}, where p < 1e-6, on {empty:.0%} of the square, by {far:.0%} (root "
        f"mean square, relative, mean over {config.seeds} trainings).",
    )
    length = np.linalg.norm(errors[0], axis=-1)
    weighted = p * length**2
    maps = [
        Plane("‖learned − exact‖", heat=length / length.max(), density=p),
        Plane("p ‖learned − exact‖²", heat=weighted / weighted.max(), density=p),
    ]
    inside = weighted[~rare].sum() / weighted.sum()
    report.figure(
        planes([maps], LIMITS, color_label="share of its largest value"),
        "score-error",
        f"Left: the error of the learned score, at most {length.max():.2g}, largest along the line on which the exact "
        f"field parts. Right: its square weighted by p, which is what the loss contains: {inside:.2%} of it lies where "
        f"p > 1e-6, on {np.mean(~rare):.0%} of the square. Both in shares of their largest value.",
    )
    report.figure(
        curves(
            {name: (edges[:-1] + 0.5, values) for name, values in lines.items()},
            x_label="log₁₀ p(x)", y_label="relative error of the score", log_y=True, height=300,
        ),
        "error-by-density",
        "Relative error of the learned scores by p's density at the place. With noise the same places are visited: "
        "there the network of all levels, held against the score of p * N(0, σ² I), is off by "
        + ", ".join(f"{error:.1%} at σ = {sigma:.3g}" for sigma, error in relative.items())
        + " where p < 1e-6.",
    )  # fmt: skip
    sigma = float(models.sigmas[0])
    rose = "grows" if far > 2 * near else "does not grow"
    filled = "fills the gap" if relative[sigma] < far / 2 else "does not fill the gap"
    report.finding(
        f"**Empty regions.** The relative error of the score learned on clean data {rose} from {near:.1%} where p > "
        f"1e-3 to {far:.0%} where p < 1e-6, which is {empty:.0%} of the square that chains start in. Noise {filled}: "
        f"at σ = {sigma:g} the network of all levels is off by {relative[sigma]:.1%} at the same places."
    )


def _relative(errors, target: np.ndarray, where: np.ndarray) -> float:
    squares = [np.mean(np.sum(np.square(error[where]), -1)) for error in errors]
    return float(np.sqrt(np.mean(squares) / np.mean(np.sum(np.square(target[where]), -1))))


class Chains:
    """Paths (frames, n, 2) by each method, from starts that all methods of a seed share; each compiled once."""

    def __init__(self, models, config):
        self._models, self._config = models, config
        plain = {"step_size": config.step_size, "steps": config.langevin_steps, "frames": FRAMES}
        levels = {"step_size": config.step_size, "steps": config.level_steps}
        mixture, apply, sigmas = models.mixture, models.net.apply, models.sigmas

        def learned(params, key, start):
            return walk(partial(apply, params), key, start, **plain)

        def learned_levels(params, key, start):
            return anneal(partial(apply, params), key, start, sigmas, **levels)

        def patient(params, key, start):
            more = levels | {"steps": 3 * config.level_steps}
            return anneal(partial(apply, params), key, start, sigmas, **more)

        def exact(_, key, start):
            return walk(mixture.score, key, start, **plain)

        def exact_levels(_, key, start):
            return anneal(exact_score(mixture), key, start, sigmas, **levels)

        self._methods = {
            "Langevin, exact": (jax.jit(exact), None),
            "Langevin, learned": (jax.jit(learned), models.clean),
            "annealed, exact": (jax.jit(exact_levels), None),
            "annealed, learned": (jax.jit(learned_levels), models.many),
            PATIENT: (jax.jit(patient), models.many),
        }

    def __call__(self, seed: int) -> dict[str, np.ndarray]:
        """All methods' paths of one seed."""
        key = jax.random.fold_in(jax.random.key(self._config.seed + 1), seed)
        start_key, chain_key = jax.random.split(key)
        start = uniform_starts(start_key, self._config.starts, HALF)
        return {
            name: np.asarray(draw(None if params is None else params[seed], chain_key, start))
            for name, (draw, params) in self._methods.items()
        }


def mode_weights(report: Report, models, config) -> None:
    """Where the chains end, the share at (5, 5) along them, and the table."""
    draw, mixture = Chains(models, config), models.mixture
    paths = [draw(seed) for seed in range(config.seeds)]
    means, weight = np.asarray(mixture.means), float(mixture.weights[0])
    shares = {name: np.array([_share(of[name], means) for of in paths]) for name in paths[0]}
    rows = []
    for name, along in shares.items():
        sides = [nearest_mode(of[name][[0, -1]], means) for of in paths]
        ends = over_seeds(along[:, -1])
        rows.append({"method": name, "share at (5, 5)": ends, "error": abs(ends[0] - weight)})
        rows[-1]["changed sides"] = float(np.mean([begun != ended for begun, ended in sides]))
        rows[-1]["far away"] = float(np.mean([np.abs(of[name][-1]).max(-1) > 2 * HALF for of in paths]))
    fair = [mixture.sample(jax.random.key(config.seed + 50 + i), config.starts) for i in range(config.seeds)]
    rows.append({"method": "draws of p", "share at (5, 5)": over_seeds([_share(x, means) for x in fair])})
    report.metrics["mode_weights"] = rows
    _where_chains_end(report, models, config, paths[0])
    lines = {}
    for name, along in shares.items():
        if name == PATIENT:
            continue
        total = config.langevin_steps if name.startswith("Langevin") else config.level_steps * len(models.sigmas)
        lines[name] = (np.linspace(0, total, along.shape[1]), along.mean(0))
    report.metrics["shares"] = {name: {"steps": x, "share": y} for name, (x, y) in lines.items()}
    end = max(x[-1] for x, _ in lines.values())
    level = {"p": (np.linspace(0, end, 100), np.full(100, weight))}
    report.figure(
        curves(level | lines, x_label="Langevin steps", y_label="share at (5, 5)"),
        "shares",
        f"Share of the chains nearer to (5, 5), mean over {config.seeds} seeds; each level of the annealed chains has "
        f"{config.level_steps} steps, from σ = {models.sigmas[0]:g} to {models.sigmas[-1]:g}.",
    )
    report.table(
        rows,
        f"Share of {config.starts} chains that end at (5, 5), mean ± standard deviation over {config.seeds} seeds; the "
        f"share that ended on the other side than it began, and outside [−{2 * HALF:g}, {2 * HALF:g}]².",
        formats={"changed sides": ".1%", "far away": ".1%"},
    )
    _find(report, weight, {row["method"]: row for row in rows})


def _share(x: np.ndarray, means: np.ndarray) -> np.ndarray:
    return np.mean(nearest_mode(x, means) == 0, -1)


def _where_chains_end(report: Report, models, config, paths: dict[str, np.ndarray]) -> None:
    """Scatter plots of the last states, in the colours of where the chains began."""
    mixture, limits = models.mixture, (-12.0, 12.0)
    means, weight = np.asarray(mixture.means), float(mixture.weights[0])
    side = nearest_mode(next(iter(paths.values()))[0], means)
    notes = {
        "Langevin": (0.0, f"{config.langevin_steps} steps of ε = {config.step_size:g}"),
        "annealed": (
            float(models.sigmas[-1]),
            f"{len(models.sigmas)} levels from σ = {models.sigmas[0]:g} to {models.sigmas[-1]:g}, {config.level_steps} "
            "steps each. The last level's noise is still in the samples, as it is in the draws on the left",
        ),
    }
    for kind, (sigma, note) in notes.items():
        law = mixture.perturbed(1.0, sigma)
        shown = density(law, lattice(limits, 200))
        fair = np.asarray(law.sample(jax.random.key(config.seed + 9), config.starts))
        named = f"p * N(0, {sigma**2:g} I)" if sigma else "p"
        panels = [Plane(f"draws of {named}: {_share(fair, means):.2f}", density=shown, points=fair)]
        moved = {}
        for name, path in paths.items():
            if name.startswith(kind):
                title = f"{name}: {_share(path[-1], means):.2f}"
                panels.append(Plane(title, density=shown, points=path[-1], groups=side))
                moved[name] = float(np.mean(nearest_mode(path[-1], means) != side))
        told = ", ".join(f"{share:.0%} ({name.split(', ')[1]})" for name, share in moved.items())
        report.figure(
            planes([panels], limits, group_labels=GROUPS),
            kind.lower(),
            f"{config.starts} chains begun uniformly on [−8, 8]², in the colour of the mode they started nearer to, "
            f"and the share that ends at (5, 5), which in p is {weight:g}: {note}. On the other side than they began "
            f"end {told}.",
        )


def _find(report: Report, weight: float, found: dict[str, dict]) -> None:
    plain, exact = found["Langevin, exact"], found["annealed, exact"]
    learned, patient = found["annealed, learned"], found[PATIENT]
    failed = "loses the weights" if plain["error"] > 0.1 else "keeps the weights"
    cured = "restores them" if max(exact["error"], learned["error"]) < 0.03 else "does not restore them"
    report.finding(
        f"**Mode weights.** With the exact score Langevin dynamics {failed}: {plain['share at (5, 5)'][0]:.3f} at "
        f"(5, 5) instead of {weight:g}, {plain['changed sides']:.1%} of chains having changed sides. Annealing "
        f"{cured}: {exact['share at (5, 5)'][0]:.3f} with exact scores, {learned['share at (5, 5)'][0]:.3f} with "
        f"learned ones ({learned['changed sides']:.0%} changed sides), {patient['share at (5, 5)'][0]:.3f} with three "
        f"times the steps at each level."
    )
