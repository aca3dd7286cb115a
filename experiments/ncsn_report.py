"""The figures and tables of the NCSN experiment."""

from collections.abc import Mapping

import numpy as np

from experiments.chance import LEVEL, apart, beyond_chance
from experiments.features import FLOOR, FRECHET, Quality
from jaxgen.diffusion import ncsn
from jaxgen.metrics import MeanAndError, mean_and_error
from jaxgen.report import Report, curves, image_grid, strip

WHOLE, OLD_STEP, HALF_STEP = "NCSNv2", "without 4: NCSN's ε", "without 4: ε / 2"
TOLD, UNDENOISED = "without 3: a network told σ", "without the last denoising"
HEUN, HEUN_TOLD = "by Heun", "by Heun, a network told σ"


def ladder(report: Report, variants: Mapping, gamma: float, dims: int, examined: int) -> None:
    """The numbers that NCSNv2's first, second and fourth techniques give for these data."""
    whole = variants[WHOLE]
    levels = whole.ladder
    step_sizes = {f"{variants[name].step_size / levels.last**2:.3g}, {said}": variants[name]
                  for name, said in ((WHOLE, "the equation's"), (OLD_STEP, "NCSN's"), (HALF_STEP, "half"))}  # fmt: skip
    rows = [
        {"technique": "1", "quantity": f"σ₁, the largest distance among {examined} training images",
         "value": levels.first},
        {"technique": "2", "quantity": f"γ at which levels overlap by half in {dims} dimensions", "value": gamma},
        {"technique": "2", "quantity": f"levels from σ₁ to σ_L = {levels.last:g}", "value": levels.n},
        *({"technique": "4", "quantity": f"variance over σ² after a level, with ε/σ_L² = {said}",
           "value": variance(variant)} for said, variant in step_sizes.items()),
    ]  # fmt: skip
    report.metrics["ladder"] = {
        "sigma_first": levels.first, "gamma": gamma, "levels": levels.n, "step_size": whole.step_size,
        "variance_ratio": {said: variance(variant) for said, variant in step_sizes.items()},
    }  # fmt: skip
    report.table(
        rows,
        f"What NCSNv2's equations give for these images. Variance: of data at one point, after T = {whole.steps} steps "
        "that began with exactly the variance of the level before; ε makes it least. It is the ε of "
        "x + (ε/2) s + √ε z; the paper's is half of it.",
    )


def variance(variant) -> float:
    """What the variance equation makes as small as it can."""
    return float(ncsn.variance_ratio(variant.step_size, variant.ladder.last, variant.ladder.gamma, variant.steps))


def losses(report: Report, networks: Mapping, batch_size: int) -> None:
    """Held-out losses of both networks."""
    histories = {name: network.history["eval/loss"] for name, network in networks.items()}
    report.metrics["held_out_loss"] = {name: history[1][-1] for name, history in histories.items()}
    report.figure(
        curves(histories, x_label="training step", y_label="held-out loss", log_y=True),
        "loss",
        f"Mean squared error in ε over all levels alike, of held-out images by the averaged parameters; batches of "
        f"{batch_size}. The network that divides by σ is not told it; NCSN's is, and must find the scale 1/σ itself.",
    )


def compare(
    report: Report,
    variants: Mapping,
    drawn: Mapping,
    later: Mapping,
    calls: int,
    held_out: np.ndarray,
    quality: Quality,
) -> None:
    """Fréchet distances, remaining noise and samples of every variant, and of a later sampler on both networks."""
    undenoised = {name for name, variant in variants.items() if not variant.final_denoising}
    drawn = {name: drawn[name] for name in variants} | later
    images = {name: draws.chain if name in undenoised else draws.denoised for name, draws in drawn.items()}
    chains = {name: draws.chain for name, draws in drawn.items()}
    distances = {
        name: np.array([quality(some) for some in sets]) for name, sets in (images | {FLOOR: held_out}).items()
    }
    means = {name: mean_and_error(values) for name, values in distances.items()}
    # the same keys: what a lucky set does to both is not counted
    changes = {name: distances[name] - distances[WHOLE] for name in images if name != WHOLE}
    sigma = variants[WHOLE].ladder.last
    ends, left = (
        {name: np.array([remaining_noise(some) for some in of[name]]) / sigma for name in images}
        for of in (chains, images)
    )
    noisier = {name: left[name] - left[WHOLE] for name in images if name != WHOLE}
    by_set = {name: np.array([noise_images(some) for some in sets]) for name, sets in images.items()}
    broken = {name: float(shares.mean()) for name, shares in by_set.items()}
    settings = {
        name: {"σ₁": variant.ladder.first, "levels": variant.ladder.n, "T": variant.steps,
               "ε/σ_L²": variant.step_size / variant.ladder.last**2,
               "calls": variant.ladder.n * variant.steps + variant.final_denoising}
        for name, variant in variants.items()
    } | {name: {"calls": calls} for name in later}  # fmt: skip
    empty = dict.fromkeys(settings[WHOLE])
    measured = [
        {"variant": name} | empty | settings.get(name, {}) | {FRECHET: mean, "minus NCSNv2's": paired(changes, name)}
        for name, mean in means.items()
    ]
    of_noise = [
        {"variant": name, "predicted": variants[name].predicted_noise if name in variants else None,
         "chain's end": mean_and_error(ends[name]), "samples": mean_and_error(left[name]),
         "minus NCSNv2's": paired(noisier, name),
         "noise images": broken[name]}
        for name in images
    ]  # fmt: skip
    report.metrics["variants"], report.metrics["noise"] = measured, of_noise
    report.metrics["distances"] = distances
    count, per_set = held_out.shape[:2]
    report.table(
        measured,
        "NCSNv2 whole, without one technique at a time, and without any, by annealed Langevin dynamics; and both "
        "networks on levels of the same ladder by Heun's method for the ODE. A star: sampled on another ladder than "
        f"the {variants[WHOLE].ladder.n} levels that both networks are trained on. "
        f"{quality.describe.partition(';')[0]}, mean ± standard error over {count} sets. The differences are paired, "
        f"since all share their keys, and the findings call them chance by Student's t, at {LEVEL:.0%} for all "
        f"{len(changes)} together (Holm's correction).",
    )
    report.table(
        of_noise,
        "Noise r in units of σ_L. Predicted: where chains of an exact network end about data at one point, with "
        "u = ε/2σ_L², r ← γr from level to level, and by a step r² ← (1 − u)² r² + 2u for a network told σ, but "
        "r² ← (r − u)² + 2u for one told nothing, which takes the noise it sees for σ. At the chain's end and in the "
        "samples, denoised or not: measured by how far values leave [−1, 1]. Noise images have more than a tenth of "
        f"their values outside [−1.5, 1.5]; share of {count * per_set}.",
    )
    report.figure(
        image_grid(
            np.concatenate([np.clip(sets[0, :15], -1, 1) for sets in images.values()]), 15, row_labels=list(images)
        ),
        "variants",
        "Fifteen samples of each, from the same noise and keys; not chosen.",
    )
    report.finding(
        f"**Fréchet distance** of NCSNv2 {plus_minus(means[WHOLE])} over {count} sets of {per_set} samples "
        f"({FLOOR} {plus_minus(means[FLOOR])}). {sorted_by_verdict(changes)} Errors are of sampling alone, each "
        "network being trained once; a star: on another ladder than trained on."
    )
    report.finding(
        f"**Noise in the samples** of NCSNv2 {plus_minus(mean_and_error(left[WHOLE]))} σ_L. "
        f"{sorted_by_verdict(noisier)}"
    )
    report.finding(last_denoising(ends[WHOLE], left[WHOLE], changes))
    report.finding(step_sizes(variants, {name: values.mean() for name, values in ends.items()}))
    report.finding(outside(broken, count * per_set) + whose_fault(by_set[HEUN], by_set[HEUN_TOLD]))


def paired(differences: Mapping[str, np.ndarray], name: str) -> MeanAndError | None:
    """The mean difference of a variant, where it has one."""
    return mean_and_error(differences[name]) if name in differences else None


def plus_minus(value: MeanAndError) -> str:
    """A mean and its standard error."""
    return f"{value.mean:.3g} ± {value.error:.2g}"


def verdicts(differences: Mapping[str, np.ndarray]) -> dict[str, str]:
    """What paired differences (sets,) of distances or of noise say, looked at together."""
    told = beyond_chance(differences)
    return {
        name: "within chance" if name not in told else "worse" if np.mean(values) > 0 else "better"
        for name, values in differences.items()
    }


def sorted_by_verdict(differences: Mapping[str, np.ndarray]) -> str:
    """All variants under what their differences (sets,) from the whole say, the largest first."""
    said, changes = verdicts(differences), {name: mean_and_error(values) for name, values in differences.items()}
    ordered = sorted(changes.items(), key=lambda item: -item[1].mean)

    def those(verdict: str) -> str:
        return "; ".join(f"{n} {c.mean:+.3g} ± {c.error:.2g}" for n, c in ordered if said[n] == verdict) or "none"

    return (
        f"Differences from it by the same keys: **worse**: {those('worse')}. **Better**: {those('better')}. **Within "
        f"chance**: {those('within chance')}."
    ).replace("-", "−")


def remaining_noise(images: np.ndarray) -> float:
    """Standard deviation of noise on images in [−1, 1] whose white and black are at the ends: of what lies beyond.

    The median excess of a Gaussian's outer half is .6745 deviations, whatever share of the values is white or black;
    a median, so that a few images of noise do not count. 0 where nothing is beyond.
    """
    excess = np.abs(images) - 1
    excess = excess[excess > 0]
    return float(np.median(excess) / 0.6745) if excess.size else 0.0


def noise_images(images: np.ndarray) -> float:
    """The share of images (..., h, w, c) of which more than a tenth of the values are outside [−1.5, 1.5]."""
    return float(np.mean(np.mean(np.abs(images) > 1.5, axis=(-3, -2, -1)) > 0.1))


def last_denoising(before: np.ndarray, after: np.ndarray, differences: Mapping[str, np.ndarray]) -> str:
    """What the last denoising does to the noise of each set, and whether the judge sees it, among all differences."""
    does = "leaves" if not apart(before, after) else "lowers" if after.mean() < before.mean() else "raises"
    seen = {
        "within chance": "which the judge, itself trained under noise of .1, cannot tell",
        "worse": "and the judge sees it: the samples without it are worse",
        "better": "and the judge prefers the samples without it",
    }[verdicts(differences)[UNDENOISED]]
    change = mean_and_error(differences[UNDENOISED])
    return (
        f"**The last denoising** {does} the noise, from {before.mean():.3g} to {after.mean():.3g} σ_L, {seen} "
        f"({change.mean:+.2g} ± {change.error:.2g})."
    ).replace("-", "−")


def step_sizes(variants: Mapping, ends: Mapping[str, float]) -> str:
    """What technique 4 does: the variance equation, and the noise where chains end, by three step sizes."""
    whole, old, half = (variants[name] for name in (WHOLE, OLD_STEP, HALF_STEP))
    left = [f"{variance(variant):.4g} σ²" for variant in (whole, old, half)]
    noise = [f"{ends[name]:.3g} σ_L (predicted {variants[name].predicted_noise:.3g})"
             for name in (WHOLE, OLD_STEP, HALF_STEP)]  # fmt: skip
    near = "happens to lie near" if variance(old) < 1.02 * variance(whole) else "lies away from"
    return (
        f"**Technique 4.** By the variance equation a level leaves {left[0]} with its own ε, {left[1]} with NCSN's, "
        f"which {near} the solution, and {left[2]} with half of it. Chains pass on what is left, and end with noise of "
        f"{noise[0]}, {noise[1]} and {noise[2]}."
    )


def outside(shares: Mapping[str, float], count: int) -> str:
    """Which samplers return noise."""
    noisy = [f"{name} {share:.0%}" for name, share in shares.items() if share > 0]
    return f"**Samples that are noise**, of {count} each: {', '.join(noisy) or 'none'}."


def whose_fault(blind: np.ndarray, told: np.ndarray) -> str:
    """Why Heun's method returns noise images, if it does, by their shares in each set with either network."""
    if not blind.any():
        return ""
    fewer = told.mean() < blind.mean() and apart(blind, told)
    why = f"it is {'mostly ' if told.any() else ''}for" if fewer else "it is not for"
    return (
        f" By Heun on the same grid a network told σ returns {told.mean():.0%}: {why} having to read the noise off x "
        "that the other fails."
    )


def through_the_levels(report: Report, ladder, path: np.ndarray) -> None:
    """A few chains, level by level."""
    shown = np.linspace(0, len(path) - 1, min(10, len(path))).round().astype(int)
    sigmas = ncsn.geometric_sigmas(*ladder)
    states = np.stack([path[i] / max(1.0, sigmas[i]) for i in shown])
    report.figure(
        strip(np.clip(states, -1, 1), [f"σ = {sigmas[i]:.2g}" for i in shown]),
        "levels",
        "Six chains of NCSNv2 from the prior's noise down the ladder, divided by σ where that exceeds 1: each "
        "before the moves at its level, the last after all and denoised.",
    )
