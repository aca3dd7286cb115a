"""Generative adversarial networks, and GANs joined with diffusion."""

from jaxgen.gan._adaptive_diffusion import AdaptiveDiffusion, AdaptiveDiffusionState, adaptive_diffusion
from jaxgen.gan._ddgan import DenoisingPairs, ddgan, ddgan_process, denoising_pairs

__all__ = [
    "AdaptiveDiffusion",
    "AdaptiveDiffusionState",
    "DenoisingPairs",
    "adaptive_diffusion",
    "ddgan",
    "ddgan_process",
    "denoising_pairs",
]
