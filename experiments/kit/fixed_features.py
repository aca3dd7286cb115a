"""Fréchet distances in features that never change: those that are at hand, beside a run's own classifier."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

from jaxgen.data import to_uint8
from jaxgen.metrics import apply_in_batches, frechet_distance, frechet_statistics
from jaxgen.nets import efficientnet_lite0, inception_features

LITE, FID = "FD (EfficientNet-Lite0)", "FID"

Features = Callable[[np.ndarray], np.ndarray]  # uint8 images (b, h, w, c) -> (b, d)


def fixed_distances(
    reference: np.ndarray, *, inception: Path | None = None, batch_size: int = 32
) -> dict[str, Callable[[np.ndarray], float]]:
    """Functions of images in [−1, 1] by the names of their distances.

    There is one for EfficientNet-Lite0 if the extra `features` is installed, and the FID if its weights are given. Each
    warns where a set has no more images than features, for its value is then biased.

    Args:
        reference: images in [−1, 1] to which distances are measured.
        inception: file of Inception v3's weights.
        batch_size: images whose features are computed at once.
    """
    networks = {}
    try:
        networks[LITE] = efficientnet_lite0().features
    except ImportError:
        print(f'without {LITE}: pip install "jaxgen[features]"')
    if inception is not None:
        networks[FID] = inception_features(inception)
    return {name: _distance(features, reference, batch_size) for name, features in networks.items()}


def _distance(features: Features, reference: np.ndarray, batch_size: int) -> Callable[[np.ndarray], float]:
    def of(images: np.ndarray) -> np.ndarray:
        return apply_in_batches(features, to_uint8(np.clip(images, -1, 1)), batch_size)

    return partial(_between, of, frechet_statistics(of(reference)))


def _between(of: Features, reference, images: np.ndarray) -> float:
    return frechet_distance(of(images), reference)
