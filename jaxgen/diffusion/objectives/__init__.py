"""Losses, variational bounds, weights and the techniques of NCSN."""

from jaxgen.diffusion.objectives import importance, ncsn, weighting
from jaxgen.diffusion.objectives.bound import Bound, bound_term, variational_bound
from jaxgen.diffusion.objectives.denoising import denoising_loss, hybrid_loss, vlb_loss
from jaxgen.diffusion.objectives.vdm import VDMBound, gamma_conditioned, vdm_bound

__all__ = [
    "Bound",
    "VDMBound",
    "bound_term",
    "denoising_loss",
    "gamma_conditioned",
    "hybrid_loss",
    "importance",
    "ncsn",
    "variational_bound",
    "vdm_bound",
    "vlb_loss",
    "weighting",
]
