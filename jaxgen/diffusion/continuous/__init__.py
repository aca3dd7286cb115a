"""The probability-flow ODE, the reverse SDE, and exact likelihoods."""

from jaxgen.diffusion.continuous.dynamics import (
    ReverseSDE,
    check_finite_velocity,
    probability_flow,
    reverse_sde,
    velocity,
)
from jaxgen.diffusion.continuous.likelihood import LogLikelihood, log_likelihood

__all__ = [
    "LogLikelihood",
    "ReverseSDE",
    "check_finite_velocity",
    "log_likelihood",
    "probability_flow",
    "reverse_sde",
    "velocity",
]
