"""What the CAPTCHA exercise measures: numbers and images."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from experiments.captcha.config import Config
from experiments.captcha.data import Data
from experiments.captcha.measure_variety import Diversity, Novelty, diversity, novelty
from experiments.captcha.recogniser import Reading, Recogniser
from experiments.captcha.train import TextSampler
from experiments.kit.run import Run
from experiments.kit.score_model import Model
from experiments.kit.statistics import ratio, share
from jaxgen.data import decode_texts, to_float
from jaxgen.metrics import MeanAndError
from jaxgen.training import History

SHOWN = 40
SURE = 0.95

# (name, texts (n, length), scale, seed) -> images (n, h, w, c) in [−1, 1]
DrawTexts = Callable[[str, np.ndarray, float, int], np.ndarray]


class Captioned(NamedTuple):
    """Images (n, h, w, c), and a text of each."""

    images: np.ndarray
    texts: list[str]


class Unconditional(NamedTuple):
    """Samples without a text.

    Attributes:
        shown: the first samples, and what the recogniser reads in them.
        level: share of held-out real images in which the recogniser is sure of a text, which sets the threshold.
        sure: share of the samples in which it is sure of a text.
    """

    shown: Captioned
    level: float
    sure: MeanAndError


class Requests(NamedTuple):
    """Images asked for by their texts, seen in training or not.

    Attributes:
        shown: the first of them at the best scale, and the texts asked for.
        images: number of images.
        texts: number of different texts.
        real: number of held-out real images of such texts.
        ceiling: how often the recogniser reads those.
        readings: how often it reads the images asked for, by scale of guidance, ascending.
    """

    shown: Captioned
    images: int
    texts: int
    real: int
    ceiling: Reading
    readings: dict[float, Reading]

    def of_real(self, scale: float) -> MeanAndError | None:
        """The share of whole texts that are read over that of real images; None where no real image is read."""
        return ratio(self.readings[scale].whole, self.ceiling.whole)


class Conditional(NamedTuple):
    """Samples of texts.

    Attributes:
        scales: the scales of guidance, ascending.
        best: the scale at which most seen texts are read.
        seen: texts that training images show.
        unseen: texts that no training image shows.
        known: share of the held-out real images whose text a training image shows.
        novelty: how far the images at the best scale are from those of training.
        diversity: how much two images of one text differ; None where there are too few texts.
    """

    scales: list[float]
    best: float
    seen: Requests
    unseen: Requests
    known: float
    novelty: Novelty
    diversity: Diversity | None


class Measured(NamedTuple):
    """Everything the report shows."""

    real: Captioned
    train_count: int
    held_out_count: int
    history: History
    unconditional: Unconditional
    conditional: Conditional


def measure(run: Run[Config], data: Data, model: Model, recogniser: Recogniser) -> Measured:
    """Sample without and with texts, and let the recogniser read the samples."""
    config, draw = run.config, TextSampler(run, model, run.config.sampling_steps)
    names = data.train.label_names
    return Measured(
        real=Captioned(data.train.images[:SHOWN], decode_texts(data.train.labels[:SHOWN], names)),
        train_count=len(data.train),
        held_out_count=len(data.held_out),
        history=model.history,
        unconditional=measure_unconditional(data, recogniser, draw, config),
        conditional=measure_conditional(data, recogniser, draw, config),
    )


def requests(data: Data, images: int, seed: int) -> dict[str, np.ndarray]:
    """At most so many texts (n, length) to ask for, by kind: as many different ones as there are, each as often."""
    found = {}
    for kind, of in (("seen", data.train), ("unseen", data.unseen)):
        texts = np.random.default_rng(seed).permutation(np.unique(of.labels, axis=0))[:images]
        found[kind] = np.tile(texts, (images // len(texts), 1))
    return found


def measure_unconditional(data: Data, recogniser: Recogniser, draw: DrawTexts, config: Config) -> Unconditional:
    """Samples without a text, and how sure the recogniser is of a text in them."""
    tokens = requests(data, config.requested, config.seed)["seen"]
    images = draw("without a text", tokens, 0.0, config.seed + 2)
    threshold = np.quantile(recogniser.confidence(to_float(data.held_out.images)), 1 - SURE)
    sure = share(recogniser.confidence(images) > threshold)
    read = decode_texts(recogniser.read(images[:SHOWN]), data.train.label_names)
    return Unconditional(Captioned(np.clip(images[:SHOWN], -1, 1), read), SURE, sure)


def measure_conditional(data: Data, recogniser: Recogniser, draw: DrawTexts, config: Config) -> Conditional:
    """Samples of texts at each scale of guidance, how often they are read, and how they vary."""
    scales, names = sorted(set(config.scales)), data.train.label_names
    asked = requests(data, config.requested, config.seed)
    images = {
        (kind, scale): draw(f"{kind} texts, guidance {scale:g}", tokens, scale, config.seed + 3)
        for kind, tokens in asked.items()
        for scale in scales
    }
    readings = {
        kind: {scale: recogniser.reading(images[kind, scale], tokens) for scale in scales}
        for kind, tokens in asked.items()
    }
    best = max(scales, key=lambda scale: readings["seen"][scale].whole.mean)

    def found(kind: str, real) -> Requests:
        tokens = asked[kind]
        shown = Captioned(np.clip(images[kind, best][:SHOWN], -1, 1), decode_texts(tokens[:SHOWN], names))
        ceiling = recogniser.reading(to_float(real.images), real.labels)
        texts = len(np.unique(tokens, axis=0))
        return Requests(shown, len(tokens), texts, len(real), ceiling, readings[kind])

    trained = set(map(tuple, data.train.labels.tolist()))
    return Conditional(
        scales,
        best,
        seen=found("seen", data.held_out),
        unseen=found("unseen", data.unseen),
        known=float(np.mean([tuple(text) in trained for text in data.held_out.labels.tolist()])),
        novelty=novelty(data, np.concatenate([images[kind, best] for kind in asked])),
        diversity=diversity(
            data, lambda name, tokens, seed: draw(name, tokens, best, config.seed + seed), asked["seen"]
        ),
    )
