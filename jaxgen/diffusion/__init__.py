"""Gaussian diffusion: processes, denoisers, guidance, inverse problems, losses, bounds, flows, likelihoods."""

from jaxgen.diffusion import times
from jaxgen.diffusion.continuous.dynamics import (
    ReverseSDE,
    check_finite_velocity,
    probability_flow,
    reverse_sde,
    velocity,
)
from jaxgen.diffusion.continuous.likelihood import LogLikelihood, log_likelihood
from jaxgen.diffusion.denoisers import guidance, inverse
from jaxgen.diffusion.denoisers._denoiser import Denoiser, Network, bind, denoiser, evaluate
from jaxgen.diffusion.denoisers.clipping import Clip, clip_x0, dynamic_threshold
from jaxgen.diffusion.denoisers.preconditioning import edm_preconditioning
from jaxgen.diffusion.denoisers.prediction import Prediction, PredictionType, eps_loss_scale, score, target, to_x0_eps
from jaxgen.diffusion.denoisers.reverse import Variance, check_variance, final_kernel, reverse_kernel
from jaxgen.diffusion.grids import (
    check_grid,
    karras_grid,
    log_snr_grid,
    noise_grid,
    quadratic_grid,
    subset_grid,
    uniform_grid,
)
from jaxgen.diffusion.objectives import importance, ncsn, weighting
from jaxgen.diffusion.objectives.bound import Bound, bound_term, variational_bound
from jaxgen.diffusion.objectives.denoising import denoising_loss, hybrid_loss, vlb_loss
from jaxgen.diffusion.objectives.vdm import VDMBound, gamma_conditioned, vdm_bound
from jaxgen.diffusion.processes.betas import cosine_betas, linear_betas, zero_terminal_snr
from jaxgen.diffusion.processes.gamma import GammaProcess, LearnedSchedule, learned_schedule, linear_log_snr
from jaxgen.diffusion.processes.kernels import (
    log_snr_step,
    marginal,
    perturb,
    posterior,
    posterior_coefficients,
    sde_coefficients,
    transition,
)
from jaxgen.diffusion.processes.process import (
    GaussianProcess,
    alpha_sigma_derivatives,
    initial_std,
    validate_time,
    value_and_derivative,
)
from jaxgen.diffusion.processes.schedules import cosine, edm, from_betas, rectified_flow, sub_vp, ve, vp

__all__ = [
    "Bound",
    "Clip",
    "Denoiser",
    "GammaProcess",
    "GaussianProcess",
    "LearnedSchedule",
    "LogLikelihood",
    "Network",
    "Prediction",
    "PredictionType",
    "ReverseSDE",
    "VDMBound",
    "Variance",
    "alpha_sigma_derivatives",
    "bind",
    "bound_term",
    "check_finite_velocity",
    "check_grid",
    "check_variance",
    "clip_x0",
    "cosine",
    "cosine_betas",
    "denoiser",
    "denoising_loss",
    "dynamic_threshold",
    "edm",
    "edm_preconditioning",
    "eps_loss_scale",
    "evaluate",
    "final_kernel",
    "from_betas",
    "gamma_conditioned",
    "guidance",
    "hybrid_loss",
    "importance",
    "initial_std",
    "inverse",
    "karras_grid",
    "learned_schedule",
    "linear_betas",
    "linear_log_snr",
    "log_likelihood",
    "log_snr_grid",
    "log_snr_step",
    "marginal",
    "ncsn",
    "noise_grid",
    "perturb",
    "posterior",
    "posterior_coefficients",
    "probability_flow",
    "quadratic_grid",
    "rectified_flow",
    "reverse_kernel",
    "reverse_sde",
    "score",
    "sde_coefficients",
    "sub_vp",
    "subset_grid",
    "target",
    "times",
    "to_x0_eps",
    "transition",
    "uniform_grid",
    "validate_time",
    "value_and_derivative",
    "variational_bound",
    "vdm_bound",
    "ve",
    "velocity",
    "vlb_loss",
    "vp",
    "weighting",
    "zero_terminal_snr",
]
