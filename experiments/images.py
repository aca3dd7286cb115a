"""The images an experiment trains on: rendered sprites, or files of the user's."""

from dataclasses import replace

import numpy as np

from experiments.config import ImageConfig
from jaxgen.data import ImageDataset, load_images, render_sprites, split_by_content, to_float


def load(config: ImageConfig) -> tuple[ImageDataset, ImageDataset]:
    """Training and held-out images in [−1, 1]; raises ValueError for what could only fail after training."""
    if config.data is None:
        return split(render_sprites(config.images, config.seed), config)
    how = {"resize": config.size} if config.resize else {"size": config.size}
    return split(load_images(config.data, subset=config.subset, **how), config)


def split(dataset: ImageDataset, config: ImageConfig) -> tuple[ImageDataset, ImageDataset]:
    """Training and held-out images in [−1, 1].

    Labels that are all alike are dropped: a classifier of one class judges nothing. Raises ValueError for too few
    images, or unlabelled ones that the judge of rendered sprites cannot read.
    """
    if dataset.labels is not None and len(np.unique(dataset.labels)) == 1:
        print("every image has the same label: going on without labels, and without samples by class")
        dataset = replace(dataset, labels=None, label_names=())
    # files often come sorted by class; what is shown and measured takes the first ones
    shuffled = dataset.take(np.random.default_rng(config.seed).permutation(len(dataset)))
    train_set, test_set = split_by_content(replace(shuffled, images=to_float(shuffled.images)), 0.1, config.seed)
    if len(train_set) < config.batch_size:
        raise ValueError(f"--batch-size {config.batch_size} exceeds the {len(train_set)} training images: lower it")
    if dataset.labels is None and dataset.images.shape[-1] != 3:
        raise ValueError(
            f"unlabelled images need 3 channels to be judged, got {dataset.images.shape[-1]}: add labels of two classes"
        )
    return train_set, test_set


def source(config: ImageConfig) -> str:
    """Where the images come from, for captions."""
    return "rendered" if config.data is None else f"from {config.data}"
