"""Gaussian diffusion: processes, kernels, predictions, denoisers, losses, times, ladders, flows and likelihoods."""

from jaxgen.diffusion import ncsn, times, weighting
from jaxgen.diffusion.betas import cosine_betas, linear_betas, zero_terminal_snr
from jaxgen.diffusion.denoiser import Denoiser, Network, denoiser, dynamic_threshold, edm_preconditioning
from jaxgen.diffusion.dynamics import probability_flow, reverse_sde
from jaxgen.diffusion.kernel import (
    Gaussian,
    gaussian_kl,
    marginal,
    perturb,
    posterior,
    sde_coefficients,
    transition,
)
from jaxgen.diffusion.likelihood import (
    exact_divergence,
    hutchinson,
    log_likelihood,
)
from jaxgen.diffusion.loss import denoising_loss
from jaxgen.diffusion.prediction import Prediction, score
from jaxgen.diffusion.process import GaussianProcess
from jaxgen.diffusion.schedules import cosine, discrete, edm, rectified_flow, sub_vp, ve, vp

__all__ = [
    "Denoiser",
    "Gaussian",
    "GaussianProcess",
    "Network",
    "Prediction",
    "cosine",
    "cosine_betas",
    "denoiser",
    "denoising_loss",
    "discrete",
    "dynamic_threshold",
    "edm",
    "edm_preconditioning",
    "exact_divergence",
    "gaussian_kl",
    "hutchinson",
    "linear_betas",
    "log_likelihood",
    "marginal",
    "ncsn",
    "perturb",
    "posterior",
    "probability_flow",
    "rectified_flow",
    "reverse_sde",
    "score",
    "sde_coefficients",
    "sub_vp",
    "times",
    "transition",
    "ve",
    "vp",
    "weighting",
    "zero_terminal_snr",
]
