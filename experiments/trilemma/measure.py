"""What the comparison measures: numbers and images."""

from typing import NamedTuple

import numpy as np

from experiments.kit.classifier import Classifier
from experiments.kit.images import source
from experiments.kit.run import Run
from experiments.trilemma.budget import Budget
from experiments.trilemma.config import Config
from experiments.trilemma.data import Data
from experiments.trilemma.family import Family
from experiments.trilemma.measure_codes import Codes, measure_codes
from experiments.trilemma.measure_images import Sampled, measure_images
from experiments.trilemma.measure_likelihoods import Bits, measure_likelihoods
from experiments.trilemma.measure_progress import Progress, Reached, common_target, measure_progress, reached
from experiments.trilemma.quality import Comparison, choose_features
from experiments.trilemma.train import Trained
from experiments.trilemma.verdicts import Verdicts, decide
from jaxgen.training import History


class Facts(NamedTuple):
    """What is known of a family without looking at its images.

    Attributes:
        title: its name.
        networks: what networks it has.
        ways: names of the ways to draw from it.
        parameters: number of all parameters that are trained.
        budget: its training steps, and what a step costs.
        encodes: whether an image has a code.
        history: of its losses.
    """

    title: str
    networks: tuple[str, ...]
    ways: tuple[str, ...]
    parameters: int
    budget: Budget
    encodes: bool
    history: History


class Measured(NamedTuple):
    """Everything the report shows; dictionaries are by family or, where said, by way to draw images."""

    source: str
    train_count: int
    features: str
    dims: int  # of the features
    uniform: float  # bits per dimension of independent, equally likely levels
    trained_on: str  # what the classifier was trained on
    accuracy: float  # of the classifier
    families: dict[str, Facts]
    images: dict[str, Sampled]  # by way, held-out images last
    progress: dict[str, Progress]
    target: float
    reached: dict[str, Reached]
    likelihoods: dict[str, Bits]
    codes: dict[str, Codes]
    verdicts: Verdicts


def measure(
    run: Run[Config], data: Data, families: dict[str, Family], trained: dict[str, Trained], classifier: Classifier
) -> Measured:
    """Draw images by every way, compare them, and ask every family for likelihoods and codes."""
    config = run.config
    feature = choose_features(config, classifier)
    compare = Comparison(run, data, classifier, feature)
    images = measure_images(run, data, families, trained, compare)
    progress = measure_progress(run, families, trained, images, compare)
    target = common_target(progress, config.target)
    return Measured(
        source=source(config),
        train_count=len(data.train),
        features=feature.name,
        dims=compare.dims,
        uniform=float(np.log2(data.levels)),
        trained_on=classifier.trained_on,
        accuracy=classifier.accuracy,
        families={
            name: Facts(
                family.title, family.networks, tuple(family.ways), trained[name].parameters, trained[name].budget,
                family.encode is not None, trained[name].history,
            )
            for name, family in families.items()
        },
        images=images,
        progress=progress,
        target=target,
        reached={name: reached(of, target) for name, of in progress.items()},
        likelihoods=measure_likelihoods(run, data, families, trained),
        codes=measure_codes(run, data, families, trained),
        verdicts=decide(images),
    )  # fmt: skip
