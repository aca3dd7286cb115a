"""The samplers that are timed, by name."""

from collections.abc import Callable
from functools import cache, partial
from typing import Any

import diffrax
import numpy as np

from experiments.kit.call_counting import network_calls
from jaxgen import samplers
from jaxgen.diffusion import log_snr_grid, vp
from jaxgen.samplers import sample_ode, sample_sde

PROCESS = vp()


def grid(steps: int) -> np.ndarray:
    """Times (steps + 1,): even in log-SNR from the prior's, then 0, so that the last step goes to clean data."""
    return log_snr_grid(PROCESS, steps, log_snr_min=float(PROCESS.log_snr(1.0)))


def fixed_step(sigma: float) -> dict[str, samplers.Sampler]:
    """Every sampler that takes the steps of a grid whose last noise level is sigma."""
    return {
        "ddpm": samplers.ddpm(),
        "ddim": samplers.ddim(),
        "euler": samplers.euler(),
        "euler_maruyama": samplers.euler_maruyama(),
        "reverse_diffusion": samplers.reverse_diffusion(),
        "heun": samplers.heun(),
        "heun, churn": samplers.heun(churn=0.2),
        "dpmpp_1": samplers.dpmpp_1(),
        "dpmpp_2s": samplers.dpmpp_2s(),
        "dpmpp_2m": samplers.dpmpp_2m(),
        "dpmpp_2m_sde": samplers.dpmpp_2m_sde(),
        "langevin": samplers.langevin(0.1 * sigma**2),
        "annealed_langevin": samplers.annealed_langevin(0.1 * sigma**2, sigma, steps=2, final_denoising=True),
        "predictor_corrector": samplers.predictor_corrector(
            samplers.reverse_diffusion(), samplers.langevin_corrector()
        ),
    }


def of_grid(steps: int) -> dict[str, samplers.Sampler]:
    """The samplers of `fixed_step` for `grid(steps)`."""
    return fixed_step(float(PROCESS.sigma(grid(steps)[-2])))


def solvers(steps: int) -> dict[str, Callable[..., Any]]:
    """diffrax's solvers, (keys, process, denoise, shape) -> ODESample: adaptive steps, and the SDE in equal steps."""
    coarse = diffrax.PIDController(rtol=0.1, atol=0.1)
    return {
        "sample_ode, adaptive": partial(sample_ode, controller=coarse, t_min=1e-2),
        "sample_sde, equal steps": partial(sample_sde, steps=steps, t_min=1e-2),
    }


@cache
def fixed_calls(name: str, steps: int) -> int:
    """Network calls of a fixed-step sampler, which do not depend on the network or the batch."""
    return network_calls(of_grid(steps)[name], PROCESS, grid(steps))


FIXED = tuple(fixed_step(1.0))
GENERATED = "ddim, by generate"
NAMES = (*FIXED, *solvers(2), GENERATED)
