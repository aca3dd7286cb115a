"""From a denoiser to samples: one driver, and a step for each method."""

from jaxgen.samplers.ddim import ddim
from jaxgen.samplers.ddpm import ddpm
from jaxgen.samplers.driver import Sampler, Step, noise, sample

__all__ = ["Sampler", "Step", "ddim", "ddpm", "noise", "sample"]
