"""The images that an experiment trains on: rendered sprites, or files of the user's."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple, TypeVar

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from experiments.kit.config import ImageConfig
from experiments.kit.launch import reading_data
from experiments.kit.run import BadInput, Run
from jaxgen.data import ImageDataset, load_images, render_sprites, split_by_content, to_float
from jaxgen.report import write_json

HELD_OUT = 0.1  # share of the images

Network = TypeVar("Network", bound=nn.Module)


class Images(NamedTuple):
    """Training and held-out images in [−1, 1]."""

    train: ImageDataset
    held_out: ImageDataset

    @property
    def names(self) -> Sequence[str]:
        """The names of the classes, none where there are no labels."""
        return self.train.label_names or tuple(map(str, range(self.train.num_classes)))


class Description(NamedTuple):
    """What is to be known of the images a model was trained on; `present` are the labels that occur."""

    shape: tuple[int, ...]
    num_classes: int
    names: tuple[str, ...]
    present: tuple[int, ...]


def load(config: ImageConfig, held_out: float = HELD_OUT) -> Images:
    """Training and held-out images in [−1, 1]; raises BadInput for what could only fail after training."""
    with reading_data():
        if config.data is None:
            return split(render_sprites(config.images, config.seed), config, held_out)
        how = {"resize": config.size} if config.resize else {"size": config.size}
        return split(load_images(config.data, subset=config.subset, **how), config, held_out)


def split(dataset: ImageDataset, config: ImageConfig, held_out: float = HELD_OUT) -> Images:
    """Training and held-out images in [−1, 1].

    Labels that are all alike are dropped, because a classifier of one class measures nothing.

    Args:
        dataset: the images.
        config: the flags.
        held_out: share of the images that are held out.

    Raises:
        ValueError: if there are fewer images than a batch takes, unlabelled ones of neither one nor three channels, or
            training images of one class alone.
    """
    if dataset.labels is not None and len(np.unique(dataset.labels)) == 1:
        print("every image has the same label: going on without labels, and without samples by class")
        dataset = replace(dataset, labels=None, label_names=())
    # files often come sorted by class; what is shown and measured takes the first ones
    shuffled = dataset.take(np.random.default_rng(config.seed).permutation(len(dataset)))
    images = to_float(shuffled.images, config.value_range)
    train_set, test_set = split_by_content(replace(shuffled, images=images), held_out, config.seed)
    if len(train_set) < config.batch_size:
        raise ValueError(f"--batch-size {config.batch_size} exceeds the {len(train_set)} training images: lower it")
    if dataset.labels is None and dataset.images.shape[-1] not in (1, 3):
        raise ValueError(
            f"unlabelled images need 1 or 3 channels to be measured, got {dataset.images.shape[-1]}: add labels of two "
            "classes"
        )
    if dataset.labels is not None and len(np.unique(train_set.labels)) == 1:
        raise ValueError("the training images are all of one class, for the few others are held out: give more of them")
    print(f"{len(train_set)} training and {len(test_set)} held-out images")
    return Images(train_set, test_set)


def fitting(net: Network, data: Images) -> Network:
    """The network, if it takes images of this shape; raises BadInput if it does not, before a run begins."""
    try:
        jax.eval_shape(net.init, jax.random.key(0), data.train.images[:1], jnp.zeros(1))
    except (ValueError, TypeError) as error:
        raise BadInput(str(error)) from error
    return net


def describe(run: Run, data: Images) -> None:
    """Write data.json, which says what images the run's models draw."""
    if jax.process_index() == 0:
        train, names = data.train, tuple(data.names)
        present = () if train.labels is None else tuple(np.unique(train.labels).tolist())
        description = Description(train.images.shape[1:], train.num_classes, names, present)
        write_json(run.directory / "data.json", description)


def read_description(directory: Path) -> Description:
    """Read the data.json of a run; raises BadInput where there is none."""
    file = directory / "data.json"
    if not file.is_file():
        raise BadInput(f"{directory} holds no run whose model can be loaded: there is no {file}")
    saved = json.loads(file.read_text())
    return Description(**{name: tuple(value) if isinstance(value, list) else value for name, value in saved.items()})


def source(config: ImageConfig) -> str:
    """Where the images come from, for captions."""
    return "rendered" if config.data is None else f"from {config.data}"
