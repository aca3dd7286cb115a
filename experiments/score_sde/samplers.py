"""The samplers that the exercise compares, and the reverse SDE's Euler step as the exam writes it."""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import jax.numpy as jnp

from jaxgen.core import noise
from jaxgen.diffusion import score, sde_coefficients
from jaxgen.samplers import (
    Sampler,
    ddim,
    ddpm,
    dpmpp_2m,
    dpmpp_2m_sde,
    dpmpp_2s,
    euler,
    euler_maruyama,
    heun,
    langevin_corrector,
    predictor_corrector,
    reverse_diffusion,
)

Name = Literal[
    "ddim", "euler", "dpmpp_2m", "dpmpp_2s", "heun", "ddpm", "dpmpp_2m_sde", "euler_maruyama", "reverse_diffusion",
    "predictor_corrector",
]  # fmt: skip


class Method(NamedTuple):
    """A sampler: its title, its order along the ODE (None if it adds noise), and its network calls per step."""

    title: str
    sampler: Sampler
    order: int | None
    calls_per_step: int = 1

    def steps(self, calls: int) -> int:
        """How many steps cost about so many calls."""
        return -(-calls // self.calls_per_step)


METHODS: dict[Name, Method] = {
    "ddim": Method("DDIM", ddim(), 1),
    "euler": Method("Euler", euler(), 1),
    "dpmpp_2m": Method("DPM-Solver++(2M)", dpmpp_2m(), 2),
    "dpmpp_2s": Method("DPM-Solver++(2S)", dpmpp_2s(), 2, 2),
    "heun": Method("Heun", heun(), 2, 2),
    "ddpm": Method("ancestral", ddpm(), None),
    "dpmpp_2m_sde": Method("DPM-Solver++(2M) SDE", dpmpp_2m_sde(), None),
    "euler_maruyama": Method("Euler–Maruyama", euler_maruyama(), None),
    "reverse_diffusion": Method("reverse diffusion", reverse_diffusion(), None),
    "predictor_corrector": Method(
        "predictor–corrector", predictor_corrector(reverse_diffusion(), langevin_corrector()), None, 2
    ),
}


def few_calls(calls: Sequence[int]) -> int:
    """The budget at which samplers differ most: ten calls, or the nearest above."""
    return min((budget for budget in calls if budget >= 10), default=max(calls))


def exam_update() -> Sampler:
    """The reverse SDE's Euler step as the exam writes it, Δt < 0: x ← x + [f x − g² s] Δt + g √|Δt| z."""

    def step(key, process, denoise, t, s, x, carry):
        drift, diffusion_squared = sde_coefficients(process, t)
        dt = s - t
        mean = x + (drift * x - diffusion_squared * score(process, denoise(x, t), t)) * dt
        return mean + jnp.sqrt(diffusion_squared * jnp.abs(dt)) * noise(key, x.shape[1:]), carry

    return Sampler(step)
