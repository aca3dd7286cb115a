"""The adaptive ODE at several tolerances, beside the reverse SDE by a general solver."""

from collections.abc import Mapping
from typing import NamedTuple

import jax
import numpy as np

from experiments.kit.frechet import FrechetDistance
from experiments.kit.run import Run
from experiments.kit.score_model import Model
from experiments.score_sde.config import Config
from experiments.score_sde.ode import Flow, Solved, initial_noise
from jaxgen.samplers import sample_sde

T_MIN = 1e-5


class Tolerance(NamedTuple):
    """The ODE's samples under a process at a tolerance; `distance` is that to the samples at the finest tolerance."""

    process: str
    tolerance: float
    calls: int
    distance: float
    frechet: float


class Adaptive(NamedTuple):
    """The ODE's samples, and those of VP's reverse SDE in equal steps."""

    tolerances: list[Tolerance]
    images: dict[str, np.ndarray]  # (20, h, w, c), at the finest tolerance
    sde_calls: int
    sde_frechet: float


def adaptive(
    run: Run[Config], models: Mapping[str, Model], keys: jax.Array, flow: Flow, frechet: FrechetDistance
) -> Adaptive:
    """Solve the ODE of each process at each tolerance, and VP's reverse SDE."""
    config, found, images = run.config, [], {}
    for process, model in models.items():
        solutions = {
            tolerance: run.stage(
                f"ode/{process}, {tolerance:g}",
                lambda model=model, tolerance=tolerance: flow(
                    model, initial_noise(model, keys, 1.0), 1.0, T_MIN, tolerance
                ),
            )
            for tolerance in config.tolerances
        }
        finest = solutions[config.tolerances[-1]].x
        for tolerance, solved in solutions.items():
            distance = float(np.sqrt(np.mean((solved.x - finest) ** 2)))
            found.append(Tolerance(process, tolerance, int(solved.calls), distance, frechet(solved.x)))
        images[process] = finest[:20]
    sde = run.stage("sde", lambda: reverse_sde(models["VP"], keys, config.corrector_calls))
    return Adaptive(found, images, sde.calls, frechet(sde.x))


def reverse_sde(model: Model, keys: jax.Array, steps: int) -> Solved:
    """Samples of the reverse SDE by diffrax's Euler method in equal steps."""

    @jax.jit
    def solve(params):
        return sample_sde(keys, model.process, model.denoise(params), model.shape, steps=steps, t_min=1e-3)

    solved = solve(model.params)
    return Solved(solved.x, int(np.max(solved.evaluations)))
