"""The mixture experiment by its samples: ascent, Langevin dynamics at one level and at many, and every sampler."""

from collections.abc import Sequence

import jax
import numpy as np

from experiments.gmm_scores_draws import EXACT, Drawer, methods
from experiments.toy_sampling import Found, Judge, density, nearest_mode, over_seeds, true_widths
from jaxgen.report import Plane, Report, dots, lattice, planes

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
            rows[-1].append(Plane(_title(sigma), density=shown, paths=path))
    ends = {sigma: _apart(plane.paths[-1]) for sigma, plane in zip((0.0, *draw.models.single), rows[0], strict=True)}
    told = ", ".join(f"{n} ({_title(sigma)})" for sigma, n in ends.items())
    report.metrics["points that six ascents end in"] = {_title(sigma): n for sigma, n in ends.items()}
    report.figure(
        planes(rows, (-half, half), row_labels=["ascent", "Langevin"]),
        "trajectories",
        f"Six starts (rings) and where {draw.config.langevin_steps} steps take them (dots); contours of p and of "
        f"p * N(0, σ² I). Without noise, x ← x + ε/2 score climbs and stops; the six end in so many points: {told}. "
        f"With it the chains wander over the density whose score they follow. ε = {draw.config.step_size:g} max(1, σ).",
    )


def _title(sigma: float) -> str:
    return f"network, σ = {sigma:g}" if sigma else EXACT


def _apart(ends: np.ndarray, distance: float = 0.5) -> int:
    """How many points are farther than `distance` from all before them."""
    kept: list[np.ndarray] = []
    for x in np.asarray(ends):
        if all(np.linalg.norm(x - y) > distance for y in kept):
            kept.append(x)
    return len(kept)


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
            rows[-1].append(Plane(f"{_title(sigma)}: {of.weight:.2f}", density=shown, points=x, groups=side))
    report.metrics["starts"] = [
        {"method": name, "σ": sigma, "changed sides": moved[name, sigma]} | of._asdict()
        for (name, sigma), of in found.items()
    ]
    weight, begun = float(judge.mixture.weights[0]), float(np.mean(side == 0))
    crossed = ", ".join(f"{moved['Langevin', sigma]:.0%} by {_title(sigma)}" for sigma in (0.0, *draw.models.single))
    report.figure(
        planes(rows, (-half, half), row_labels=["ascent", "Langevin"], group_labels=GROUPS),
        "starts",
        f"{len(start)} chains from starts all over the square after {draw.config.langevin_steps} steps, in the colour "
        f"of the mode they started nearer to. Above each panel the share that ends nearer to mode 1: in p it is "
        f"{weight:.2f}, of the starts it was {begun:.2f}. On the other side than they began end {crossed} (Langevin).",
    )
    ascent, chain, least = found["ascent", 0.0], found["Langevin", 0.0], min(draw.models.single)
    report.finding(
        f"**Noise is what makes samples.** Gradient ascent on the exact score ends in modes of {ascent.width:.1g} of "
        f"their true width, Langevin dynamics on it in {chain.width:.2f}, on the network of σ = {least:g} in "
        f"{found['Langevin', least].width:.2f}, where p * N(0, σ² I) has {true_widths(judge.mixture, least):.2f}."
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
        panels.append(Plane(title, density=q, points=path[index], groups=modes[0]))
    report.metrics["annealing"] = {
        "sigma": sigmas, "share": shares[1:], "share of the starts": shares[0], "changed sides": moved[1:]
    }  # fmt: skip
    settled = int(np.argmax(np.abs(shares[1:] - shares[-1]) < 0.02))
    report.figure(
        planes([panels[:3], panels[3:]], (-half, half), group_labels=GROUPS),
        "annealing",
        f"Annealed Langevin dynamics down the levels from σ = {sigmas[0]:g} to {sigmas[-1]:g}, with the network of all "
        "levels; contours of p * N(0, σ² I). Above each panel the share nearer to mode 1, which in p is "
        f"{float(draw.models.mixture.weights[0]):.2f}; from σ = {sigmas[settled]:.2g} on it is within .02 of its last "
        f"value. By then {moved[1 + settled]:.0%} of the chains are on the other side than they began: the colours mix "
        "while σ is large, and the modes come apart afterwards.",
    )


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
        rows.append(_row(name, found[name], judge))
        rows[-1]["MMD to its own law / floor"] = float(np.mean([law.mmd(x) for x in drawn]) / law.floor)
        rows[-1]["calls"] = method.calls
    real = [np.asarray(judge.mixture.sample(draw.key(seed, 9), config.samples)) for seed in seeds]
    rows.append(_row("draws of p", [judge(x) for x in real], judge))
    report.metrics |= {"samplers": rows, "floor": judge.floor, "floors": judge.floors}
    weight, half = float(judge.mixture.weights[0]), draw.half
    fair = np.sqrt(weight * (1 - weight) / config.samples)
    p = density(judge.mixture, lattice((-half, half), CELLS))
    left_out = "ascent", "annealed to σ = 1, exact", "DDIM", "Heun, exact"
    chosen = {"draws of p": real[0]} | {name: x for name, x in shown.items() if not name.startswith(left_out)}
    panels = [Plane(name.replace(", ", "\n", 1), density=p, points=x) for name, x in chosen.items()]
    columns = -(-len(panels) // 2)
    widest = max((row["width"][0], row["sampler"]) for row in rows if row["sampler"] in chosen)
    report.figure(
        planes([panels[:columns], panels[columns:]], (-half, half)),
        "samples",
        f"{config.samples} samples, and contours of p. Chains that end at a "
        f"level σ spread beyond p by the noise they keep, up to {widest[0]:.1f} times its width ({widest[1]}); ladders "
        "that end lower, and the ODE, fill the contours.",
    )
    report.figure(
        dots(
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
        dots(
            {"": {name: _range([of.weight for of in ofs]) for name, ofs in found.items()}},
            x_label="share of samples nearer to mode 1",
            levels={"in p": weight},
        ),
        "weights",
        f"Weight of mode 1, mean and range over {config.seeds} seeds of {config.samples} samples. Of fair draws one "
        f"seed has a standard deviation of {fair:.3f} and their mean one of {fair / np.sqrt(config.seeds):.3f}.",
    )
    report.table(
        rows,
        f"Every sampler, mean ± standard deviation over {config.seeds} seeds, {config.samples} samples each. Error: of "
        "the mean weight. Width: of the modes, in those of p. Floor: MMD of real draws. Its own law is p * N(0, σ² I) "
        "for chains that end at a level σ > 0: how well a sampler does what it can.",
    )
    _find(report, draw, judge, {row["sampler"]: row for row in rows})


def _row(name: str, found: Sequence[Found], judge: Judge) -> dict:
    weight = float(judge.mixture.weights[0])
    return {
        "sampler": name,
        "weight of mode 1": over_seeds([of.weight for of in found]),
        "error": abs(float(np.mean([of.weight for of in found])) - weight),
        "width": over_seeds([of.width for of in found]),
        "MMD": over_seeds([of.mmd for of in found]),
        "MMD / floor": float(np.mean([of.mmd for of in found]) / judge.floor),
    }


def _range(values: Sequence[float]) -> tuple[float, float, float]:
    return float(np.mean(values)), float(np.min(values)), float(np.max(values))


def _find(report: Report, draw: Drawer, judge: Judge, rows: dict[str, dict]) -> None:
    """The sentences, after the numbers."""
    weight, short, longer = float(judge.mixture.weights[0]), draw.ladder.homework, draw.ladder.longer
    deep = f"network [{longer[-1]:g}, {longer[0]:g}]"
    one, denoised = rows[f"annealed to σ = 1, network [1, {short[0]:g}]"], rows["the same, and x̂0 = x + σ² s"]
    plain, down = rows[f"Langevin, {EXACT}"], rows[f"annealed to σ = {longer[-1]:g}, {deep}"]
    off, on, heun = rows[f"DDIM, {deep}, from N(0, σ² I)"], rows[f"DDIM, {deep}"], rows[f"Heun, {deep}"]
    begun = np.mean([nearest_mode(draw.starts(seed), judge.mixture.means) == 0 for seed in range(draw.config.seeds)])
    lost = "loses them" if plain["error"] > 0.03 else "hits them, as the starts happen to"
    cured = "are within .02" if max(one["error"], down["error"]) <= 0.02 else "are off by more than .02"
    report.finding(
        f"**Mode weights.** p gives mode 1 {weight:.3f}. Langevin dynamics with the exact score {lost}: "
        f"{plain['weight of mode 1'][0]:.3f}, where {begun:.3f} of the chains started nearer to it. Annealed chains "
        f"{cured}: {one['weight of mode 1'][0]:.3f} by the network of [1, {short[0]:g}], "
        f"{down['weight of mode 1'][0]:.3f} by the one that goes on to {longer[-1]:g}."
    )
    best = "within twice the floor" if down["MMD / floor"] <= 2 else "beyond twice the floor"
    report.finding(
        f"**Where to end.** At σ = 1 the samples have the law of p * N(0, I), whose modes are "
        f"{true_widths(judge.mixture, 1.0):.2f} times as wide: measured {one['width'][0]:.2f}, MMD "
        f"{one['MMD / floor']:.1f} times the floor to p and {one['MMD to its own law / floor']:.2f} times to that law. "
        f"One step x̂0 = x + σ² s gives the means of p(x0 | x), of width {denoised['width'][0]:.2f}: "
        f"{denoised['MMD / floor']:.1f} times. So the ladder goes on to σ = {longer[-1]:g}, by a network trained "
        f"down to it: width {down['width'][0]:.2f}, {down['MMD / floor']:.2f} times the floor, {best}."
    )
    shift = off["weight of mode 1"][0] - on["weight of mode 1"][0]
    kept = "moves" if abs(shift) > 0.005 else "hardly moves"
    report.finding(
        f"**The same network through the ODE.** {draw.config.ode_steps} steps of DDIM end {on['MMD / floor']:.2f} and "
        f"of Heun {heun['MMD / floor']:.2f} times the floor from p, from the Gaussian with the moments of the noised "
        f"data. The ODE keeps what it starts with: Heun gives mode 1 {heun['weight of mode 1'][0]:.3f} by the network "
        f"and {rows['Heun, exact scores']['weight of mode 1'][0]:.3f} by the exact scores from the same starts; "
        f"from N(0, σ² I), which at σ = {longer[0]:g} is not yet the data's law, DDIM's weight {kept} by {shift:+.3f}."
    )
