"""Class-conditional samples of an unconditional model by classifier guidance, read by another classifier."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments.controllable.config import Config
from experiments.controllable.noisy_classifier import NoisyClassifier
from experiments.kit.classifier import Classifier
from experiments.kit.frechet import FrechetDistance
from experiments.kit.images import Images
from experiments.kit.run import Run
from experiments.kit.sampling import draw
from experiments.kit.score_model import Model, grid
from experiments.kit.statistics import Verdict, share, verdicts
from jaxgen.data import ImageDataset
from jaxgen.diffusion import guidance, perturb
from jaxgen.metrics import MeanAndError
from jaxgen.samplers import dpmpp_2m, sample

LEVELS = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0)
SHOWN, BATCH = 10, 50
REFERENCE, MOST = 1000, 10_000  # training images in the Fréchet distance: of each class, and of all


class Read(NamedTuple):
    """Samples at one scale: whether each is read as the class asked for (n,), the share of those, the distance."""

    right: np.ndarray
    share: MeanAndError
    frechet: float


class Reading(NamedTuple):
    """The samples by scale, ascending; and the Fréchet distance of held-out images, as many of each class."""

    by_scale: dict[float, Read]
    floor: float


class Classes(NamedTuple):
    """Samples of classes.

    Attributes:
        count: number of classes that training images show.
        names: names of the classes that `images` shows.
        images: samples of these classes at the scale `best`, (k, m, h, w, c).
        reading: what the classifier of clean images reads.
        best: the scale with the largest share of samples read as asked.
        verdicts: of that share at each scale above 0 against scale 0.
        classifier: the classifier of clean images: its accuracy on held-out images.
        trained_on: what it was trained on.
        by_class: its accuracy on the held-out images of each class.
        mean_over_classes: mean of `by_class`.
        worst: the class with the lowest accuracy.
        accuracy_by_noise: of the noisy classifier on held-out images, by sigma/alpha.
        most_frequent: share of the most frequent class in these images.
    """

    count: int
    names: list[str]
    images: np.ndarray
    reading: Reading
    best: float
    verdicts: dict[float, Verdict]
    classifier: float
    trained_on: str
    by_class: dict[str, float]
    mean_over_classes: float
    worst: str
    accuracy_by_noise: dict[float, float]
    most_frequent: float


def measure_classes(
    run: Run[Config], data: Images, model: Model, classifier: Classifier, noisy: NoisyClassifier
) -> Classes:
    """Draw samples of all classes in turn at every scale, and read them."""
    present = np.unique(data.train.labels)
    wanted = np.resize(present, run.config.class_samples)
    images = samples(run, model, noisy, wanted)
    reading = run.stage("reading", lambda: read(data, classifier, images, wanted))
    by_class = run.stage("accuracy by class", lambda: accuracy_by_class(classifier, data))
    best = max(reading.by_scale, key=lambda scale: reading.by_scale[scale].share.mean)
    unguided = reading.by_scale[0.0].right
    k = len(present)
    names = [data.names[label] for label in present[: min(SHOWN, len(wanted))]]
    each = max(1, min(SHOWN, len(wanted) // k))
    first = data.held_out.take(slice(256))
    return Classes(
        count=k,
        names=names,
        images=np.stack([images[best][i::k][:each] for i in range(len(names))]),
        reading=reading,
        best=best,
        verdicts=verdicts({s: of.right - unguided for s, of in reading.by_scale.items() if s > 0}, best="high"),
        classifier=classifier.accuracy,
        trained_on=classifier.trained_on,
        by_class=by_class,
        mean_over_classes=float(np.mean(list(by_class.values()))),
        worst=min(by_class, key=by_class.__getitem__),
        accuracy_by_noise=run.stage(
            "accuracy by noise", lambda: accuracy_by_noise(noisy, data.held_out.take(slice(256)))
        ),
        most_frequent=largest_share(first.labels),
    )


def samples(run: Run[Config], model: Model, noisy: NoisyClassifier, wanted: np.ndarray) -> dict[float, np.ndarray]:
    """Samples of the wanted classes (n,) by scale, ascending, from the same noise."""
    config = run.config
    times = grid(model.process, config.class_steps)

    def sampler(params, keys, labels):
        weights, noisy_weights, scale = params

        def log_prob(x, t):
            return jnp.take_along_axis(noisy.log_probs(noisy_weights, x, t), labels[:, None], -1)[:, 0]

        guided = guidance.classifier(model.process, model.denoise(weights), log_prob, scale, clip=1.0)
        return sample(keys, model.process, guided, dpmpp_2m(), times, model.shape)

    def drawn(scale: float) -> np.ndarray:
        return draw(
            run, f"classes/{scale:g}", sampler, (model.params, noisy.params, np.float32(scale)), len(wanted),
            key=jax.random.key(config.seed + 4), cond=wanted, batch_size=min(BATCH, len(wanted)),
        ).images  # fmt: skip

    return {scale: drawn(scale) for scale in sorted(set(config.scales))}


def read(data: Images, classifier: Classifier, images: dict[float, np.ndarray], wanted: np.ndarray) -> Reading:
    """Read samples by the classifier of clean images, and measure their distance to as many images of each class."""
    n = len(wanted)
    k, held_out_k = (len(np.unique(each.labels)) for each in (data.train, data.held_out))
    reference = in_equal_parts(data.train, max(1, min(REFERENCE, MOST // k)))
    distance = FrechetDistance(classifier, reference, in_equal_parts(data.held_out, -(-n // held_out_k)), n)

    def of(drawn: np.ndarray) -> Read:
        right = np.float64(classifier.classify(np.clip(drawn, -1, 1)).argmax(-1) == wanted)
        return Read(right, share(right), distance(drawn))

    return Reading({scale: of(drawn) for scale, drawn in images.items()}, distance.floor)


def accuracy_by_class(classifier: Classifier, data: Images) -> dict[str, float]:
    """The classifier's accuracy on the held-out images of each class that has any."""
    right = classifier.classify(data.held_out.images).argmax(-1) == data.held_out.labels
    labels = data.held_out.labels
    return {data.names[label]: float(right[labels == label].mean()) for label in np.unique(labels)}


def accuracy_by_noise(noisy: NoisyClassifier, held_out: ImageDataset) -> dict[float, float]:
    """The noisy classifier's accuracy by sigma/alpha."""
    x0, labels = jnp.asarray(held_out.images), jnp.asarray(held_out.labels)
    eps = jax.random.normal(jax.random.key(2), x0.shape)

    @jax.jit
    def accuracy(params, t):
        x = perturb(noisy.process, x0, t, eps)
        return jnp.mean(noisy.log_probs(params, x, jnp.broadcast_to(t, len(x))).argmax(-1) == labels)

    times = {level: noisy.process.time_at_log_snr(-2 * np.log(level)) for level in LEVELS}
    return {level: float(accuracy(noisy.params, t)) for level, t in times.items()}


def largest_share(labels: np.ndarray) -> float:
    """The share of the most frequent class, which is the accuracy of a classifier that does not look."""
    return float(np.bincount(labels).max() / len(labels))


def in_equal_parts(dataset: ImageDataset, n: int) -> np.ndarray:
    """n images of each class in turn, as the samples are asked for; a class that has fewer is repeated."""
    members = [np.flatnonzero(dataset.labels == label) for label in range(dataset.num_classes)]
    return dataset.images[np.stack([np.resize(of, n) for of in members if len(of)], axis=1).reshape(-1)]
