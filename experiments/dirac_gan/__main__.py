"""The Dirac-GAN: eight ways to train a GAN of two parameters, by their phase portraits and their eigenvalues.

The homework's question on the stability of GANs. Each way is followed in continuous time and by steps of both players
at once or in turn. What is measured is compared with the closed forms.
"""

from pathlib import Path

import jax

from experiments.dirac_gan import EXERCISE
from experiments.dirac_gan.config import PRESETS, Config
from experiments.dirac_gan.measure import measure
from experiments.dirac_gan.report import write
from experiments.kit import launch
from experiments.kit.run import begin


def main(config: Config) -> Path:
    """Measure and report; two parameters need no training data."""
    run = begin(EXERCISE, config)
    with jax.enable_x64(True):  # eigenvalues are compared to a millionth, and updates to rounding
        measured = measure(run)
    return write(run, measured)


if __name__ == "__main__":
    launch.run(main, PRESETS)
