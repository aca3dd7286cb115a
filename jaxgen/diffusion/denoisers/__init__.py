"""From a network to a denoiser: predictions, guidance, inverse problems, the reverse kernel."""

from jaxgen.diffusion.denoisers import guidance, inverse
from jaxgen.diffusion.denoisers._denoiser import (
    Denoiser,
    Network,
    as_function,
    bind,
    denoiser,
    dynamic_threshold,
    edm_preconditioning,
)
from jaxgen.diffusion.denoisers.prediction import Prediction, PredictionType, eps_loss_scale, score, target, to_x0_eps
from jaxgen.diffusion.denoisers.reverse import Variance, check_variance, final_kernel, reverse_kernel

__all__ = [
    "Denoiser",
    "Network",
    "Prediction",
    "PredictionType",
    "Variance",
    "as_function",
    "bind",
    "check_variance",
    "denoiser",
    "dynamic_threshold",
    "edm_preconditioning",
    "eps_loss_scale",
    "final_kernel",
    "guidance",
    "inverse",
    "reverse_kernel",
    "score",
    "target",
    "to_x0_eps",
]
