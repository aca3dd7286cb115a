"""The figures and tables of the CAPTCHA experiment."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments import captcha_variety as variety
from experiments.captcha_reader import Reader, Reading
from experiments.chance import percent, share
from experiments.score_model import Model, grid
from jaxgen.data import decode_texts, to_float
from jaxgen.diffusion import guidance
from jaxgen.metrics import MeanAndError
from jaxgen.report import Report, curves, image_grid
from jaxgen.samplers import dpmpp_2m, sample

WHOLE, CHARACTERS, OF_REAL = "whole text", "characters", "whole, of real"
_MARK = 0.8
_SURE = 0.95
_COLUMNS = 10


class Writer:
    """Draws images of texts; one compiled function for every scale of guidance."""

    def __init__(self, model: Model, steps: int):
        self._model = model
        times = grid(model.process, steps)

        def write(params, keys, tokens, scale):
            guided = guidance.classifier_free(model.process, model.denoise(params), tokens, -1, scale, clip=1.0)
            return sample(keys, model.process, guided, dpmpp_2m(), times, model.shape)

        self._write = jax.jit(write)

    def __call__(self, tokens: np.ndarray, scale: float, seed: int) -> np.ndarray:
        """An image for each text (n, length), from the same noise at every scale; scale 0 does not see the texts."""
        keys = jax.random.split(jax.random.key(seed), len(tokens))
        return np.asarray(self._write(self._model.params, keys, jnp.asarray(tokens), scale))


def real(report: Report, data, model: Model, config) -> None:
    """The data, and the training of the model."""
    titles = decode_texts(data.train.labels[:40], data.train.label_names)
    report.figure(
        image_grid(data.train.images[:40], _COLUMNS, titles=titles),
        "real",
        f"Training images, 40 of {len(data.train)}, and their texts.",
    )
    report.figure(
        curves({"": model.history["eval/loss"]}, x_label="training step", y_label="held-out loss", log_y=True),
        "loss",
        f"Held-out loss of the diffusion model, batches of {config.batch_size}.",
    )


def requests(data, images: int, seed: int) -> dict[str, np.ndarray]:
    """At most so many texts (n, length) to ask for, seen in training and not: as many different ones as there are, each
    as often, drawn by the seed.
    """
    found = {}
    for kind, of in (("seen", data.train), ("unseen", data.unseen)):
        texts = np.random.default_rng(seed).permutation(np.unique(of.labels, axis=0))[:images]
        found[kind] = np.tile(texts, (images // len(texts), 1))
    return found


def unconditional(report: Report, data, reader: Reader, write: Writer, config) -> None:
    """Samples without a text: do they show any?"""
    tokens = requests(data, config.requested, config.seed)["seen"]
    images = write(tokens, 0.0, config.seed + 2)
    threshold = np.quantile(reader.confidence(to_float(data.held_out.images)), 1 - _SURE)
    sure = share(reader.confidence(images) > threshold)
    texts = decode_texts(reader.log_probs(images[:40]).argmax(-1), data.train.label_names)
    report.metrics["unconditional"] = {"as sure as 95 % of real": tuple(sure)}
    report.figure(
        image_grid(np.clip(images[:40], -1, 1), _COLUMNS, titles=texts),
        "unconditional",
        "Samples of the model without a text, and what the recogniser reads in them.",
    )
    if sure.mean + 2 * sure.error >= _SURE:
        told = "show texts as real images do"
    else:
        told = "are weak" if sure.mean < _MARK * _SURE else "fall short of real images"
    report.finding(
        f"**Without a text** the samples {told}: the recogniser is sure of {percent(sure)} of them against {_SURE:.0%} "
        f"of {len(data.held_out)} held-out real images, by the same threshold."
    )


def conditional(report: Report, data, reader: Reader, write: Writer, config) -> None:
    """The table that counts, and images beside the texts that were asked for."""
    asked = requests(data, config.requested, config.seed)
    real_ones = {"seen": data.held_out, "unseen": data.unseen}
    ceilings = {kind: reader.reads(to_float(of.images), of.labels) for kind, of in real_ones.items()}
    rows = [_row("real, held out", kind, of, None) for kind, of in ceilings.items()]
    images, found = {}, {}
    for scale in sorted(config.scales):
        for kind, tokens in asked.items():
            images[scale, kind] = write(tokens, scale, config.seed + 3)
            found[scale, kind] = reader.reads(images[scale, kind], tokens)
            rows.append(_row(f"guidance {scale:g}", kind, found[scale, kind], ceilings[kind]))
    report.metrics["reading"] = rows
    report.table(rows, _caption(data, asked, config))
    best = max(config.scales, key=lambda scale: found[scale, "seen"].whole.mean)
    for kind, tokens in asked.items():
        report.figure(
            image_grid(
                np.clip(images[best, kind][:40], -1, 1),
                _COLUMNS,
                titles=decode_texts(tokens[:40], data.train.label_names),
            ),
            f"asked-{kind}",
            f"Texts {'that training images show' if kind == 'seen' else 'that no training image shows'}, as asked for, "
            f"at guidance {best:g}; not chosen.",
        )
    shown = {
        kind: (sorted(config.scales), [found[scale, kind].whole.mean for scale in sorted(config.scales)])
        for kind in asked
    }
    report.figure(
        curves(shown, x_label="guidance scale", y_label="share of whole texts read"),
        "sweep",
        "Whole texts read as asked for, by the scale of guidance; 1 is the conditional model itself.",
    )
    parts = [
        f"{kind} texts {percent(found[best, kind].whole)}, {_verdict(found[best, kind], ceilings[kind])}"
        for kind in asked
    ]
    report.finding(f"**Reading** at guidance {best:g}, {_picked(best, config.scales)}: {'; '.join(parts)}.")
    variety.novelty(report, data, np.concatenate([images[best, kind] for kind in asked]))
    variety.diversity(report, data, lambda tokens, seed: write(tokens, best, config.seed + seed), asked["seen"])


def _caption(data, asked: dict[str, np.ndarray], config) -> str:
    different = {kind: len(np.unique(tokens, axis=0)) for kind, tokens in asked.items()}
    trained = set(map(tuple, data.train.labels.tolist()))
    known = np.mean([tuple(text) in trained for text in data.held_out.labels.tolist()])
    return (
        f"How often the recogniser, trained on the {len(data.train)} real training images alone, reads what was asked "
        f"for: {len(asked['seen'])} images of {different['seen']} different texts that training images show and "
        f"{len(asked['unseen'])} of {different['unseen']} that none does, by {config.sampling_steps} steps of "
        "DPM-Solver++(2M), ± standard error over texts. The ceiling, held-out real images: "
        f"{len(data.held_out)} of texts drawn as those of the training images, which show {known:.0%} of them, and "
        f"{len(data.unseen)} of texts that no training image shows. Of real: the share of whole texts over that of "
        "real images."
    )


def _picked(best: float, scales: tuple[float, ...]) -> str:
    """How the scale was found."""
    told = "picked by the share of seen texts, which flatters that share and not the one of unseen texts"
    if len(scales) > 1 and best in (min(scales), max(scales)):
        told += f" (the {'largest' if best == max(scales) else 'smallest'} that was tried, so others may be better)"
    return told


def _row(who: str, kind: str, reading: Reading, ceiling: Reading | None) -> dict[str, Any]:
    row = {"images": who, "texts": kind, WHOLE: tuple(reading.whole), CHARACTERS: tuple(reading.characters)}
    if ceiling is None:
        return row
    ratio = _ratio(reading, ceiling)
    return row | {OF_REAL: None if ratio is None else tuple(ratio)}


def _ratio(reading: Reading, ceiling: Reading) -> MeanAndError | None:
    """The share of whole texts over that of real images; none where no real image is read."""
    (a, a_error), (b, b_error) = reading.whole, ceiling.whole
    return None if b == 0 else MeanAndError(a / b, float(np.hypot(a_error / b, a * b_error / b**2)))


def _verdict(reading: Reading, ceiling: Reading) -> str:
    """A share in parts of the ceiling, and whether that is the mark: surely so by two standard errors."""
    ratio = _ratio(reading, ceiling)
    if ratio is None:
        return "where no real image is read either"
    sure = abs(ratio.mean - _MARK) > 2 * ratio.error
    return (
        f"{percent(ratio)} of the {ceiling.whole.mean:.1%} of real images, which {'surely ' if sure else ''}"
        f"{'meets' if ratio.mean >= _MARK else 'misses'} the mark of {_MARK:.0%}"
        f"{'' if sure else ', though not beyond chance'}"
    )
