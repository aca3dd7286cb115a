"""The feature space of Fréchet distances: a small classifier, trained in the run."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

from experiments.launch import BadInput
from experiments.training import initial_parameters
from jaxgen.data import Batches, ImageDataset, render_sprites, split_by_content, to_float
from jaxgen.metrics import apply_in_batches, frechet_distance
from jaxgen.nets import ConvClassifier
from jaxgen.training import create_state, fit, make_train_step

FLOOR, FRECHET = "held-out images", "Fréchet distance"


class Judge(NamedTuple):
    """Features (b, d) and class probabilities (b, k) of images in [−1, 1], and its accuracy on held-out images."""

    features: Callable[[np.ndarray], np.ndarray]
    classify: Callable[[np.ndarray], np.ndarray]
    accuracy: float
    trained_on: str


def train_judge(train: ImageDataset, test: ImageDataset, *, steps: int, seed: int, progress: bool = True) -> Judge:
    """A classifier of labelled images in [−1, 1], or of the rendered sprites where the data have no labels.

    Unlabelled images must have three channels, as the sprites have. Raises ValueError for labels of a single class,
    on which any classifier is always right.
    """
    if train.labels is not None and len(np.unique(train.labels)) == 1:
        raise BadInput("the labels are all of one class, so no classifier can be trained to judge: give two or more")
    trained_on = "this data's labels"
    if train.labels is None:
        rendered = render_sprites(20_000, seed)
        train, test = split_by_content(replace(rendered, images=to_float(rendered.images)), 0.1, seed)
        trained_on = "the rendered sprites"
    net = ConvClassifier(train.num_classes)
    params = train_reader(net, train.images, train.labels, steps=steps, seed=seed, progress=progress)

    # one function object each, so that `apply_in_batches` compiles each once
    features = partial(apply_in_batches, partial(net.apply, params, method=ConvClassifier.features))
    classify = partial(apply_in_batches, lambda x: jax.nn.softmax(net.apply(params, x)))
    accuracy = float(np.mean(classify(test.images).argmax(-1) == test.labels))
    return Judge(features, classify, accuracy, trained_on)


def train_reader(net: nn.Module, images, labels, *, steps: int, seed: int, progress: bool = True) -> Any:
    """Averaged parameters of a network that reads labels, (n,) or (n, length), off images in [−1, 1]."""
    params = initial_parameters(net, seed, jnp.asarray(images[:1]))
    optimizer = optax.adamw(optax.cosine_decay_schedule(2e-3, steps), weight_decay=1e-2)

    def loss(key, params, batch):
        x, y = batch
        # a little noise, so that it sees more than the exact palette
        x += 0.1 * jax.random.normal(key, x.shape)
        losses = optax.softmax_cross_entropy_with_integer_labels(net.apply(params, x), y)
        return losses.reshape(len(x), -1).mean(-1)

    batches = Batches((images, labels), min(128, len(images)), seed=seed)
    state = create_state(jax.random.key(seed), params, optimizer)
    return fit(make_train_step(loss, optimizer), state, batches, steps=steps, progress=progress).state.ema


class Quality:
    """Fréchet distance of images in [−1, 1] to the training images, in the judge's features."""

    def __init__(self, judge: Judge, train_images: np.ndarray, held_out: np.ndarray, n: int):
        self._features, self._reference = judge.features, judge.features(train_images)
        self.floor, real = self(held_out[:n]), len(held_out[:n])
        self.describe = (
            f"Fréchet distance of {n} images to the {len(train_images)} training images in the 64 features of a "
            f"classifier trained on {judge.trained_on}; {real} held-out real images are at {self.floor:.2g}"
        )

    def __call__(self, images: np.ndarray) -> float:
        """The distance."""
        return frechet_distance(self._features(np.clip(images, -1, 1)), self._reference)

    def between(self, images: np.ndarray, others: np.ndarray) -> float:
        """Fréchet distance of two sets of images; drawn from the same noise, they share their chance."""
        return frechet_distance(*(self._features(np.clip(x, -1, 1)) for x in (images, others)))
