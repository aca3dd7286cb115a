"""The figures and tables of the NCSN experiment."""

from collections.abc import Mapping

import numpy as np

from experiments.features import FLOOR, FRECHET, Quality
from jaxgen.diffusion import ncsn
from jaxgen.report import Report, curves, image_grid, strip


def ladder(report: Report, ladder, gamma: float, whole, dims: int) -> None:
    """The numbers that NCSNv2's first, second and fourth techniques give for these data."""
    left = float(ncsn.variance_ratio(whole.step_size, ladder.last, ladder.gamma, whole.steps))
    rows = [
        {"technique": "1", "quantity": "σ₁, the largest distance among 5,000 training images", "value": ladder.first},
        {"technique": "2", "quantity": f"γ at which levels overlap by half in {dims} dimensions", "value": gamma},
        {"technique": "2", "quantity": f"levels from σ₁ to σ_L = {ladder.last:g}", "value": ladder.n},
        {"technique": "4", "quantity": f"ε for T = {whole.steps} steps a level, in units of σ_L²",
         "value": whole.step_size / ladder.last**2},
        {"technique": "4", "quantity": "variance over σ² that this ε leaves", "value": left},
    ]  # fmt: skip
    report.metrics["ladder"] = {
        "sigma_first": ladder.first, "gamma": gamma, "levels": ladder.n, "step_size": whole.step_size,
        "variance_ratio": left,
    }  # fmt: skip
    report.table(
        rows,
        "What NCSNv2's equations give for these images. ε is that of x + (ε/2) s + √ε z; the paper's ε is half of it.",
    )


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
    report: Report, variants: Mapping, images: Mapping[str, np.ndarray], later: np.ndarray, calls: int, quality: Quality
) -> None:
    """Fréchet distances and samples of every variant, and of a later sampler on the same network."""
    found = {name: quality(samples) for name, samples in images.items()}
    rows = [
        {"variant": name, "σ₁": variant.ladder.first, "levels": variant.ladder.n, "T": variant.steps}
        | {"ε/σ_L²": variant.step_size / variant.ladder.last**2}
        | {"calls": variant.ladder.n * variant.steps + variant.final_denoising, FRECHET: found[name]}
        for name, variant in variants.items()
    ]
    heun = {"variant": "NCSNv2's network by Heun", "calls": calls - 1, FRECHET: quality(later)}
    report.metrics["variants"], report.metrics["floor"] = [*rows, heun], quality.floor
    report.table(
        [*rows, dict.fromkeys(rows[0]) | heun],
        f"NCSNv2 whole, without one technique at a time, and without any, by annealed Langevin dynamics; and the "
        "same network on levels of the same ladder by a later sampler of the ODE. Both networks are trained on "
        "NCSNv2's ladder: what is taken away is taken from the sampling, and from the network where it says so. "
        f"{quality.describe}.",
    )
    shown = images | {"by Heun": later}
    report.figure(
        image_grid(np.concatenate([samples[:15] for samples in shown.values()]), 15, row_labels=list(shown)),
        "variants",
        "Fifteen samples of each, from the same noise and keys; not chosen.",
    )
    whole = found["NCSNv2"]
    changes = sorted(((value / whole, name) for name, value in found.items() if name != "NCSNv2"), reverse=True)
    worse = [f"{name} {found[name]:.3g}" for ratio, name in changes if ratio > 1.1]
    better = [f"{name} {found[name]:.3g}" for ratio, name in changes if ratio < 1 / 1.1]
    alike = [f"{name} {found[name]:.3g}" for ratio, name in changes if 1 / 1.1 <= ratio <= 1.1]
    report.finding(
        f"**Fréchet distance** of NCSNv2 {whole:.3g} ({FLOOR} {quality.floor:.2g}; Heun on its network, {calls - 1} "
        f"calls, {heun[FRECHET]:.3g}). Worse by more than a tenth: {', '.join(worse) or 'none'}. Within a tenth: "
        f"{', '.join(alike) or 'none'}. Better: {', '.join(better) or 'none'}."
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
