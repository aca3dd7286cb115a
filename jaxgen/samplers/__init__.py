"""From a denoiser to samples: one driver, and a step for each method."""

from jaxgen.samplers.continuous import decode, encode, sample_ode, sample_sde
from jaxgen.samplers.ddim import ddim
from jaxgen.samplers.ddpm import ddpm
from jaxgen.samplers.dpm_solver import dpmpp_1, dpmpp_2m, dpmpp_2m_sde, dpmpp_2s
from jaxgen.samplers.driver import Sampler, Step, fold_in, noise, sample
from jaxgen.samplers.euler import euler, euler_maruyama
from jaxgen.samplers.generate import generate
from jaxgen.samplers.heun import heun
from jaxgen.samplers.langevin import annealed_langevin, langevin, langevin_corrector
from jaxgen.samplers.predictor_corrector import predictor_corrector
from jaxgen.samplers.projection import projected, resampled
from jaxgen.samplers.reverse_diffusion import reverse_diffusion

__all__ = [
    "Sampler",
    "Step",
    "annealed_langevin",
    "ddim",
    "ddpm",
    "decode",
    "dpmpp_1",
    "dpmpp_2m",
    "dpmpp_2m_sde",
    "dpmpp_2s",
    "encode",
    "euler",
    "euler_maruyama",
    "fold_in",
    "generate",
    "heun",
    "langevin",
    "langevin_corrector",
    "noise",
    "predictor_corrector",
    "projected",
    "resampled",
    "reverse_diffusion",
    "sample",
    "sample_ode",
    "sample_sde",
]
