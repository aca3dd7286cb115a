"""The figures of the improved-DDPM experiment: the forward chain, training, samples, and chains cut short."""

from collections.abc import Mapping, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from experiments.drawing import Drawer
from experiments.features import FLOOR, FRECHET, Quality
from jaxgen.diffusion import GaussianProcess, perturb, subset_grid
from jaxgen.metrics import MeanAndError, mean_and_error
from jaxgen.report import Report, curves, format_value, image_grid, panels, strip
from jaxgen.samplers import ddim, ddpm

_SMALL, _LARGE, _LEARNED, _DDIM = "small variance", "large variance", "learned variance", "DDIM"
SAMPLERS = {_SMALL: ddpm("fixed_small"), _LARGE: ddpm("fixed_large"), _LEARNED: ddpm("learned"), _DDIM: ddim()}
_SHOWN = {"hybrid": tuple(SAMPLERS), "bound": (_SMALL, _LEARNED)}  # of other objectives one serves to compare them


def forward_chain(report: Report, chains: Mapping[str, GaussianProcess], images: np.ndarray) -> None:
    """The seminar's figure 3-3: what is left of the image along each chain."""
    shown = np.linspace(0, 1, 11)
    images = jnp.asarray(images)
    eps = jax.random.normal(jax.random.key(2), images.shape)
    rows = np.concatenate(
        [np.stack([np.clip(perturb(chain, images, t, eps), -1, 1) for t in shown]) for chain in chains.values()], axis=1
    )
    labels = [name if i == 0 else "" for name in chains for i in range(len(images))]
    report.figure(
        strip(rows, [f"{t:.0%}" for t in shown], row_labels=labels),
        "chain",
        "Two images along the forward chain, by share of its steps. After two thirds of the way "
        + " and ".join(f"{float(chain.alpha(2 / 3)) ** 2:.2g} ({name})" for name, chain in chains.items())
        + " of the signal's variance is left.",
    )
    t = np.linspace(0, 1, 201)
    signal = {name: (t, np.asarray(chain.alpha(t)) ** 2) for name, chain in chains.items()}
    report.figure(
        curves(signal, x_label="t/T", y_label="ᾱ, the signal's share of the variance"),
        "signal",
        "The signal along the chain (the seminar's figure 3-3; Nichol & Dhariwal 2021, figure 5).",
    )
    gone = {name: float(t[np.argmax(alpha_bar < 0.01)]) for name, (_, alpha_bar) in signal.items()}
    report.metrics["share_of_the_chain_until_1_percent_is_left"] = gone
    listed = ", ".join(f"{1 - share:.0%} of the {name} chain" for name, share in gone.items())
    report.finding(f"**The chain.** Less than a hundredth of the signal is left in the last {listed}.")


def training(report: Report, models: Mapping, config) -> None:
    """Held-out errors in ε, which all objectives share as a measure within a schedule."""
    quantities = {"linear": {}, "cosine": {}}
    for name, model in models.items():
        schedule, objective = name.split(", ")
        quantities[schedule][objective] = model.history["eval/loss"]
    begin = (
        f"Each network begins from one that was trained for {config.stem_steps} steps at log-SNRs alike"
        if config.stem_steps
        else "Each network is trained from scratch"
    )
    report.metrics["held_out_error"] = {name: float(m.history["eval/loss"][1][-1]) for name, m in models.items()}
    report.figure(
        panels(quantities, x_label="training step"),
        "training",
        f"Mean squared error in ε of held-out images by the averaged parameters: the simple objective's own measure, "
        f"comparable within a schedule only. {begin}, and goes its own way for {config.steps} steps of "
        f"{config.batch_size} images.",
    )


def compare(
    report: Report, models: Mapping, draws: Mapping[bool, Drawer], quality: Quality, lengths: Sequence[int]
) -> None:
    """Fréchet distance of strided chains by variance, and images."""
    rows, series, shown = [], {}, {}
    for name, model in models.items():
        schedule, objective = name.split(", ")
        draw = draws[model.learned]
        for variance in _SHOWN.get(objective, (_SMALL,)):
            scores = {}
            for n in lengths:
                images = draw(
                    model.process, model.params, SAMPLERS[variance], subset_grid(model.process.steps, n)
                ).images
                scores[n] = quality(images)
            rows.append(
                {"schedule": schedule, "objective": objective, "sampler": variance}
                | {f"{n} steps": score for n, score in scores.items()}
            )
            if objective == "hybrid":
                series.setdefault(name, {})[variance] = (list(scores), list(scores.values()))
            if (objective == "hybrid" and variance == _LEARNED) or (objective != "hybrid" and variance == _SMALL):
                shown[name] = images
    floor = {FLOOR: (list(lengths), [quality.floor] * len(lengths))}
    report.metrics["frechet"] = rows
    report.figure(
        panels({name: of | floor for name, of in series.items()}, x_label="steps", log_x=True, log_y=list(series)),
        "quality-by-steps",
        f"Quality of strided chains of the hybrid networks by variance; down is better. {quality.describe}.",
    )
    report.table(
        rows,
        f"{FRECHET} by schedule, objective, variance and steps. {quality.describe}.",
        best={f"{n} steps": "min" for n in lengths},
    )
    report.figure(
        image_grid(
            np.concatenate([images[:15] for images in shown.values()]),
            15,
            row_labels=list(shown),
        ),
        "samples",
        f"Fifteen samples of each network by {lengths[-1]} steps, from the same noise; of the hybrid networks with the "
        "learned variance, of the others with the small one.",
    )
    told = []
    for name, of in series.items():
        best = {n: min(of, key=lambda variance, i=i: of[variance][1][i]) for i, n in enumerate(lengths)}
        told.append(
            f"{name.split(', ')[0]}: "
            + ", ".join(f"{best[n]} at {n} steps ({of[best[n]][1][i]:.2g})" for i, n in enumerate(lengths))
        )
    report.finding(
        f"**Strided sampling** of the hybrid networks, the nearest by {FRECHET}: {'; '.join(told)}. Held-out images "
        f"are at {quality.floor:.2g}."
    )


def skipping(
    report: Report, models: Mapping, draw: Drawer, quality: Quality, steps: int, shares: Sequence[float], sets: int
) -> None:
    """The seminar's figure 3-4: quality when the first x % of the reverse chain is skipped."""
    shares = sorted(shares)
    scores, grids, ratios = {}, {}, {}
    for name, model in models.items():
        whole = subset_grid(model.process.steps, steps)

        def images_of(share: float, index: int = 0, model=model, whole=whole) -> np.ndarray:
            grid = whole[whole <= 1 - share + 1e-9]
            return draw(model.process, model.params, SAMPLERS[_LEARNED], grid, index).images

        images = [images_of(share) for share in shares]
        scores[name], grids[name] = [quality(x) for x in images], np.stack([x[:5] for x in images])
        if 0.2 in shares:
            more = [[quality(images_of(share, index)) for index in range(1, sets)] for share in (0.2, 0.0)]
            cut, uncut = ([scores[name][shares.index(share)], *of] for share, of in zip((0.2, 0.0), more, strict=True))
            ratios[name] = mean_and_error(np.log(cut) - np.log(uncut))
    report.metrics["skipping"] = {"share": shares, "frechet": scores}
    percent = [100 * share for share in shares]
    report.figure(
        curves(
            {name: (percent, of) for name, of in scores.items()} | {FLOOR: (percent, [quality.floor] * len(percent))},
            x_label="skipped part of the reverse chain (%)",
            y_label=FRECHET,
            log_y=True,
        ),
        "skipping",
        f"Quality when the reverse chain begins late, from noise of its step's σ alone (the seminar's figure 3-4; "
        f"Nichol & Dhariwal 2021, figure 4): the hybrid networks, learned variance, {steps} steps when nothing is "
        f"skipped. {quality.describe}.",
    )
    report.figure(
        strip(
            np.concatenate(list(grids.values()), axis=1),
            [f"{share:.0%}" for share in shares],
            row_labels=[name if i == 0 else "" for name, grid in grids.items() for i in range(grid.shape[1])],
            scale=4,
        ),
        "skipped-samples",
        "Five samples of each chain by the part that was skipped, from the same noise.",
    )
    if ratios:
        report.metrics["skipping"]["log ratio at 20 %"] = {name: tuple(ratio) for name, ratio in ratios.items()}
        told = ", ".join(f"{factor(ratio)} under the {name} schedule" for name, ratio in ratios.items())
        left = " and ".join(f"{float(model.process.alpha(0.8)) ** 2:.2g}" for model in models.values())
        report.finding(
            f"**Skipping the first 20 %** of the reverse chain changes the {FRECHET} by a factor of {told}, over "
            f"{sets} sets of samples; the seminar says harmless and harmful. Of the signal {left} is left there."
        )


def factor(log_ratio: MeanAndError) -> str:
    """A ratio of distances by its logarithm, with its error, and whether that is harm: more than two errors above 1."""
    ratio = float(np.exp(log_ratio.mean))
    harm = "harmful" if log_ratio.mean > 2 * log_ratio.error else "no harm shown"
    return f"{format_value((ratio, ratio * log_ratio.error), 2)} ({harm})"
