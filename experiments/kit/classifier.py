"""A small classifier of images, trained in the run: its features are the space of the Fréchet distances."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

from experiments.kit.run import BadInput, Run
from experiments.kit.training import initial_parameters, train_with_checkpoints
from jaxgen.data import Batches, ImageDataset, render_sprites, split_by_content, to_float
from jaxgen.metrics import apply_in_batches
from jaxgen.nets import ConvClassifier
from jaxgen.training import create_state, fit, make_train_step


class Classifier(NamedTuple):
    """A trained classifier of images in [−1, 1].

    Attributes:
        features: images (b, h, w, c) -> features (b, 64).
        classify: images (b, h, w, c) -> class probabilities (b, k).
        accuracy: its accuracy on held-out images.
        trained_on: what it was trained on, for captions.
    """

    features: Callable[[np.ndarray], np.ndarray]
    classify: Callable[[np.ndarray], np.ndarray]
    accuracy: float
    trained_on: str


def train_classifier(run: Run, train: ImageDataset, held_out: ImageDataset, *, steps: int) -> Classifier:
    """Train a classifier of labelled images, or of the rendered sprites where the data have no labels.

    Unlabelled images have three channels, as the sprites have, or one, which is then shown in all three.

    Args:
        run: the run.
        train: training images in [−1, 1].
        held_out: held-out images, on which the accuracy is measured.
        steps: training steps.

    Raises:
        BadInput: if the labels are all of one class, on which any classifier is always right.
    """
    if train.labels is not None and len(np.unique(train.labels)) == 1:
        raise BadInput("the labels are all of one class, so no classifier can be trained: give two or more")
    trained_on, as_seen = "this data's labels", lambda images: images
    if train.labels is None:
        if train.images.shape[-1] == 1:
            as_seen = partial(np.repeat, repeats=3, axis=-1)
        seed = run.config.seed
        rendered = render_sprites(min(20_000, getattr(run.config, "images", 20_000)), seed)
        train, held_out = split_by_content(replace(rendered, images=to_float(rendered.images)), 0.1, seed)
        trained_on = "the rendered sprites"
    net = ConvClassifier(train.num_classes)
    params = train_reader(run, "classifier", net, train.images, train.labels, steps=steps)

    # one function object each, so that `apply_in_batches` compiles each once
    features = partial(apply_in_batches, partial(net.apply, params, method=ConvClassifier.features))
    classify = partial(apply_in_batches, lambda x: jax.nn.softmax(net.apply(params, x)))
    accuracy = float(np.mean(classify(held_out.images).argmax(-1) == held_out.labels))
    return Classifier(lambda x: features(as_seen(x)), lambda x: classify(as_seen(x)), accuracy, trained_on)


def train_reader(run: Run, name: str, net: nn.Module, images, labels, *, steps: int, seed: int | None = None) -> Any:
    """The averaged parameters of a network that reads labels off images in [−1, 1].

    Args:
        run: the run; the network is kept in its folder stages/`name`.
        name: name of the network.
        net: maps images (b, h, w, c) to logits (b, k) or (b, length, k).
        images: (n, h, w, c).
        labels: integers (n,) or (n, length).
        steps: training steps.
        seed: by default that of the run.
    """
    seed = run.config.seed if seed is None else seed
    params = initial_parameters(net, seed, jnp.asarray(images[:1]))
    optimizer = optax.adamw(optax.cosine_decay_schedule(2e-3, steps), weight_decay=1e-2)

    def loss(key, params, batch):
        x, y = batch
        # a little noise, so that it does not rely on the exact palette
        x += 0.1 * jax.random.normal(key, x.shape)
        losses = optax.softmax_cross_entropy_with_integer_labels(net.apply(params, x), y)
        return losses.reshape(len(x), -1).mean(-1)

    batches = Batches((images, labels), min(128, len(images)), seed=seed)
    state = create_state(jax.random.key(seed), params, optimizer)
    step = make_train_step(loss, optimizer)
    if jax.process_count() > 1:  # their checkpoints hold what lies on the devices of all; this lies on one of each

        def train() -> Any:
            return fit(step, state, batches, steps=steps, progress=run.config.progress)[0].ema

        return run.stage(f"{name}/parameters", train)
    return train_with_checkpoints(run, f"stages/{name}", step, state, batches, steps=steps)[0].ema
