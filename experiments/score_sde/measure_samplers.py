"""Samplers by network calls: on the same noise levels, and in equal steps of each process's own time."""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import numpy as np

from experiments.kit.drawing import Drawn
from experiments.kit.frechet import FrechetDistance
from experiments.kit.run import Run
from experiments.kit.score_model import Model, grid
from experiments.kit.statistics import Verdict, verdicts
from experiments.score_sde.config import Config
from experiments.score_sde.ode import Flow, Solved, initial_noise
from experiments.score_sde.samplers import METHODS, few_calls
from experiments.score_sde.sampling import Sampling
from jaxgen.diffusion import uniform_grid

OWN_CLOCK = ("ddim", "dpmpp_2m", "euler_maruyama")


class Sampled(NamedTuple):
    """A sampler's images at a budget of network calls, and how they compare with the data and with the ODE's images."""

    budget: int
    calls: int
    images: np.ndarray  # (15, h, w, c)
    frechet: float
    frechet_to_ode: float | None  # None for samplers that add noise
    squares: np.ndarray | None  # (n,), mean squared distance of each image to the ODE's image of the same noise

    @property
    def distance_to_ode(self) -> float:
        """Root-mean-square distance to the ODE's images."""
        return float(np.sqrt(self.squares.mean()))


class Comparison(NamedTuple):
    """All samplers under VP, on EDM's noise levels, by title: a result for each budget."""

    sampled: dict[str, list[Sampled]]
    orders: dict[str, int | None]
    ode_calls: int
    ode_frechet: float
    few: int  # the budget at which samplers differ most
    compared: Sequence[int]  # the budgets at which orders are compared

    def at(self, title: str, budget: int) -> Sampled:
        """What a sampler draws at a budget."""
        return next(found for found in self.sampled[title] if found.budget == budget)

    def titles(self, order: int | None) -> list[str]:
        """The samplers of this order, None for those that add noise."""
        return [title for title, of in self.orders.items() if of == order]

    @property
    def along_ode(self) -> list[str]:
        """The samplers that add no noise."""
        return [*self.titles(1), *self.titles(2)]

    @property
    def last(self) -> list[float]:
        """Fréchet distances of the samplers that add no noise, at the largest budget."""
        largest = max(found.budget for of in self.sampled.values() for found in of)
        return [self.at(title, largest).frechet for title in self.along_ode]

    def against_ddim(self) -> list["AgainstDDIM"]:
        """Each second-order sampler at each budget beside DDIM, if there are both; by pixels at 5 % for all (Holm)."""
        if "DDIM" not in self.sampled:
            return []
        pairs = {(title, budget): (self.at(title, budget), self.at("DDIM", budget))
                 for budget in self.compared for title in self.titles(2)}  # fmt: skip
        in_pixels = verdicts({key: found.squares - ddim.squares for key, (found, ddim) in pairs.items()})
        return [
            AgainstDDIM(*key, found, found.frechet_to_ode < ddim.frechet_to_ode, in_pixels[key])
            for key, (found, ddim) in pairs.items()
        ]


class AgainstDDIM(NamedTuple):
    """A second-order sampler beside DDIM: nearer to the ODE's images by Fréchet distance, and the verdict in pixels."""

    sampler: str
    budget: int
    found: Sampled
    nearer: bool
    in_pixels: Verdict


class OwnClock(NamedTuple):
    """A sampler under one process in equal steps of its t."""

    process: str
    sampler: str
    calls: int
    frechet: float


class OwnClocks(NamedTuple):
    """Samplers in equal steps of each process's own time, and images by Euler–Maruyama in `steps` steps."""

    found: list[OwnClock]
    images: dict[str, np.ndarray]  # (15, h, w, c)
    steps: int


def compare(run: Run[Config], sampling: Sampling, flow: Flow, frechet: FrechetDistance) -> Comparison:
    """Draw by each sampler of the config at each budget, under VP."""
    config, model = run.config, sampling.models["VP"]
    exact = run.stage("exact path", lambda: exact_path(flow, model, sampling.keys, config.tolerances[-1] / 10))

    def sampled(name: str, budget: int) -> Sampled:
        images, calls = on_levels(sampling, "VP", name, budget)
        shown = Sampled(budget, calls, images[:15], frechet(images), None, None)
        if METHODS[name].order is None:
            return shown
        squares = np.mean((images - exact.x) ** 2, axis=(1, 2, 3), dtype=np.float64)
        return shown._replace(frechet_to_ode=frechet.between(images, exact.x), squares=squares)

    methods = {name: METHODS[name] for name in METHODS if name in config.samplers}
    budgets = [budget for budget in config.calls if 10 <= budget <= 20] or [few_calls(config.calls)]
    return Comparison(
        {method.title: [sampled(name, budget) for budget in config.calls] for name, method in methods.items()},
        {method.title: method.order for method in methods.values()},
        exact.calls,
        frechet(exact.x),
        few_calls(config.calls),
        budgets,
    )


def on_levels(sampling: Sampling, process: str, name: str, budget: int) -> Drawn:
    """Samples by about so many network calls on EDM's noise levels."""
    method = METHODS[name]
    times = grid(sampling.models[process].process, method.steps(budget))
    return sampling(process, f"{name}, {budget} calls", method.sampler, times)


def exact_path(flow: Flow, model: Model, keys: jax.Array, tolerance: float) -> Solved:
    """Where the ODE takes the samplers' noise, from their first level to their last and then to its x̂0."""
    start, end = grid(model.process, 2)[:2]
    solved = flow(model, initial_noise(model, keys, start), start, end, tolerance)
    x0 = jax.jit(lambda params, x: model.denoise(params)(x, end).x0)(model.params, solved.x)
    return Solved(np.asarray(x0), int(solved.calls))


def own_clocks(config: Config, sampling: Sampling, frechet: FrechetDistance) -> OwnClocks:
    """Draw under each process in equal steps of its t, by samplers that do and do not depend on its time."""
    budgets = sorted({few_calls(config.calls), max(config.calls)})
    found, images = [], {}
    for process in sampling.models:
        for name in OWN_CLOCK:
            method = METHODS[name]
            for steps in budgets:
                drawn = sampling(process, f"{name}, {steps} equal steps", method.sampler, uniform_grid(steps))
                found.append(OwnClock(process, method.title, drawn.calls, frechet(drawn.images)))
        images[process] = drawn.images[:15]
    return OwnClocks(found, images, budgets[-1])


def same_images(config: Config, sampling: Sampling) -> dict[str, float]:
    """Root-mean-square distance of the images of VE and sub-VP to VP's, by DPM-Solver++(2M) on the same levels."""
    budget = few_calls(config.calls)
    of_vp = on_levels(sampling, "VP", "dpmpp_2m", budget).images

    def gap(process: str) -> float:
        return float(np.sqrt(np.mean((on_levels(sampling, process, "dpmpp_2m", budget).images - of_vp) ** 2)))

    return {process: gap(process) for process in sampling.models if process != "VP"}
