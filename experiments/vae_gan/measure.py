"""What the comparison measures: numbers and images."""

from typing import NamedTuple

import numpy as np

from experiments.kit.classifier import Classifier
from experiments.kit.nearest import nearest_images
from experiments.kit.run import Run
from experiments.kit.training import parameter_count
from experiments.vae_gan.config import Config
from experiments.vae_gan.data import Data
from experiments.vae_gan.draw import GAN, MEANS, Sets, draw_sets, interpolations, number
from experiments.vae_gan.measure_distances import Distances, measure_distances
from experiments.vae_gan.measure_own import Own, measure_own
from experiments.vae_gan.measure_tests import Tests, measure_tests
from experiments.vae_gan.train import Networks, Trained
from jaxgen.training import History

SHOWN, PAIRS, POINTS, NEAREST = 60, 4, 11, 12  # images, interpolations, their points, images with their neighbours


class Measured(NamedTuple):
    """Everything the report shows; images and losses are those of the first repetition."""

    source: str
    number: int  # of images in each set
    train_count: int
    real: np.ndarray  # (60, h, w, c), held-out images
    parameters: dict[str, int]  # of each network
    vae_history: History
    gan_history: History
    shown: Sets  # the first 60 images of each set
    interpolations: Sets  # (4·11, h, w, c), of decoder means and of the GAN
    nearest: Sets  # (12, h, w, c), the training images nearest to the first of decoder means and of the GAN
    tests: Tests
    own: Own
    distances: dict[str, Distances]
    nearest_real: float  # median distance of held-out images to the nearest training image
    classifier_accuracy: float
    trained_on: str  # what the classifier of digits was trained on


def measure(run: Run[Config], nets: Networks, data: Data, trained: list[Trained], classifier: Classifier) -> Measured:
    """Draw the sets of every repetition and compare them with held-out images."""
    sets = [draw_sets(run, nets, data, of, repetition) for repetition, of in enumerate(trained)]
    first, found = trained[0], sets[0]
    distances, nearest_real = measure_distances(run, data, classifier, sets)
    return Measured(
        source=data.source,
        number=number(run.config, data),
        train_count=len(data.train),
        real=data.held_out.images[:SHOWN],
        parameters={
            "vae": parameter_count(first.vae),
            "decoder": parameter_count(first.vae["decoder"]),
            "generator": parameter_count(first.generator),
            "critic": parameter_count(first.critic),
        },
        vae_history=first.vae_history,
        gan_history=first.gan_history,
        shown={name: images[:SHOWN] for name, images in found.items()},
        interpolations=run.stage("interpolations", lambda: interpolations(nets, run.config, first, PAIRS, POINTS)),
        nearest={
            name: data.train.images[nearest_images(found[name][:NEAREST], data.train.images)[0]]
            for name in (MEANS, GAN)
        },
        tests=measure_tests(run, nets, data, sets),
        own=measure_own(run, nets, data, trained, sets),
        distances=distances,
        nearest_real=nearest_real,
        classifier_accuracy=classifier.accuracy,
        trained_on=classifier.trained_on,
    )
