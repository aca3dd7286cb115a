"""From a network to a denoiser: predictions, clipping, guidance, inverse problems, the reverse kernel."""

from jaxgen.diffusion.denoisers import guidance, inverse
from jaxgen.diffusion.denoisers._denoiser import Denoiser, Network, bind, denoiser, evaluate
from jaxgen.diffusion.denoisers.clipping import Clip, clip_x0, dynamic_threshold
from jaxgen.diffusion.denoisers.preconditioning import edm_preconditioning
from jaxgen.diffusion.denoisers.prediction import (
    Prediction,
    PredictionType,
    check_prediction_type,
    eps_loss_scale,
    score,
    target,
    to_x0_eps,
)
from jaxgen.diffusion.denoisers.reverse import Variance, check_variance, final_kernel, reverse_kernel

__all__ = [
    "Clip",
    "Denoiser",
    "Network",
    "Prediction",
    "PredictionType",
    "Variance",
    "bind",
    "check_prediction_type",
    "check_variance",
    "clip_x0",
    "denoiser",
    "dynamic_threshold",
    "edm_preconditioning",
    "eps_loss_scale",
    "evaluate",
    "final_kernel",
    "guidance",
    "inverse",
    "reverse_kernel",
    "score",
    "target",
    "to_x0_eps",
]
