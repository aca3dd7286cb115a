"""Generative adversarial networks: losses, penalties, objectives, dynamics of games, and GANs joined with diffusion."""

from jaxgen.gan._adaptive_diffusion import AdaptiveDiffusion, AdaptiveDiffusionState, adaptive_diffusion
from jaxgen.gan._ddgan import DenoisingPairs, ddgan, ddgan_process, denoising_pairs
from jaxgen.gan._denoising_objectives import denoising_objectives
from jaxgen.gan.critic import Critic, instance_noise
from jaxgen.gan.dirac import DiracVariant, dirac_eigenvalues, dirac_gan, dirac_variant
from jaxgen.gan.dynamics import (
    Field,
    Players,
    Update,
    alternating,
    consensus_field,
    eigenvalues,
    game_field,
    gradient_flow,
    jacobian,
    simultaneous,
    trajectory,
)
from jaxgen.gan.losses import (
    AdversarialLoss,
    hinge,
    least_squares,
    minimax,
    non_saturating,
    relativistic_pairing,
    wasserstein,
)
from jaxgen.gan.objectives import adversarial_objectives, consensus
from jaxgen.gan.penalties import LazyPenalty, Penalty, ScheduledPenalty, gradient_penalty, lazy, r1, r2, scheduled
from jaxgen.gan.rounds import AdversarialObjectives

__all__ = [
    "AdaptiveDiffusion",
    "AdaptiveDiffusionState",
    "AdversarialLoss",
    "AdversarialObjectives",
    "Critic",
    "DenoisingPairs",
    "DiracVariant",
    "Field",
    "LazyPenalty",
    "Penalty",
    "Players",
    "ScheduledPenalty",
    "Update",
    "adaptive_diffusion",
    "adversarial_objectives",
    "alternating",
    "consensus",
    "consensus_field",
    "ddgan",
    "ddgan_process",
    "denoising_objectives",
    "denoising_pairs",
    "dirac_eigenvalues",
    "dirac_gan",
    "dirac_variant",
    "eigenvalues",
    "game_field",
    "gradient_flow",
    "gradient_penalty",
    "hinge",
    "instance_noise",
    "jacobian",
    "lazy",
    "least_squares",
    "minimax",
    "non_saturating",
    "r1",
    "r2",
    "relativistic_pairing",
    "scheduled",
    "simultaneous",
    "trajectory",
    "wasserstein",
]
