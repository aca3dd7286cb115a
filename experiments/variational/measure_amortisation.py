"""The amortisation gap of trained linear encoders by their rank, and the smallest that any such encoder has."""

from typing import NamedTuple

import jax
import numpy as np

from experiments.variational.config import Config
from experiments.variational.encoders import Encoders
from jaxgen.metrics import MeanAndError, mean_and_error


class Amortisation(NamedTuple):
    """Encoders of one rank; gaps in nats."""

    rank: int
    least: float  # the smallest mean amortisation gap that the rank allows
    trained: MeanAndError  # the mean amortisation gap after training, over the runs
    smallest: float  # the smallest gap of any datum in any run
    approximation: float  # the mean gap of the mean field itself
    steps: np.ndarray  # (k,), training steps
    gap: np.ndarray  # (k,), the mean amortisation gap along training, mean over the runs


def amortisation(config: Config) -> list[Amortisation]:
    """Train encoders of every rank."""
    encoders = Encoders.draw(np.random.default_rng(config.seed + 5), config.examples, config.dims, config.latents)
    keys = jax.random.split(jax.random.key(config.seed + 6), config.seeds)
    steps = np.unique(np.geomspace(1, config.encoder_steps, 200).astype(int))
    rows = []
    for rank in range(1, config.latents + 1):

        def trained(key, rank=rank):
            params, along = encoders.train(key, rank, config.encoder_steps)
            return encoders.gaps(params), along

        gaps, along = jax.jit(jax.vmap(trained))(keys)
        rows.append(
            Amortisation(
                rank=rank,
                least=encoders.least(rank),
                trained=mean_and_error(np.asarray(gaps.amortisation).mean(1)),
                smallest=float(gaps.amortisation.min()),
                approximation=float(gaps.approximation.mean()),
                steps=steps,
                gap=np.asarray(along).mean(0)[steps - 1],
            )
        )
    return rows
