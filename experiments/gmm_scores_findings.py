"""The mixture experiment's findings: sentences after the numbers of all samplers."""

from collections.abc import Mapping, Sequence

import numpy as np

from experiments.chance import apart
from experiments.gmm_scores_draws import EXACT, Drawer
from experiments.toy_chance import loses, over_seeds, plus_minus, restores
from experiments.toy_sampling import Found, nearest_mode, true_widths
from jaxgen.distributions import GaussianMixture
from jaxgen.metrics import MeanAndError
from jaxgen.report import Report


def find(
    report: Report,
    draw: Drawer,
    mixture: GaussianMixture,
    rows: Mapping[str, dict],
    found: Mapping[str, Sequence[Found]],
) -> None:
    """The sentences, after the numbers."""
    weight, short, longer = float(mixture.weights[0]), draw.ladder.homework, draw.ladder.longer
    wide, deep = f"network [1, {short[0]:g}]", f"network [{longer[-1]:g}, {longer[0]:g}]"
    least, last = min(draw.models.single), f"{longer[-1]:g}"
    begun = np.mean([nearest_mode(draw.starts(seed), mixture.means) == 0 for seed in range(draw.config.seeds)])
    one, down = rows[f"annealed to σ = 1, {wide}"], rows[f"annealed to σ = {last}, {deep}"]
    plain, denoised = rows[f"Langevin, {EXACT}"], rows["the same, and x̂0 = x + σ² s"]
    report.finding(
        noise_told(rows[f"ascent, {EXACT}"]["width"], plain["width"])
        + f", {plus_minus(rows[f'Langevin, network σ = {least:g}']['width'])} on the network of σ = {least:g}, where p "
        f"* N(0, σ² I) has {true_widths(mixture, least):.2f}."
    )
    annealed = {wide: one["weight of mode 1"], deep: down["weight of mode 1"]}
    report.finding(weights_told(weight, plain["weight of mode 1"], float(begun), annealed))
    report.finding(
        ends_told(one, true_widths(mixture, 1.0))
        + f" One step x̂0 = x + σ² s from there gives modes {plus_minus(denoised['width'])} times as wide as p's and "
        f"{plus_minus(denoised['MMD / floor'])} floors to p. The ladder that goes on to σ = {last}, by a network "
        f"trained down to it: {plus_minus(down['width'])} times as wide, {twice(down['MMD / floor'])}."
    )
    off, on, heun, exact = f"DDIM, {deep}, from N(0, σ² I)", f"DDIM, {deep}", f"Heun, {deep}", "Heun, exact scores"
    weights = {name: [of.weight for of in found[name]] for name in (off, on, heun, exact)}
    of_starts = plus_minus(rows[exact]["error"])
    report.finding(
        f"**The same network through the ODE**, from the Gaussian with the moments of the noised data: "
        f"{draw.config.ode_steps} steps of DDIM end {twice(rows[on]['MMD / floor'])}, of Heun "
        f"{twice(rows[heun]['MMD / floor'])}. By Heun mode 1 has {plus_minus(rows[heun]['weight of mode 1'])}, with "
        f"exact scores from the same starts {difference(weights[exact], weights[heun])}. From N(0, σ² I), which at σ = "
        f"{longer[0]:g} is not yet the data's law, DDIM's weight is {difference(weights[off], weights[on])}. All share "
        f"their starts, whose chance is common to their errors: exact scores are off by {of_starts} too."
    )


def noise_told(ascent: MeanAndError, chain: MeanAndError) -> str:
    """Whether it takes noise to draw samples: ascent ends in points, Langevin dynamics in modes as wide as p's."""
    head = "Noise is what makes samples" if ascent.mean < 0.1 and abs(chain.mean - 1) < 0.1 else "Ascent and noise"
    return (
        f"**{head}.** Modes are {plus_minus(ascent)} times as wide as p's after gradient ascent on the exact score, "
        f"{plus_minus(chain)} after Langevin dynamics on it"
    )


def weights_told(weight: float, plain: MeanAndError, begun: float, annealed: Mapping[str, MeanAndError]) -> str:
    """What becomes of the weights without levels and with them."""
    told = ", ".join(f"{plus_minus(of)} by the {name}" for name, of in annealed.items())
    return (
        f"**Mode weights.** p gives mode 1 {weight:.3f}. Langevin dynamics with the exact score "
        f"{loses(plain, weight)}: {plus_minus(plain)}, where {begun:.3f} of the chains started nearer to it. Annealing "
        f"{restores(list(annealed.values()), weight)}: {told}."
    )


def ends_told(row: dict, own_width: float) -> str:
    """Whether chains that end at σ = 1 have the law under that noise: an MMD within twice the floor."""
    of_law = row["MMD to its own law / floor"]
    said = "have" if of_law.mean <= 2 else "do not have"
    return (
        f"**Where to end.** Chains annealed to σ = 1 {said} the law of p * N(0, I): {plus_minus(of_law)} times the "
        f"floor from it, {plus_minus(row['MMD / floor'])} from p, with modes {plus_minus(row['width'])} times as wide "
        f"as p's, that law's being {own_width:.2f}."
    )


def twice(of_floor: MeanAndError) -> str:
    """An MMD in floors, and whether it is within twice of it."""
    return f"{plus_minus(of_floor)} floors from p, {'within' if of_floor.mean <= 2 else 'beyond'} twice the floor"


def difference(a: Sequence[float], b: Sequence[float]) -> str:
    """By how much the mean of a is above that of b, of paired values, and whether that may be chance."""
    mean, error = over_seeds(np.subtract(a, b))
    return f"{plus_minus(MeanAndError(abs(mean), error))} {'more' if mean > 0 else 'less'}" + (
        "" if apart(a, b) else f", which {len(a)} seeds cannot tell from nothing"
    )


def stops(moves: Mapping[str, float], still: float = 0.05) -> str:
    """What ascent does, by its last moves."""
    more = ", ".join(f"{move:.2g} ({name})" for name, move in moves.items() if move > still)
    return f"climbs, and in the last tenth still moves by up to {more}" if more else "climbs and stops"
