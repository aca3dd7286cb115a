"""Variational inference for any model and any family: bounds, stochastic and coordinate ascent, amortisation.

The modules `normal_gamma`, `bayesian_mixture`, `linear_gaussian` and `gamma_exponential` are models with exact answers.
"""

from jaxgen.variational import bayesian_mixture, gamma_exponential, linear_gaussian, normal_gamma
from jaxgen.variational._amortised import InferenceGaps, amortised, inference_gaps
from jaxgen.variational._coordinate_ascent import CoordinateAscent, coordinate_ascent
from jaxgen.variational.estimators import (
    LogJoint,
    doubly_reparameterised,
    importance_weighted,
    reparameterised,
    score_function,
    vimco,
)
from jaxgen.variational.stochastic import Ascent, maximise, minibatch, natural_ascent, robbins_monro

__all__ = [
    "Ascent",
    "CoordinateAscent",
    "InferenceGaps",
    "LogJoint",
    "amortised",
    "bayesian_mixture",
    "coordinate_ascent",
    "doubly_reparameterised",
    "gamma_exponential",
    "importance_weighted",
    "inference_gaps",
    "linear_gaussian",
    "maximise",
    "minibatch",
    "natural_ascent",
    "normal_gamma",
    "reparameterised",
    "robbins_monro",
    "score_function",
    "vimco",
]
