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
    """A data set as training and held-out images in [−1, 1]; raises ValueError for too few, or none to be judged."""
    # files often come sorted by class; what is shown and measured takes the first ones
    shuffled = dataset.take(np.random.default_rng(config.seed).permutation(len(dataset)))
    train_set, test_set = split_by_content(replace(shuffled, images=to_float(shuffled.images)), 0.1, config.seed)
    if len(train_set) < config.batch_size:
        raise ValueError(f"--batch-size {config.batch_size} exceeds the {len(train_set)} training images: lower it")
    if dataset.labels is None and dataset.images.shape[-1] != 3:
        raise ValueError(f"unlabelled images need 3 channels to be judged, got {dataset.images.shape[-1]}: add labels")
    return train_set, test_set


def source(config: ImageConfig) -> str:
    """Where the images come from, for captions."""
    return "rendered" if config.data is None else f"from {config.data}"
