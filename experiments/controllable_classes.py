"""Class-conditional samples of an unconditional model, by a classifier of noisy images."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

from experiments.features import FRECHET, Judge, Quality
from experiments.score_model import Model, grid
from experiments.training import train_network
from jaxgen.data import ImageDataset
from jaxgen.diffusion import GaussianProcess, guidance, perturb, times
from jaxgen.nets import ConvClassifier
from jaxgen.report import Report, curves, image_grid
from jaxgen.samplers import dpmpp_2m, sample

_LEVELS = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0)
_SHOWN = 10
ASKED = "judged to be of the class"


class NoisyClassifier(nn.Module):
    """A classifier of x_t that is told the noise, as one channel more."""

    num_classes: int

    @nn.compact
    def __call__(self, x, level):
        """Log-probabilities (b, num_classes) for images (b, h, w, c) and what they are told, (b,)."""
        told = jnp.broadcast_to(level[:, None, None, None], (*x.shape[:-1], 1))
        return jax.nn.log_softmax(ConvClassifier(self.num_classes)(jnp.concatenate([x, told], axis=-1)))


class Classifier(NamedTuple):
    """p(y | x_t) at every t of a process, and how often it is right on held-out images, by sigma/alpha."""

    net: NoisyClassifier
    process: GaussianProcess
    params: Any
    accuracy: Mapping[float, float]

    def log_probs(self, params: Any, x: jax.Array, t: jax.Array) -> jax.Array:
        """log p(y | x_t) for every y, (b, classes), of x (b, h, w, c) at t (b,)."""
        size = jnp.hypot(self.process.alpha(t), self.process.sigma(t))
        return self.net.apply(params, x / size[:, None, None, None], self.process.log_snr(t) / 8)


def train_classifier(config, process: GaussianProcess, train: ImageDataset, test: ImageDataset, directory: Path):
    """A classifier of x_t, trained at noise levels of every size."""
    net, draw_times = NoisyClassifier(train.num_classes), times.log_normal(process, 0.0, 2.0)
    found = Classifier(net, process, None, {})
    held_out, labels = jnp.asarray(test.images[:256]), jnp.asarray(test.labels[:256])

    def loss(key, params, batch):
        time_key, noise_key = jax.random.split(key)
        x0, y = batch
        t = draw_times(time_key, len(x0))
        x = perturb(process, x0, t, jax.random.normal(noise_key, x0.shape))
        return optax.softmax_cross_entropy_with_integer_labels(found.log_probs(params, x, t), y)

    params = jax.jit(net.init)(jax.random.key(config.seed, impl="rbg"), held_out[:1], jnp.zeros(1))
    trained = train_network(
        replace(config, steps=config.classifier_steps), params, loss, (train.images, train.labels), directory,
        seed=config.seed + 20,
        held_out_loss=lambda params: jnp.mean(loss(jax.random.key(1), params, (held_out, labels))),
    ).averaged  # fmt: skip

    @jax.jit
    def accuracy(params, t):
        x = perturb(process, held_out, t, jax.random.normal(jax.random.key(2), held_out.shape))
        return jnp.mean(found.log_probs(params, x, jnp.broadcast_to(t, len(x))).argmax(-1) == labels)

    levels = {level: float(accuracy(trained, process.time_at_log_snr(-2 * np.log(level)))) for level in _LEVELS}
    return found._replace(params=trained, accuracy=levels)


def compare(
    report: Report,
    config,
    model: Model,
    train: ImageDataset,
    test: ImageDataset,
    judge: Judge,
    quality: Quality,
    directory,
) -> None:
    """Samples by class at several scales of guidance, read by a classifier that took no part."""
    classifier = train_classifier(config, model.process, train, test, directory)
    names = train.label_names or tuple(map(str, range(train.num_classes)))
    wanted = jnp.arange(config.class_samples) % train.num_classes
    keys = jax.random.split(jax.random.key(config.seed + 4), config.class_samples)

    @jax.jit
    def draw(params, classifier_params, scale):
        def log_prob(x, t):
            found = classifier.log_probs(classifier_params, x, t)
            return jnp.take_along_axis(found, wanted[:, None], -1)[:, 0]

        guided = guidance.classifier(model.process, model.denoise(params), log_prob, scale, clip=1.0)
        return sample(keys, model.process, guided, dpmpp_2m(), grid(model.process, config.class_steps), model.shape)

    rows, images = [], {}
    for scale in sorted(config.scales):
        images[scale] = np.asarray(draw(model.params, classifier.params, scale))
        share = np.mean(judge.classify(np.clip(images[scale], -1, 1)).argmax(-1) == np.asarray(wanted))
        error = np.sqrt(share * (1 - share) / len(wanted))
        rows.append({"scale": scale, ASKED: (float(share), float(error)), FRECHET: quality(images[scale])})
    report.metrics["classes"] = {"table": rows, "classifier": dict(classifier.accuracy), "judge": judge.accuracy}
    report.figure(
        curves(
            {"classifier of x_t": (list(classifier.accuracy), list(classifier.accuracy.values()))},
            x_label="noise σ/α",
            y_label="accuracy",
            log_x=True,
        ),
        "classifier",
        f"Accuracy of the classifier of noisy images on held-out images, by noise; chance is {1 / len(names):.2f}.",
    )
    report.table(
        rows,
        f"Samples of a class by {config.class_steps} steps of DPM-Solver++(2M), with scale times the classifier's "
        f"gradient added to the score; scale 0 is the unconditional model. Judged by another classifier, of clean "
        f"images, which is right on {judge.accuracy:.1%} of the held-out images. {quality.describe}.",
        best={ASKED: "max", FRECHET: "min"},
    )
    best = max(rows, key=lambda row: row[ASKED][0])
    shown = names[:_SHOWN]
    columns = max(1, min(_SHOWN, len(wanted) // len(names)))
    by_class = np.concatenate([images[best["scale"]][i :: len(names)][:columns] for i in range(len(shown))])
    report.figure(
        image_grid(by_class, columns, row_labels=list(shown)),
        "classes",
        f"Samples by class at scale {best['scale']:g}, not chosen.",
    )
    first = rows[0]
    report.finding(
        f"**Classes.** Asked for a class, the unconditional model draws it in {_share(first)} of the samples without "
        f"guidance and in {_share(best)} at scale {best['scale']:g}, by a judge that is right on {judge.accuracy:.0%} "
        f"of real images; {FRECHET} {first[FRECHET]:.2g} and {best[FRECHET]:.2g}."
    )


def _share(row: Mapping[str, Any]) -> str:
    mean, error = row[ASKED]
    return f"{mean:.0%} ± {error:.0%}"
