"""From a denoiser to samples: one driver, and a step for each method."""

from jaxgen.samplers._ddim import ddim
from jaxgen.samplers._ddpm import ddpm
from jaxgen.samplers._dpm_solver import dpmpp_1, dpmpp_2m, dpmpp_2m_sde, dpmpp_2s
from jaxgen.samplers._euler import euler, euler_maruyama
from jaxgen.samplers._heun import heun
from jaxgen.samplers._langevin import annealed_langevin, langevin, langevin_corrector
from jaxgen.samplers._predictor_corrector import predictor_corrector
from jaxgen.samplers._reverse_diffusion import reverse_diffusion
from jaxgen.samplers.continuous import ODESample, ode_decode, ode_encode, sample_ode, sample_sde
from jaxgen.samplers.driver import Process, Sampler, Step, sample
from jaxgen.samplers.projection import repaint, replacement

__all__ = [
    "ODESample",
    "Process",
    "Sampler",
    "Step",
    "annealed_langevin",
    "ddim",
    "ddpm",
    "dpmpp_1",
    "dpmpp_2m",
    "dpmpp_2m_sde",
    "dpmpp_2s",
    "euler",
    "euler_maruyama",
    "heun",
    "langevin",
    "langevin_corrector",
    "ode_decode",
    "ode_encode",
    "predictor_corrector",
    "repaint",
    "replacement",
    "reverse_diffusion",
    "sample",
    "sample_ode",
    "sample_sde",
]
