"""What the exercise on controllable generation measures: numbers and images."""

from typing import NamedTuple

import numpy as np

from experiments.controllable.config import Config
from experiments.controllable.measure_classes import Classes, measure_classes
from experiments.controllable.measure_fills import Fills, measure_fills
from experiments.controllable.noisy_classifier import NoisyClassifier
from experiments.kit.classifier import Classifier
from experiments.kit.images import Images, source
from experiments.kit.run import Run
from experiments.kit.score_model import Model
from jaxgen.training import History


class Measured(NamedTuple):
    """Everything the report shows; classes is None where the images have no labels."""

    source: str
    real: np.ndarray  # (60, h, w, c)
    train_count: int
    history: History
    fills: dict[str, Fills]
    classes: Classes | None


def measure(
    run: Run[Config], data: Images, model: Model, classifier: Classifier | None, noisy: NoisyClassifier | None
) -> Measured:
    """Fill in what is hidden of held-out images, and draw samples of classes."""
    labelled = classifier is not None and noisy is not None
    return Measured(
        source=source(run.config),
        real=data.train.images[:60],
        train_count=len(data.train),
        history=model.history,
        fills=measure_fills(run, model, data.held_out.images[: run.config.observed]),
        classes=measure_classes(run, data, model, classifier, noisy) if labelled else None,
    )
