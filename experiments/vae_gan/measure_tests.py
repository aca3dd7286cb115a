"""Two-sample tests: how well discriminators that are trained afresh tell each set from held-out real images."""

from typing import NamedTuple

import numpy as np

from experiments.kit.run import Run
from experiments.kit.statistics import Interval, over_repetitions, share_interval
from experiments.vae_gan.config import Config
from experiments.vae_gan.data import Data
from experiments.vae_gan.discriminator import Discriminator, folds
from experiments.vae_gan.draw import Sets, number
from experiments.vae_gan.train import Networks, seed_of
from jaxgen.core import progress_bar
from jaxgen.metrics import MeanAndError, TwoSampleTest
from jaxgen.nets import MLPCritic

OWN_KIND, NOISY, LINEAR = "as the GAN's own", "the same, under noise", "linear"


class Discrimination(NamedTuple):
    """How well discriminators tell a set from real images.

    Attributes:
        accuracies: their accuracy, (repetitions,).
        accuracy: the mean and its interval.
        auc: the mean and its standard error.
        jsd_bound: likewise, in nats.
    """

    accuracies: np.ndarray
    accuracy: Interval
    auc: MeanAndError
    jsd_bound: MeanAndError


Tests = dict[str, dict[str, Discrimination]]  # by discriminator and set


def discrimination(tests: list[TwoSampleTest], images: int) -> Discrimination:
    """The results of a test for each repetition, with `images` different real images in all."""
    accuracies = np.array([test.accuracy for test in tests])
    return Discrimination(
        accuracies,
        share_interval(accuracies, 2 * images),
        over_repetitions([test.auc for test in tests]),
        over_repetitions([test.jsd_bound.mean for test in tests]),
    )


def discriminators(config: Config, nets: Networks) -> list[Discriminator]:
    """The GAN's own network, the same under noise, and the weakest: a linear function of the pixels."""
    how = (config.discriminator_steps, config.discriminator_batch_size, config.discriminator_learning_rate)
    return [
        Discriminator(OWN_KIND, nets.critic, 0.0, *how),
        Discriminator(NOISY, nets.critic, config.noise, *how),
        Discriminator(LINEAR, MLPCritic(()), 0.0, *how),
    ]


def measure_tests(
    run: Run[Config], nets: Networks, data: Data, sets: list[Sets]
) -> dict[str, dict[str, Discrimination]]:
    """The results of every discriminator on every set, trained and tested once for each repetition.

    Repetition r tests on part r of the held-out images, so that no image is tested on twice.
    """
    config, real = run.config, data.held_out.images[: number(run.config, data)]
    found, done = {}, 0
    kinds = discriminators(config, nets)
    with progress_bar(0, len(kinds) * len(sets[0]) * len(sets), visible=config.progress) as show:
        for kind in kinds:
            found[kind.name] = {}
            for name in sets[0]:
                tests = []
                for repetition, of in enumerate(sets):
                    fold = folds(real, of[name], config.repetitions, repetition)
                    seed = seed_of(config, repetition) + 4
                    test = run.stage(
                        f"tests/{kind.name}/{name}/{repetition + 1}",
                        lambda kind=kind, seed=seed, fold=fold: kind.test(seed, fold),
                    )
                    tests.append(test)
                    done += 1
                    show(done, f"{kind.name}, {name}: accuracy {test.accuracy:.3f}")
                found[kind.name][name] = discrimination(tests, len(real))
    return found
