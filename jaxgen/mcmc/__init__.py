"""Markov chain Monte Carlo for any score: Langevin dynamics."""

from jaxgen.mcmc._langevin import AnnealedState, annealed_langevin, langevin
from jaxgen.mcmc.chain import Chain, advance, run
from jaxgen.mcmc.step_sizes import Norms, StepSize, check_annealed_step, snr_step_size

__all__ = [
    "AnnealedState",
    "Chain",
    "Norms",
    "StepSize",
    "advance",
    "annealed_langevin",
    "check_annealed_step",
    "langevin",
    "run",
    "snr_step_size",
]
