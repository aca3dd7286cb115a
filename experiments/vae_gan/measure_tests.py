"""Two-sample tests: how well discriminators that are trained afresh tell each set from held-out real images."""

import numpy as np

from experiments.kit.run import Run
from experiments.kit.statistics import Interval, share_interval
from experiments.vae_gan.config import Config
from experiments.vae_gan.data import Data
from experiments.vae_gan.discriminator import Discriminator, folds
from experiments.vae_gan.draw import Sets, number
from experiments.vae_gan.train import Networks, seed_of
from jaxgen.core import progress_bar
from jaxgen.metrics import TwoSampleTest
from jaxgen.nets import MLPCritic

OWN_KIND, NOISY, LINEAR = "as the GAN's own", "the same, under noise", "linear"

Tests = dict[str, dict[str, list[TwoSampleTest]]]  # by discriminator and set, one for each repetition


def discriminators(config: Config, nets: Networks) -> list[Discriminator]:
    """The GAN's own network, the same under noise, and the weakest: a linear function of the pixels."""
    how = (config.discriminator_steps, config.discriminator_batch_size, config.discriminator_learning_rate)
    return [
        Discriminator(OWN_KIND, nets.critic, 0.0, *how),
        Discriminator(NOISY, nets.critic, config.noise, *how),
        Discriminator(LINEAR, MLPCritic(()), 0.0, *how),
    ]


def measure_tests(run: Run[Config], nets: Networks, data: Data, sets: list[Sets]) -> Tests:
    """Train every discriminator on every set of every repetition, and test it.

    Repetition r tests on part r of the held-out images, so that no image is tested on twice.
    """
    config, real = run.config, data.held_out.images[: number(run.config, data)]
    found, done = {}, 0
    kinds = discriminators(config, nets)
    with progress_bar(0, len(kinds) * len(sets[0]) * len(sets), visible=config.progress) as show:
        for kind in kinds:
            found[kind.name] = {name: [] for name in sets[0]}
            for name in sets[0]:
                for repetition, of in enumerate(sets):
                    fold = folds(real, of[name], config.repetitions, repetition)
                    seed = seed_of(config, repetition) + 4
                    test = run.stage(
                        f"tests/{kind.name}/{name}/{repetition + 1}",
                        lambda kind=kind, seed=seed, fold=fold: kind.test(seed, fold),
                    )
                    found[kind.name][name].append(test)
                    done += 1
                    show(done, f"{kind.name}, {name}: accuracy {test.accuracy:.3f}")
    return found


def accuracies(tests: list[TwoSampleTest]) -> np.ndarray:
    """The accuracy of each repetition."""
    return np.array([test.accuracy for test in tests])


def accuracy(tests: list[TwoSampleTest], images: int) -> Interval:
    """The mean accuracy over the repetitions, and its interval, with as many real images and others in all tests."""
    return share_interval(accuracies(tests), 2 * images)
