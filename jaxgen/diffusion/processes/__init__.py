"""Gaussian processes: published schedules, discrete chains, learned schedules, and their kernels."""

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
    as_float,
    initial_std,
    validate_time,
    value_and_derivative,
)
from jaxgen.diffusion.processes.schedules import cosine, edm, from_betas, rectified_flow, sub_vp, ve, vp

__all__ = [
    "GammaProcess",
    "GaussianProcess",
    "LearnedSchedule",
    "alpha_sigma_derivatives",
    "as_float",
    "cosine",
    "cosine_betas",
    "edm",
    "from_betas",
    "initial_std",
    "learned_schedule",
    "linear_betas",
    "linear_log_snr",
    "log_snr_step",
    "marginal",
    "perturb",
    "posterior",
    "posterior_coefficients",
    "rectified_flow",
    "sde_coefficients",
    "sub_vp",
    "transition",
    "validate_time",
    "value_and_derivative",
    "ve",
    "vp",
    "zero_terminal_snr",
]
