"""The recogniser that judges CAPTCHAs, trained on real images alone."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import numpy as np

from experiments.chance import share
from experiments.features import train_reader
from experiments.launch import BadInput
from jaxgen.data import ImageDataset, to_float
from jaxgen.metrics import MeanAndError, apply_in_batches
from jaxgen.nets import TextRecogniser


class Reading(NamedTuple):
    """Shares of whole texts and of characters that are read as asked, each with its standard error over texts."""

    whole: MeanAndError
    characters: MeanAndError


class Reader(NamedTuple):
    """Log-probabilities (b, length, letters) of images in [−1, 1]."""

    log_probs: Callable[[np.ndarray], np.ndarray]

    def reads(self, images: np.ndarray, tokens: np.ndarray) -> Reading:
        """How many of the images are read as the texts (b, length) that they should show."""
        right = self.log_probs(images).argmax(-1) == tokens
        return Reading(share(right.all(-1), groups=tokens), share(right.mean(-1), each=tokens.shape[1], groups=tokens))

    def confidence(self, images: np.ndarray) -> np.ndarray:
        """log-probability of each image's likeliest text."""
        return self.log_probs(images).max(-1).sum(-1)


def train_recogniser(train: ImageDataset, *, steps: int, seed: int, progress: bool = True) -> Reader:
    """A recogniser of labelled uint8 images; raises ValueError where they all show the same text."""
    if len(np.unique(train.labels, axis=0)) == 1:
        raise BadInput("every image shows the same text, so no reader can be trained: give images of two or more")
    net = TextRecogniser(train.num_classes, train.labels.shape[1])
    params = train_reader(net, to_float(train.images), train.labels, steps=steps, seed=seed, progress=progress)
    read = partial(apply_in_batches, lambda x: jax.nn.log_softmax(net.apply(params, x)).reshape(len(x), -1))
    return Reader(lambda images: read(np.clip(images, -1, 1)).reshape(len(images), *train.labels.shape[1:], -1))
