"""Markov chain Monte Carlo for any score: Langevin dynamics."""

from jaxgen.mcmc._langevin import AnnealedState, Norms, StepSize, annealed_langevin, langevin, snr_step_size
from jaxgen.mcmc.chain import Chain, advance, run

__all__ = [
    "AnnealedState",
    "Chain",
    "Norms",
    "StepSize",
    "advance",
    "annealed_langevin",
    "langevin",
    "run",
    "snr_step_size",
]
