"""CAPTCHAs with their texts: for training, held out, and of texts that no training image shows."""

from typing import NamedTuple

import numpy as np

from experiments.captcha.config import Config
from experiments.kit.launch import reading_data
from jaxgen.data import (
    ImageDataset,
    held_out_texts,
    load_captchas,
    render_captchas,
    render_texts,
    split_by_content,
    split_by_text,
)

HELD_OUT = 1000  # rendered images of each kind


class Data(NamedTuple):
    """CAPTCHAs as uint8 images (n, h, w, c) with texts (n, length).

    Attributes:
        train: training images.
        held_out: others, of texts drawn as those of training.
        unseen: images of texts that no training image shows.
    """

    train: ImageDataset
    held_out: ImageDataset
    unseen: ImageDataset


def load(config: Config) -> Data:
    """Render CAPTCHAs or read real ones; raises BadInput for what could only fail after training."""
    with reading_data():
        found = rendered(config) if config.data is None else from_files(config)
        check_texts(found.train)
        if len(found.train) < config.batch_size:
            raise ValueError(
                f"--batch-size {config.batch_size} exceeds the {len(found.train)} training images: lower it"
            )
    letters, length = found.train.num_classes, found.train.labels.shape[1]
    print(f"{len(found.train)} training images of {length} characters out of {letters}")
    return found


def rendered(config: Config) -> Data:
    """Rendered CAPTCHAs."""
    texts = held_out_texts(config.unseen, config.alphabet, config.length, config.seed)
    return Data(
        render_captchas(config.images, config.style, config.seed, held_out=texts),
        render_captchas(HELD_OUT, config.style, config.seed + 1, held_out=texts),
        render_texts((texts * -(-HELD_OUT // len(texts)))[:HELD_OUT], config.style, config.seed + 2),
    )


def from_files(config: Config) -> Data:
    """CAPTCHAs from files, a tenth of whose texts no training image shows."""
    rest, unseen = split_by_text(load_captchas(config.data, size=config.size), 0.1, config.seed)
    return Data(*split_by_content(rest, 0.1, config.seed), unseen)


def check_texts(train: ImageDataset) -> None:
    """Raise ValueError where all images show one text: no recogniser can be trained on them."""
    if len(np.unique(train.labels, axis=0)) == 1:
        raise ValueError(
            "every image shows the same text, so no recogniser can be trained: give images of two or more texts"
        )
