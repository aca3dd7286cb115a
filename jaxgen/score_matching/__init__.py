"""Score matching: objectives for any score function, Gaussian kernel densities, and the score of an energy."""

from jaxgen.score_matching.density import KernelDensity, kernel_density
from jaxgen.score_matching.energy import score_of_energy
from jaxgen.score_matching.objectives import denoising, explicit, implicit, noise_conditional, sliced

__all__ = [
    "KernelDensity",
    "denoising",
    "explicit",
    "implicit",
    "kernel_density",
    "noise_conditional",
    "score_of_energy",
    "sliced",
]
