"""What the NCSN toy measures: numbers, fields and points."""

from typing import NamedTuple

import numpy as np

from experiments.kit.run import Run
from experiments.kit.toy_training import ScoreNet
from experiments.ncsn_toy.config import Config
from experiments.ncsn_toy.gradients import SMALL_BATCH
from experiments.ncsn_toy.measure_gradients import Dimensions, Variances, measure_gradients
from experiments.ncsn_toy.measure_objectives import Objectives, measure_objectives
from experiments.ncsn_toy.measure_regions import Regions, measure_regions
from experiments.ncsn_toy.measure_ring import Ring, measure_ring
from experiments.ncsn_toy.measure_weights import Weights, measure_weights
from experiments.ncsn_toy.objectives import constants, train_objectives
from experiments.ncsn_toy.ring import train_ring
from experiments.ncsn_toy.train import Models


class Measured(NamedTuple):
    """Everything the report shows."""

    sigmas: np.ndarray  # the noise levels
    regions: Regions
    weights: Weights
    ring: Ring
    objectives: Objectives
    variances: Variances
    dimensions: Dimensions
    small_batch: int  # examples of a gradient whose variance is measured


def measure(run: Run[Config], models: Models) -> Measured:
    """Measure errors, mode weights, the ring, and the four objectives."""
    config = run.config
    ring_net = ScoreNet(config.width, spread=float(np.sqrt(0.5)))
    regions, weights = measure_regions(models), measure_weights(run, models)
    ring = measure_ring(ring_net, train_ring(run, ring_net))
    fits = train_objectives(run, models.mixture, models.net)
    objectives = measure_objectives(fits, constants(models.mixture, config.objective_sigma))
    return Measured(models.sigmas, regions, weights, ring, objectives, *measure_gradients(run), SMALL_BATCH)
