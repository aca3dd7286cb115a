"""Markov chain Monte Carlo: Langevin dynamics, plain and Metropolis-adjusted, HMC, and annealed importance sampling."""

from jaxgen.mcmc._hmc import hmc
from jaxgen.mcmc._langevin import AnnealedState, annealed_langevin, langevin
from jaxgen.mcmc._mala import mala
from jaxgen.mcmc.annealing import (
    AnnealedSamples,
    TemperedSamples,
    Transition,
    annealed_importance_sampling,
    tempered_smc,
)
from jaxgen.mcmc.chain import Chain, advance, run
from jaxgen.mcmc.metropolis import LogDensity, MetropolisState, positions
from jaxgen.mcmc.step_sizes import Norms, StepSize, check_annealed_step, snr_step_size
from jaxgen.mcmc.weights import LogNormalizer, effective_share, log_normalizer

__all__ = [
    "AnnealedSamples",
    "AnnealedState",
    "Chain",
    "LogDensity",
    "LogNormalizer",
    "MetropolisState",
    "Norms",
    "StepSize",
    "TemperedSamples",
    "Transition",
    "advance",
    "annealed_importance_sampling",
    "annealed_langevin",
    "check_annealed_step",
    "effective_share",
    "hmc",
    "langevin",
    "log_normalizer",
    "mala",
    "positions",
    "run",
    "snr_step_size",
    "tempered_smc",
]
