"""Variational inference: bounds of any model by any family, stochastic, amortised and coordinate ascent, and toys.

`normal_gamma`, `gaussian_mixture`, `linear_gaussian` and `gamma_exponential` are models with exact answers.
"""

from jaxgen.variational import gamma_exponential, gaussian_mixture, linear_gaussian, normal_gamma
from jaxgen.variational.amortised import InferenceGaps, amortised, inference_gaps
from jaxgen.variational.coordinate_ascent import CoordinateAscent, coordinate_ascent
from jaxgen.variational.elbo import (
    LogJoint,
    doubly_reparameterised,
    importance_weighted,
    reparameterised,
    score_function,
    vimco,
)
from jaxgen.variational.family import (
    Family,
    FullGaussianParams,
    GammaParams,
    MeanFieldParams,
    categorical,
    full_gaussian,
    full_gaussian_covariance,
    full_gaussian_params,
    gamma,
    mean_field_gaussian,
    positive,
    product,
)
from jaxgen.variational.stochastic import Ascent, maximise, minibatch, natural_ascent, robbins_monro

__all__ = [
    "Ascent",
    "CoordinateAscent",
    "Family",
    "FullGaussianParams",
    "GammaParams",
    "InferenceGaps",
    "LogJoint",
    "MeanFieldParams",
    "amortised",
    "categorical",
    "coordinate_ascent",
    "doubly_reparameterised",
    "full_gaussian",
    "full_gaussian_covariance",
    "full_gaussian_params",
    "gamma",
    "gamma_exponential",
    "gaussian_mixture",
    "importance_weighted",
    "inference_gaps",
    "linear_gaussian",
    "maximise",
    "mean_field_gaussian",
    "minibatch",
    "natural_ascent",
    "normal_gamma",
    "positive",
    "product",
    "reparameterised",
    "robbins_monro",
    "score_function",
    "vimco",
]
