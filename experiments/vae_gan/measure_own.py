"""What the GAN's own discriminator says of every set, and of held-out images."""

from functools import partial
from typing import NamedTuple

import numpy as np

from experiments.kit.run import Run
from experiments.kit.statistics import Interval, share_interval
from experiments.vae_gan.config import Config
from experiments.vae_gan.data import Data
from experiments.vae_gan.draw import Sets, number
from experiments.vae_gan.measure_tests import Discrimination, discrimination
from experiments.vae_gan.train import Networks, Trained
from jaxgen.metrics import apply_in_batches, classifier_two_sample_test

HELD_OUT = "held-out images"


class Own(NamedTuple):
    """What the GAN's own discriminators say, one of each repetition.

    Attributes:
        held_out: logits of held-out images, (repetitions, n).
        logits: logits of each set, (repetitions, n), by name.
    """

    held_out: np.ndarray
    logits: dict[str, np.ndarray]

    @property
    def tests(self) -> dict[str, Discrimination]:
        """How well they tell each set from held-out images; their logits are not calibrated."""
        return {
            name: discrimination(
                [classifier_two_sample_test(*pair) for pair in zip(self.held_out, of, strict=True)], of.shape[1]
            )
            for name, of in self.logits.items()
        }

    @property
    def called_real(self) -> dict[str, Interval]:
        """The share of held-out images and of each set that they call real."""
        logits = {HELD_OUT: self.held_out} | self.logits
        return {name: share_interval(np.mean(of > 0, axis=-1), of.shape[1]) for name, of in logits.items()}


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
