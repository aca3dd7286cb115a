"""Bits per dimension of held-out images, by the probability-flow ODE."""

import math
from collections.abc import Mapping
from typing import NamedTuple

import diffrax
import jax
import numpy as np

from experiments.kit.run import Run
from experiments.kit.score_model import Model
from experiments.score_sde.config import Config
from jaxgen.core import hutchinson
from jaxgen.data import dequantise
from jaxgen.diffusion import log_likelihood
from jaxgen.metrics import MeanAndError, bits_per_dim, dequantisation_offset, mean_and_error


class Likelihood(NamedTuple):
    """Bits per dimension of each image, and the network calls of all."""

    bits: np.ndarray  # (n,)
    calls: int

    @property
    def mean(self) -> MeanAndError:
        """The mean and its standard error."""
        return mean_and_error(self.bits)


def likelihoods(run: Run[Config], models: Mapping[str, Model], images: np.ndarray) -> dict[str, Likelihood]:
    """Bits per dimension of uint8 images (n, h, w, c) under each process's model, with the same noise and probes."""
    tolerance, shape = run.config.tolerances[-1], images.shape[1:]
    data_key, probe_key = jax.random.split(jax.random.key(run.config.seed + 4))

    @jax.jit
    def evaluate(process, params):
        x0 = dequantise(jax.random.split(data_key, len(images)), images)
        denoise = models["VP"]._replace(process=process).denoise(params)
        found = log_likelihood(
            process, denoise, x0, divergence=hutchinson(jax.random.split(probe_key, len(images)), shape),
            controller=diffrax.PIDController(rtol=tolerance, atol=tolerance),
        )  # fmt: skip
        return found.log_density, found.evaluations

    def likelihood(model: Model) -> Likelihood:
        log_density, calls = evaluate(model.process, model.params)
        return Likelihood(bits_per_dim(log_density, math.prod(shape), dequantisation_offset()), int(calls))

    return {
        process: run.stage(f"likelihood/{process}", lambda model=model: likelihood(model))
        for process, model in models.items()
    }
