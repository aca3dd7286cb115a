"""What the GAN's own discriminator says of every set, and of held-out images."""

from functools import partial
from typing import NamedTuple

import numpy as np

from experiments.kit.run import Run
from experiments.vae_gan.config import Config
from experiments.vae_gan.data import Data
from experiments.vae_gan.draw import Sets, number
from experiments.vae_gan.train import Networks, Trained
from jaxgen.metrics import TwoSampleTest, apply_in_batches, classifier_two_sample_test


class Own(NamedTuple):
    """The logits of the GAN's own discriminators.

    Attributes:
        held_out: logits of held-out images, (repetitions, n).
        logits: logits of each set, (repetitions, n), by name.
    """

    held_out: np.ndarray
    logits: dict[str, np.ndarray]

    def tests(self, name: str) -> list[TwoSampleTest]:
        """How well it tells a set from held-out images."""
        return [classifier_two_sample_test(*pair) for pair in zip(self.held_out, self.logits[name], strict=True)]


def called_real(logits: np.ndarray) -> np.ndarray:
    """The share of images that are called real, of each repetition."""
    return np.mean(logits > 0, axis=-1)


def measure_own(run: Run[Config], nets: Networks, data: Data, trained: list[Trained], sets: list[Sets]) -> Own:
    """The logits of every repetition."""
    real = data.held_out.images[: number(run.config, data)]

    def look() -> Own:
        evaluate = [
            partial(apply_in_batches, lambda x, params=of.critic: nets.critic.apply(params, x)[:, None])
            for of in trained
        ]
        return Own(
            np.stack([logits(real)[:, 0] for logits in evaluate]),
            {
                name: np.stack([logits(of[name])[:, 0] for logits, of in zip(evaluate, sets, strict=True)])
                for name in sets[0]
            },
        )

    return run.stage("own", look)
