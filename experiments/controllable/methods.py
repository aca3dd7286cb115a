"""Four ways to draw images that agree with an observation, from one unconditional model."""

from collections.abc import Callable
from typing import Any

from experiments.controllable.config import Config
from experiments.kit.score_model import Model, grid
from jaxgen.diffusion import inverse, uniform_grid
from jaxgen.samplers import ddpm, repaint, replacement, reverse_diffusion, sample


def methods(model: Model, config: Config) -> dict[str, Callable[..., Any]]:
    """Functions (params, keys, operator, y) -> images by name.

    All take about `config.calls` network calls and clip x0 to [−1, 1].
    """
    process, calls = model.process, config.calls
    chain = ddpm("fixed_large")

    def projection(params, keys, operator, y):
        clipped = model.denoise(params, clip=1.0)
        return sample(keys, process, clipped, replacement(chain, operator, y), grid(process, calls), model.shape)

    def repainting(params, keys, operator, y):
        repeated = repaint(replacement(chain, operator, y), config.repeats)
        # the last step is taken once
        times = grid(process, (calls - 1) // config.repeats + 1)
        return sample(keys, process, model.denoise(params, clip=1.0), repeated, times, model.shape)

    # these two clip after the guidance: a clip inside would stop the gradient
    def dps(params, keys, operator, y):
        guided = inverse.dps(
            process, model.denoise(params), operator, y, step_size=config.step_size, steps=calls, clip=1.0
        )
        return sample(keys, process, guided, reverse_diffusion(), uniform_grid(calls), model.shape)

    def pigdm(params, keys, operator, y):
        guided = inverse.pigdm(process, model.denoise(params), operator, y, clip=1.0)
        return sample(keys, process, guided, ddpm(), grid(process, calls), model.shape)

    return {"projection": projection, "RePaint": repainting, "DPS": dps, "ΠGDM": pigdm}
