"""Bits per dimension of held-out images, of the families that have a likelihood or a bound of it."""

import math
from typing import NamedTuple

import jax
import numpy as np

from experiments.kit.run import Run
from experiments.trilemma.config import Config
from experiments.trilemma.data import Data
from experiments.trilemma.family import Family
from experiments.trilemma.train import Trained
from jaxgen.metrics import MeanAndError, bits_per_dim, mean_and_error


class Bits(NamedTuple):
    """Bits per dimension of each image (n,), and whether the density behind them is exact or a bound."""

    kind: str
    bits: np.ndarray

    @property
    def mean(self) -> MeanAndError:
        """Their mean and standard error."""
        return mean_and_error(self.bits)


def measure_likelihoods(
    run: Run[Config], data: Data, families: dict[str, Family], trained: dict[str, Trained]
) -> dict[str, Bits]:
    """Bits of the same held-out images."""
    images = data.held_out_integers[: run.config.likelihood_images]
    key, dims = jax.random.key(run.config.seed + 4), math.prod(data.shape)

    def bits(name: str, family: Family) -> np.ndarray:
        log_probability = jax.jit(family.likelihood.log_probability)(trained[name].params, key, images)
        return bits_per_dim(log_probability, dims)

    return {
        name: Bits(
            family.likelihood.kind,
            run.stage(f"likelihood/{name}", lambda name=name, family=family: bits(name, family)),
        )
        for name, family in families.items()
        if family.likelihood is not None
    }
