"""Diffusion over categories: chains of tokens, denoisers, bounds, losses, guidance and samplers."""

from jaxgen.discrete_diffusion._absorbing import Absorbing, absorbing
from jaxgen.discrete_diffusion._ancestral import ancestral
from jaxgen.discrete_diffusion._confidence import confidence_order
from jaxgen.discrete_diffusion._denoiser import (
    PredictionType,
    TokenDenoiser,
    TokenNetwork,
    TokenPrediction,
    denoiser,
    evaluate,
)
from jaxgen.discrete_diffusion._first_hitting import first_hitting
from jaxgen.discrete_diffusion._ordinal import Ordinal, ordinal
from jaxgen.discrete_diffusion._remasking import remasking
from jaxgen.discrete_diffusion._uniform import Uniform, binomial, uniform
from jaxgen.discrete_diffusion.bound import (
    TokenBound,
    bound_term,
    continuous_bound,
    prior_term,
    rate_term,
    variational_bound,
)
from jaxgen.discrete_diffusion.guidance import classifier_free
from jaxgen.discrete_diffusion.loss import bound_loss
from jaxgen.discrete_diffusion.matrices import MatrixProcess
from jaxgen.discrete_diffusion.process import CategoricalProcess
from jaxgen.discrete_diffusion.schedules import (
    Schedule,
    cosine_betas,
    cosine_schedule,
    linear_schedule,
    polynomial_schedule,
    reciprocal_betas,
    schedule_from_betas,
)
from jaxgen.discrete_diffusion.tabulated import TabulatedChain, from_transitions, gaussian_chain

__all__ = [
    "Absorbing",
    "CategoricalProcess",
    "MatrixProcess",
    "Ordinal",
    "PredictionType",
    "Schedule",
    "TabulatedChain",
    "TokenBound",
    "TokenDenoiser",
    "TokenNetwork",
    "TokenPrediction",
    "Uniform",
    "absorbing",
    "ancestral",
    "binomial",
    "bound_loss",
    "bound_term",
    "classifier_free",
    "confidence_order",
    "continuous_bound",
    "cosine_betas",
    "cosine_schedule",
    "denoiser",
    "evaluate",
    "first_hitting",
    "from_transitions",
    "gaussian_chain",
    "linear_schedule",
    "ordinal",
    "polynomial_schedule",
    "prior_term",
    "rate_term",
    "reciprocal_betas",
    "remasking",
    "schedule_from_betas",
    "uniform",
    "variational_bound",
]
