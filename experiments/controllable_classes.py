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

from experiments.chance import percent, share
from experiments.features import FRECHET, Judge, Quality
from experiments.score_model import Model, grid
from experiments.training import initial_parameters, train_network
from jaxgen.data import ImageDataset
from jaxgen.diffusion import GaussianProcess, guidance, perturb, times
from jaxgen.metrics import MeanAndError
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
    """p(y | x_t) at every t of a process; its accuracy on held-out images by sigma/alpha, and chance there."""

    net: NoisyClassifier
    process: GaussianProcess
    params: Any
    accuracy: Mapping[float, float]
    chance: float = 0.0

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

    params = initial_parameters(net, config.seed, held_out[:1], jnp.zeros(1))
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
    return found._replace(params=trained, accuracy=levels, chance=largest_share(np.asarray(labels)))


def largest_share(labels: np.ndarray) -> float:
    """How often the class that most of the images have is right: what can be had without looking."""
    return float(np.bincount(labels).max() / len(labels))


def in_equal_parts(dataset: ImageDataset, n: int) -> np.ndarray:
    """n images of each class in turns, a class that has fewer over and over: as the samples are asked for."""
    members = [np.flatnonzero(dataset.labels == label) for label in range(dataset.num_classes)]
    return dataset.images[np.stack([np.resize(of, n) for of in members if len(of)], axis=1).reshape(-1)]


def by_class(judge: Judge, dataset: ImageDataset) -> dict[str, float]:
    """How often the judge is right on the images of each class that has any."""
    right, names = judge.classify(dataset.images).argmax(-1) == dataset.labels, class_names(dataset)
    return {names[label]: float(right[dataset.labels == label].mean()) for label in np.unique(dataset.labels)}


def class_names(dataset: ImageDataset) -> tuple[str, ...]:
    """The classes' names, or their numbers."""
    return dataset.label_names or tuple(map(str, range(dataset.num_classes)))


def compare(
    report: Report, config, model: Model, train: ImageDataset, test: ImageDataset, judge: Judge, directory: Path
) -> None:
    """Samples by class at several scales of guidance, read by a classifier that took no part."""
    classifier = train_classifier(config, model.process, train, test, directory)
    quality = Quality(
        judge, in_equal_parts(train, 1000), in_equal_parts(test, config.class_samples), config.class_samples
    )
    names, of_judge = class_names(train), by_class(judge, test)
    averaged, worst = float(np.mean(list(of_judge.values()))), min(of_judge, key=of_judge.__getitem__)
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
        judged = share(judge.classify(np.clip(images[scale], -1, 1)).argmax(-1) == np.asarray(wanted))
        rows.append({"scale": scale, ASKED: tuple(judged), FRECHET: quality(images[scale])})
    report.metrics["classes"] = {
        "table": rows,
        "classifier": dict(classifier.accuracy),
        "judge": judge.accuracy,
        "judge by class": of_judge,
    }
    report.figure(
        curves(
            {"classifier of x_t": (list(classifier.accuracy), list(classifier.accuracy.values()))},
            x_label="noise σ/α",
            y_label="accuracy",
            log_x=True,
        ),
        "classifier",
        "Accuracy of the classifier of noisy images on held-out images, by noise; the most frequent class alone gives "
        f"{classifier.chance:.2f}.",
    )
    report.table(
        rows,
        f"Samples of a class by {config.class_steps} steps of DPM-Solver++(2M), with scale times the classifier's "
        "gradient added to the score; scale 0 is the unconditional model. Judged by another classifier, of clean "
        f"images, which is right on {judge.accuracy:.1%} of the held-out images, and on {averaged:.1%} averaged over "
        f"classes, as they are asked for; by class {', '.join(f'{name} {of:.0%}' for name, of in of_judge.items())}. "
        f"{quality.describe}; all classes alike in number.",
        best={ASKED: "max", FRECHET: "min"},
    )
    best = max(rows, key=lambda row: row[ASKED][0])
    shown = names[:_SHOWN]
    columns = max(1, min(_SHOWN, len(wanted) // len(names)))
    in_rows = np.concatenate([images[best["scale"]][i :: len(names)][:columns] for i in range(len(shown))])
    report.figure(
        image_grid(in_rows, columns, row_labels=list(shown)),
        "classes",
        f"Samples by class at scale {best['scale']:g}, not chosen.",
    )
    first = rows[0]
    report.finding(
        f"**Classes.** Asked for a class, the unconditional model draws it in {_asked(first)} of the samples without "
        f"guidance and in {_asked(best)} at scale {best['scale']:g}, by a judge that is right on {averaged:.0%} of "
        f"held-out real images averaged over classes ({judge.accuracy:.0%} of all, {of_judge[worst]:.0%} of {worst}, "
        f"the worst); {FRECHET} {first[FRECHET]:.2g} and {best[FRECHET]:.2g}."
    )


def _asked(row: Mapping[str, Any]) -> str:
    return percent(MeanAndError(*row[ASKED]))
