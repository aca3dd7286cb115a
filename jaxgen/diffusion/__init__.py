"""Gaussian diffusion: processes, denoisers, guidance, inverse problems, losses, bounds, times, flows, likelihoods."""

from jaxgen import decoder
from jaxgen.diffusion import guidance, importance, inverse, ncsn, times, weighting
from jaxgen.diffusion.betas import cosine_betas, linear_betas, zero_terminal_snr
from jaxgen.diffusion.bound import Bound, bound_term, variational_bound
from jaxgen.diffusion.denoiser import Denoiser, Network, denoiser, dynamic_threshold, edm_preconditioning
from jaxgen.diffusion.dynamics import probability_flow, reverse_sde
from jaxgen.diffusion.kernel import marginal, perturb, posterior, sde_coefficients, transition
from jaxgen.diffusion.learned import FromGamma, Learned, learned, log_linear
from jaxgen.diffusion.likelihood import (
    exact_divergence,
    hutchinson,
    log_likelihood,
)
from jaxgen.diffusion.loss import denoising_loss, hybrid_loss, vlb_loss
from jaxgen.diffusion.prediction import Prediction, score
from jaxgen.diffusion.process import GaussianProcess
from jaxgen.diffusion.reverse import reverse_kernel
from jaxgen.diffusion.schedules import cosine, discrete, edm, rectified_flow, sub_vp, ve, vp
from jaxgen.diffusion.vdm import VDMBound, gamma_conditioned, vdm_bound
from jaxgen.gaussian import Gaussian, gaussian_kl

__all__ = [
    "Bound",
    "Denoiser",
    "FromGamma",
    "Gaussian",
    "GaussianProcess",
    "Learned",
    "Network",
    "Prediction",
    "VDMBound",
    "bound_term",
    "cosine",
    "cosine_betas",
    "decoder",
    "denoiser",
    "denoising_loss",
    "discrete",
    "dynamic_threshold",
    "edm",
    "edm_preconditioning",
    "exact_divergence",
    "gamma_conditioned",
    "gaussian_kl",
    "guidance",
    "hutchinson",
    "hybrid_loss",
    "importance",
    "inverse",
    "learned",
    "linear_betas",
    "log_likelihood",
    "log_linear",
    "marginal",
    "ncsn",
    "perturb",
    "posterior",
    "probability_flow",
    "rectified_flow",
    "reverse_kernel",
    "reverse_sde",
    "score",
    "sde_coefficients",
    "sub_vp",
    "times",
    "transition",
    "variational_bound",
    "vdm_bound",
    "ve",
    "vlb_loss",
    "vp",
    "weighting",
    "zero_terminal_snr",
]
