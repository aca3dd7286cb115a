"""The mixture experiment by its samples: ascent, Langevin dynamics at one level and at many, and every sampler."""

from collections.abc import Sequence

import jax
import numpy as np

from experiments.gmm_scores_draws import EXACT, Drawer, methods
from experiments.gmm_scores_findings import find, stops
from experiments.toy_chance import over_seeds, plus_minus, share_estimate
from experiments.toy_sampling import Found, Judge, cropped, density, nearest_mode
from jaxgen.metrics import MeanAndError
from jaxgen.report import Panel2D, Report, dot_plot, lattice, panels_2d

GROUPS = ("started nearer to mode 1", "started nearer to mode 2")
CELLS = 160


def trajectories(report: Report, draw: Drawer) -> None:
    """Ascent and Langevin dynamics from several starts."""
    half, rows = draw.half, []
    for scale in (0.0, 1.0):
        rows.append([])
        for sigma in (0.0, *draw.models.single):
            shown = density(draw.models.mixture, lattice((-half, half), CELLS), sigma)
            path = draw.walk(sigma, 0, noise_scale=scale)[:, : draw.FEW]
            # all of a noisy path would hide itself
            rows[-1].append(Panel2D(_title(sigma), density=shown, paths=path[: 1 + len(path) // 10] if scale else path))
    ends = {plane.title: places(plane.paths[-1]) for plane in rows[0]}
    told = ", ".join(f"{n} ({title})" for title, n in ends.items())
    report.metrics["points that six ascents end in"] = ends
    steps = draw.config.langevin_steps
    report.figure(
        panels_2d(rows, (-half, half), row_labels=["ascent", "Langevin"]),
        "trajectories",
        f"Six starts (rings) and where {steps} steps take them (dots); contours of p and of p * N(0, σ² I). Without "
        f"noise, x ← x + ε/2 score {stops({plane.title: last_moves(plane.paths) for plane in rows[0]})}; the six end "
        f"in so many points: {told}. Below, with √ε z, the first tenth of the steps. ε = {draw.config.step_size:g} "
        "max(1, σ²)." + cropped({plane.title: plane.paths for plane in rows[1]}, half),
    )


def _title(sigma: float) -> str:
    return f"network, σ = {sigma:g}" if sigma else EXACT


def places(ends: np.ndarray, distance: float = 0.5) -> int:
    """How many points are farther than `distance` from all before them."""
    kept: list[np.ndarray] = []
    for x in np.asarray(ends):
        if all(np.linalg.norm(x - y) > distance for y in kept):
            kept.append(x)
    return len(kept)


def last_moves(paths: np.ndarray) -> float:
    """The farthest that a path (frames + 1, n, 2) moves over its last tenth."""
    moved = paths[-1] - paths[-1 - max(1, (len(paths) - 1) // 10)]
    return float(np.linalg.norm(moved, axis=-1).max())


def starts(report: Report, draw: Drawer, judge: Judge) -> None:
    """Ascent and Langevin dynamics from a thousand starts: what becomes of width and weights."""
    half, start, means = draw.half, draw.starts(0), draw.models.mixture.means
    side, rows, found, moved = nearest_mode(start, means), [], {}, {}
    for name, scale in (("ascent", 0.0), ("Langevin", 1.0)):
        rows.append([])
        for sigma in (0.0, *draw.models.single):
            x = draw.walk(sigma, 0, noise_scale=scale)[-1, draw.FEW :]
            of = found[name, sigma] = judge(x)
            moved[name, sigma] = float(np.mean(nearest_mode(x, means) != side))
            shown = density(draw.models.mixture, lattice((-half, half), CELLS), sigma)
            rows[-1].append(Panel2D(f"{_title(sigma)}: {of.weight:.2f}", density=shown, points=x, groups=side))
    report.metrics["starts"] = [
        {"method": name, "σ": sigma, "changed sides": moved[name, sigma]} | of._asdict()
        for (name, sigma), of in found.items()
    ]
    weight, begun = float(judge.mixture.weights[0]), float(np.mean(side == 0))
    crossed = ", ".join(f"{moved['Langevin', sigma]:.0%} by {_title(sigma)}" for sigma in (0.0, *draw.models.single))
    report.figure(
        panels_2d(rows, (-half, half), row_labels=["ascent", "Langevin"], group_labels=GROUPS),
        "starts",
        f"{len(start)} chains from starts all over the square after {draw.config.langevin_steps} steps, in the colour "
        f"of the mode they started nearer to. Above each panel the share that ends nearer to mode 1: in p it is "
        f"{weight:.2f}, of the starts it was {begun:.2f}. On the other side than they began end {crossed} (Langevin)."
        + cropped({plane.title.partition(":")[0]: plane.points for plane in rows[1]}, half),
    )


def annealing(report: Report, draw: Drawer) -> None:
    """What becomes of the chains level by level."""
    sigmas, half, means = draw.ladder.longer, 1.5 * draw.half, draw.models.mixture.means
    path = draw.anneal("longer", 0)
    modes = nearest_mode(path, means)
    shares, moved = np.mean(modes == 0, -1), np.mean(modes != modes[0], -1)
    panels = []
    for index in (0, *np.unique(np.linspace(1, len(sigmas), 5).round().astype(int))):
        sigma = float(sigmas[index - 1]) if index else 0.0
        q = density(draw.models.mixture, lattice((-half, half), CELLS), sigma) if index else None
        title = f"after σ = {sigma:.3g}: {shares[index]:.2f}" if index else f"starts: {shares[0]:.2f}"
        panels.append(Panel2D(title, density=q, points=path[index], groups=modes[0]))
    report.metrics["annealing"] = {
        "sigma": sigmas, "share": shares[1:], "share of the starts": shares[0], "changed sides": moved[1:]
    }  # fmt: skip
    error = np.sqrt(shares[-1] * (1 - shares[-1]) / path.shape[1])
    settled = settles_at(shares[1:], 2 * error)
    report.figure(
        panels_2d([panels[:3], panels[3:]], (-half, half), group_labels=GROUPS),
        "annealing",
        f"Annealed Langevin dynamics down the levels from σ = {sigmas[0]:g} to {sigmas[-1]:g}, with the network of all "
        "levels; contours of p * N(0, σ² I). Above each panel the share nearer to mode 1, which in p is "
        f"{float(draw.models.mixture.weights[0]):.2f}; from σ = {sigmas[settled]:.2g} on it stays within two standard "
        f"errors, {2 * error:.2f}, of its last value. By then {moved[1 + settled]:.0%} of the chains are on the other "
        f"side than they began, at last {moved[-1]:.0%}."
        + cropped({plane.title.partition(":")[0]: plane.points for plane in panels}, half),
    )


def settles_at(values: np.ndarray, within: float) -> int:
    """The index from which on all values (n,) are so near to the last one."""
    return int(np.max(np.flatnonzero(np.abs(values - values[-1]) > within), initial=-1)) + 1


def compare(report: Report, draw: Drawer, judge: Judge) -> None:
    """The table of all samplers, its figures, and what became of the weights."""
    config, seeds = draw.config, range(draw.config.seeds)
    laws, rows, found, shown = {0.0: judge}, [], {}, {}
    for name, method in methods(draw).items():
        if method.sigma not in laws:
            key = jax.random.key(config.seed + 1000)
            laws[method.sigma] = Judge(judge.mixture.perturbed(1.0, method.sigma), config.samples, key)
        drawn = [method.draw(seed) for seed in seeds]
        shown[name], found[name] = drawn[0], [judge(x) for x in drawn]
        law = laws[method.sigma]
        rows.append(_row(name, found[name], judge, config.samples))
        rows[-1]["MMD to its own law / floor"] = over_seeds([law.mmd(x) / law.floor for x in drawn])
        rows[-1]["calls"] = method.calls
    real = [np.asarray(judge.mixture.sample(draw.key(seed, 9), config.samples)) for seed in seeds]
    rows.append(_row("draws of p", [judge(x) for x in real], judge, config.samples))
    report.metrics |= {"samplers": rows, "floor": judge.floor, "floors": judge.floors}
    weight, half = float(judge.mixture.weights[0]), draw.half
    fair = np.sqrt(weight * (1 - weight) / config.samples)
    p = density(judge.mixture, lattice((-half, half), CELLS))

    def near(law):
        return np.mean(nearest_mode(law.sample(jax.random.key(0), 100_000), judge.mixture.means) == 0)

    left_out = "ascent", "annealed to σ = 1, exact", "DDIM", "Heun, exact"
    chosen = {"draws of p": real[0]} | {name: x for name, x in shown.items() if not name.startswith(left_out)}
    panels = [
        Panel2D("\n".join([*name.split(", ", 1), f"width {judge(x).width:.2f}"]), density=p, points=x)
        for name, x in chosen.items()
    ]
    columns = -(-len(panels) // 2)
    report.figure(
        panels_2d([panels[:columns], panels[columns:]], (-half, half)),
        "samples",
        f"{config.samples} samples, and contours of p. Above each panel the width of its modes over that of p's. "
        "Chains that end at a level σ keep that noise: at best they have the law of p * N(0, σ² I)."
        + cropped(chosen, half),
    )
    report.figure(
        dot_plot(
            {"": {name: _range([of.mmd for of in ofs]) for name, ofs in found.items()}},
            x_label=f"MMD to p of {config.samples} samples",
            levels={"floor": judge.floor, "twice the floor": 2 * judge.floor},
            log_x=True,
        ),
        "mmd",
        f"MMD to p, mean and range over {config.seeds} seeds of training and sampling. The floor, {judge.floor:.3f}, "
        f"is what {config.samples} fresh draws of p have on average.",
    )
    report.figure(
        dot_plot(
            {"": {name: _range([of.weight for of in ofs]) for name, ofs in found.items()}},
            x_label="share of samples nearer to mode 1",
            levels={"in p": weight},
        ),
        "weights",
        f"Weight of mode 1, mean and range over {config.seeds} seeds of {config.samples} samples. Of fair draws one "
        f"seed has a standard deviation of {fair:.3f} and their mean one of {fair / np.sqrt(config.seeds):.3f}. Of "
        "p * N(0, σ² I) itself are nearer to mode 1 "
        + ", ".join(f"{near(laws[sigma].mixture):.3f} (σ = {sigma:g})" for sigma in sorted(laws) if sigma)
        + ".",
    )
    report.table(
        rows,
        f"Every sampler, mean ± standard error over {config.seeds} seeds, {config.samples} samples each. Error: of "
        "the weight. Width: of the modes, in those of p. Floor: MMD of real draws. Its own law is p * N(0, σ² I) "
        "for chains that end at a level σ > 0: how well a sampler does what it can. Rows that begin alike share the "
        "chance of their starts: all of the ODE begin with the same draws, and so do all chains.",
        formats={"width": lambda width: plus_minus(MeanAndError(*width))},
    )
    find(report, draw, judge.mixture, {row["sampler"]: row for row in rows}, found)


def _row(name: str, found: Sequence[Found], judge: Judge, n: int) -> dict:
    share = share_estimate([of.weight for of in found], n)
    return {
        "sampler": name,
        "weight of mode 1": share,
        "error": MeanAndError(share.mean - float(judge.mixture.weights[0]), share.error),
        "width": over_seeds([of.width for of in found]),
        "MMD / floor": over_seeds([of.mmd / judge.floor for of in found]),
    }


def _range(values: Sequence[float]) -> tuple[float, float, float]:
    return float(np.mean(values)), float(np.min(values)), float(np.max(values))
