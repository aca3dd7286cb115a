"""The probability-flow ODE of a model between two times, by an adaptive solver."""

from typing import NamedTuple

import diffrax
import jax
import numpy as np

from experiments.kit.score_model import Model
from jaxgen.core import fold_in, integrate
from jaxgen.diffusion import probability_flow


class Solved(NamedTuple):
    """The states (n, h, w, c) at the end, and the network calls, which all images share."""

    x: np.ndarray
    calls: int


class Flow:
    """Solves dx/dt of the probability-flow ODE by Tsit5 from one time to another, forwards or backwards.

    All but the number of images is an argument of what is compiled: process, parameters, times and tolerance.

    Args:
        model: a model of the network; the others may have another process and other parameters.
    """

    def __init__(self, model: Model):
        def solve(process, params, x, start, end, tolerance):
            denoise = model._replace(process=process).denoise(params)
            found = integrate(
                lambda t, x, _: probability_flow(process, denoise, x, t), x, start, end,
                controller=diffrax.PIDController(rtol=tolerance, atol=tolerance),
            )  # fmt: skip
            return found.y, found.evaluations

        self._solve = jax.jit(solve)

    def __call__(self, model: Model, x: jax.Array, start: float, end: float, tolerance: float) -> Solved:
        """Solve from the states x at `start` to those at `end`; rtol = atol = tolerance."""
        # numbers of one type, for one compilation
        start, end, tolerance = np.float32([start, end, tolerance])
        return Solved(*self._solve(model.process, model.params, x, start, end, tolerance))


def initial_noise(model: Model, keys: jax.Array, t: float) -> jax.Array:
    """The noise at t from which samplers with these keys start."""
    return model.process.sample_prior(fold_in(keys, 0), model.shape, t)
