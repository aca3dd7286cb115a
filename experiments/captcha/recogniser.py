"""The recogniser that reads CAPTCHAs, trained on real images alone."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import numpy as np

from experiments.captcha.data import check_texts
from experiments.kit.classifier import train_reader
from experiments.kit.launch import reading_data
from experiments.kit.run import Run
from experiments.kit.statistics import share
from jaxgen.data import ImageDataset, to_float
from jaxgen.metrics import MeanAndError, apply_in_batches
from jaxgen.nets import TextRecogniser


class Reading(NamedTuple):
    """Shares of whole texts and of characters that are read as asked, each with its standard error over texts."""

    whole: MeanAndError
    characters: MeanAndError


class Recogniser(NamedTuple):
    """A trained recogniser.

    Attributes:
        log_probs: images (b, h, w, c) in [−1, 1] -> log-probabilities (b, length, letters).
    """

    log_probs: Callable[[np.ndarray], np.ndarray]

    def read(self, images: np.ndarray) -> np.ndarray:
        """The likeliest text (b, length) of each image."""
        return self.log_probs(images).argmax(-1)

    def reading(self, images: np.ndarray, tokens: np.ndarray) -> Reading:
        """How many of the images are read as the texts (b, length) that they should show."""
        right = self.read(images) == tokens
        whole, characters = right.all(-1), right.mean(-1)
        return Reading(share(whole, groups=tokens), share(characters, each=tokens.shape[1], groups=tokens))

    def confidence(self, images: np.ndarray) -> np.ndarray:
        """log-probability (b,) of each image's likeliest text."""
        return self.log_probs(images).max(-1).sum(-1)


def train_recogniser(run: Run, train: ImageDataset, *, steps: int) -> Recogniser:
    """Train a recogniser.

    Args:
        run: the run.
        train: uint8 images with their texts.
        steps: training steps.

    Raises:
        BadInput: if every image shows the same text, because any recogniser would then be right.
    """
    with reading_data():
        check_texts(train)
    net = TextRecogniser(train.num_classes, train.labels.shape[1])
    params = train_reader(run, "recogniser", net, to_float(train.images), train.labels, steps=steps)
    read = partial(apply_in_batches, lambda x: jax.nn.log_softmax(net.apply(params, x)).reshape(len(x), -1))
    return Recogniser(lambda images: read(np.clip(images, -1, 1)).reshape(len(images), *train.labels.shape[1:], -1))
