"""Every step sampler by name, with options that serve a grid of many short steps."""

from itertools import cycle

import pytest

from jaxgen.samplers import (
    ddim,
    ddpm,
    dpmpp_1,
    dpmpp_2m,
    dpmpp_2m_sde,
    dpmpp_2s,
    euler,
    euler_maruyama,
    heun,
    langevin,
    predictor_corrector,
    reverse_diffusion,
)

ANY = {
    "ddpm_small": ddpm("fixed_small"),
    "ddpm_large": ddpm("fixed_large"),
    "ddim": ddim(),
    "ddim_half": ddim(0.5),
    "reverse_diffusion": reverse_diffusion(),
    "heun": heun(),
    "heun_churn": heun(churn=0.05, churn_range=(0.05, 50.0), noise_scale=1.0),
    "dpmpp_1": dpmpp_1(),
    "dpmpp_2m": dpmpp_2m(),
    "dpmpp_2s": dpmpp_2s(),
    "dpmpp_2m_sde": dpmpp_2m_sde(),
    "predictor_corrector": predictor_corrector(reverse_diffusion(), langevin(1e-4, steps=2)),
}
CONTINUOUS_ONLY = {
    "euler": euler(),
    "euler_maruyama": euler_maruyama(),
    "euler_maruyama_half": euler_maruyama(0.5),
    "euler_maruyama_double": euler_maruyama(2.0),
}


def one_process_by_day(samplers, processes, kinds):
    """Pairs (sampler, process): each sampler with one of the kinds by day, which take turns, and with all by night."""
    by_day = dict(zip(samplers, cycle(kinds), strict=False))
    return [
        pytest.param(sampler, process, marks=[] if process == by_day[sampler] else pytest.mark.slow)
        for sampler in samplers
        for process in processes
    ]
