"""Predictors alone, and with Langevin correctors at equal cost."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments.kit.frechet import FrechetDistance
from experiments.score_sde.config import Config
from experiments.score_sde.samplers import METHODS, exam_update
from experiments.score_sde.sampling import Sampling
from jaxgen.core import fold_in
from jaxgen.diffusion import uniform_grid
from jaxgen.samplers import Sampler, langevin_corrector, predictor_corrector

EXAM, MANY = "exam's update", 5


class Chain(NamedTuple):
    """Samples of a predictor in equal steps of t, with so many corrector steps after each of its steps."""

    process: str
    predictor: str
    steps: int
    correctors: int
    calls: int
    frechet: float
    images: np.ndarray  # (11, h, w, c)

    @property
    def name(self) -> str:
        """What is compared."""
        if not self.correctors:
            return f"{self.predictor}, {self.steps} steps"
        times = "corrector" if self.correctors == 1 else f"{self.correctors} correctors"
        return f"{self.predictor}, {self.steps} + {times}"


class Correctors(NamedTuple):
    """A predictor under one process: with the steps that it and a corrector cost, with half as many, and corrected."""

    process: str
    predictor: str
    whole: Chain
    alone: Chain
    once: Chain
    often: Chain | None  # with MANY correctors

    @property
    def corrector_wins(self) -> bool:
        """Whether one corrector a step beats twice the steps, which cost the same."""
        return self.once.frechet < self.whole.frechet

    @property
    def chains(self) -> list[Chain]:
        """All of them."""
        return [chain for chain in self[2:] if chain is not None]


def add_correctors(config: Config, sampling: Sampling, frechet: FrechetDistance) -> list[Correctors]:
    """Draw by the exam's update under VE, then by reverse diffusion under each process."""
    whole, half = config.corrector_calls, config.corrector_calls // 2
    reverse = METHODS["reverse_diffusion"]
    predictors = {EXAM: exam_update(), reverse.title: reverse.sampler}
    pairs = {name: predictor_corrector(each, repeated(config.snr)) for name, each in predictors.items()}

    def chain(process: str, name: str, steps: int, many: int) -> Chain:
        start = predictors[name].init
        sampler = pairs[name]._replace(init=lambda x: (start(x), jnp.int32(many)))
        stage = f"{name}, {steps} steps, {many} correctors"
        images, calls = sampling(process, stage, sampler, uniform_grid(steps))
        return Chain(process, name, steps, many, calls, frechet(images), images[:11])

    def compared(process: str, name: str) -> Correctors:
        whole_alone_once = [chain(process, name, *how) for how in ((whole, 0), (half, 0), (half, 1))]
        return Correctors(process, name, *whole_alone_once, chain(process, name, half, MANY) if name == EXAM else None)

    return [compared("VE", EXAM), *(compared(process, reverse.title) for process in sampling.models)]


def repeated(snr: float) -> Sampler:
    """Langevin correctors as many as the carry says, so that chains with none, one and more share what is compiled."""
    corrector = langevin_corrector(snr)

    def step(key, process, denoise, t, s, x, many):
        def again(i, x):
            return corrector.step(fold_in(key, i), process, denoise, t, s, x, None)[0]

        return jax.lax.fori_loop(0, many, again, x), many

    return Sampler(step)
