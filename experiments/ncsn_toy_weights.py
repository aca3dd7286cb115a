"""The NCSN toy by its chains: the weights of modes that Langevin dynamics ends with, plain and annealed."""

from collections.abc import Mapping
from functools import partial

import jax
import numpy as np

from experiments.ncsn_toy_report import HALF
from experiments.toy_chance import loses, plus_minus, restores, share_estimate
from experiments.toy_law import expected_shares
from experiments.toy_sampling import anneal, density, exact_score, nearest_mode, uniform_starts, walk
from jaxgen.metrics import MeanAndError
from jaxgen.report import Panel2D, Report, curves, lattice, panels_2d

GROUPS = ("started nearer to (5, 5)", "started nearer to (−5, −5)")
FRAMES = 20
PLAIN, EXACT, LEARNED, PATIENT = "Langevin, exact", "annealed, exact", "annealed, learned", "the same, 3 × the steps"


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
            PLAIN: (jax.jit(exact), None),
            "Langevin, learned": (jax.jit(learned), models.clean),
            EXACT: (jax.jit(exact_levels), None),
            LEARNED: (jax.jit(learned_levels), models.many),
            PATIENT: (jax.jit(patient), models.many),
        }

    def __call__(self, seed: int) -> dict[str, np.ndarray]:
        """All methods' paths of one seed."""
        key = jax.random.fold_in(jax.random.key(self._config.seed + 1), seed)
        start_key, chain_key = jax.random.split(key)
        start = uniform_starts(start_key, self._config.starts * self._config.repeats, HALF)
        return {
            name: np.asarray(draw(None if params is None else params[seed], chain_key, start))
            for name, (draw, params) in self._methods.items()
        }


def in_law(models, config) -> dict[str, float]:
    """The shares that infinitely many chains of exact scores end with."""
    sigmas, last = models.sigmas, models.sigmas[-1]
    levels = [(float(sigma), config.step_size * float(sigma / last) ** 2) for sigma in sigmas]
    of_levels = {steps: expected_shares(models.mixture, levels, steps * config.level_steps, HALF) for steps in (1, 3)}
    plain = expected_shares(models.mixture, [(0.0, config.step_size)], config.langevin_steps, HALF, cell=0.05)
    return {name: float(of[-1]) for name, of in ((PLAIN, plain), (EXACT, of_levels[1]), (PATIENT, of_levels[3]))}


def mode_weights(report: Report, models, config) -> None:
    """Where the chains end, the share at (5, 5) along them, and the table."""
    draw, mixture, chains = Chains(models, config), models.mixture, config.starts * config.repeats
    paths = [draw(seed) for seed in range(config.seeds)]
    means, weight, expected = np.asarray(mixture.means), float(mixture.weights[0]), in_law(models, config)
    shares = {name: np.array([_share(of[name], means) for of in paths]) for name in paths[0]}
    rows = []
    for name, along in shares.items():
        sides = [nearest_mode(of[name][[0, -1]], means) for of in paths]
        ends = share_estimate(along[:, -1], chains)
        rows.append({"method": name, "share at (5, 5)": ends, "error": MeanAndError(ends.mean - weight, ends.error)})
        rows[-1]["exact scores, in law"] = expected.get(name)
        rows[-1]["changed sides"] = float(np.mean([begun != ended for begun, ended in sides]))
        rows[-1]["far away"] = float(np.mean([np.abs(of[name][-1]).max(-1) > 2 * HALF for of in paths]))
    fair = [mixture.sample(jax.random.key(config.seed + 50 + i), chains) for i in range(config.seeds)]
    rows.append({"method": "draws of p", "share at (5, 5)": share_estimate([_share(x, means) for x in fair], chains)})
    report.metrics["mode_weights"] = rows
    _where_chains_end(report, models, config, {name: path[:, : config.starts] for name, path in paths[0].items()})
    lines = {}
    for name, along in shares.items():
        if name == PATIENT:
            continue
        total = config.langevin_steps if name.startswith("Langevin") else config.level_steps * len(models.sigmas)
        lines[name] = (np.linspace(0, total, along.shape[1]), along.mean(0))
    report.metrics["shares"] = {name: {"steps": x, "share": y} for name, (x, y) in lines.items()}
    report.figure(
        curves(lines, x_label="Langevin steps", y_label="share at (5, 5)", levels={"in p": weight}),
        "shares",
        f"Share of the chains nearer to (5, 5), mean over {config.seeds} seeds of {chains}; each level of the annealed "
        f"chains has {config.level_steps} steps, from σ = {models.sigmas[0]:g} to {models.sigmas[-1]:g}.",
    )
    report.table(
        rows,
        f"Share of {chains} chains that end at (5, 5), mean ± standard error over {config.seeds} seeds, and its error. "
        "In law: of infinitely many chains of exact scores, by carrying the density from step to step. Then the share "
        f"that ended on the other side than it began, and outside [−{2 * HALF:g}, {2 * HALF:g}]².",
        formats={"changed sides": ".1%", "far away": ".1%"},
    )
    report.finding(weights_told(weight, {row["method"]: row for row in rows}, expected, config.level_steps))


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
        panels = [Panel2D(f"draws of {named}: {_share(fair, means):.2f}", density=shown, points=fair)]
        moved = {}
        for name, path in paths.items():
            if name.startswith(kind):
                title = f"{name}: {_share(path[-1], means):.2f}"
                panels.append(Panel2D(title, density=shown, points=path[-1], groups=side))
                moved[name] = float(np.mean(nearest_mode(path[-1], means) != side))
        told = ", ".join(f"{share:.0%} ({name.split(', ')[1]})" for name, share in moved.items())
        report.figure(
            panels_2d([panels], limits, group_labels=GROUPS),
            kind.lower(),
            f"{config.starts} chains begun uniformly on [−8, 8]², in the colour of the mode they started nearer to, "
            f"and the share that ends at (5, 5), which in p is {weight:g}, with a standard error of "
            f"{np.sqrt(weight * (1 - weight) / config.starts):.3f}: {note}. On the other side than they began end "
            f"{told}.",
        )


def weights_told(weight: float, rows: Mapping[str, dict], expected: Mapping[str, float], steps: int) -> str:
    """What becomes of the weights without levels and with them, and what of that is the ladder's own doing."""
    share = {name: row["share at (5, 5)"] for name, row in rows.items()}
    short, less = (abs(expected[name] - weight) for name in (EXACT, PATIENT))
    mixed = ": at first they are too few to mix" if less < short - 1e-3 else ""
    return (
        f"**Mode weights.** With the exact score Langevin dynamics {loses(share[PLAIN], weight)}: "
        f"{plus_minus(share[PLAIN])} at (5, 5) instead of {weight:g}, {rows[PLAIN]['changed sides']:.1%} of chains "
        f"having changed sides. Annealing {restores([share[EXACT], share[LEARNED]], weight, limit=0.03)}: "
        f"{plus_minus(share[EXACT])} with exact scores, {plus_minus(share[LEARNED])} with learned ones "
        f"({rows[LEARNED]['changed sides']:.0%} changed sides). Infinitely many chains of exact scores would be off by "
        f"{short:.3f} after {steps} steps a level and by {less:.3f} after {3 * steps}{mixed}. Annealing with so "
        f"many and learned scores {restores([share[PATIENT]], weight)}: {plus_minus(share[PATIENT])}."
    )
