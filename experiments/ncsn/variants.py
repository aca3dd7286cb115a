"""NCSNv2, the same without each of its techniques, and NCSN."""

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import numpy as np

from experiments.ncsn.config import Config
from experiments.ncsn.ladder import Ladder
from experiments.ncsn.train import ScoreModel, score_network
from jaxgen import mcmc
from jaxgen.core import fold_in
from jaxgen.diffusion import Denoiser, GaussianProcess, denoiser, ncsn, score
from jaxgen.samplers import heun, sample

NCSN_V2 = "NCSNv2"
FEW_LEVELS, CONDITIONAL = "without 2*: ten levels", "without 3: network sees σ"
OLD_STEP, HALF_STEP = "without 4: NCSN's ε", "without 4: half of ε"
NOT_DENOISED = "without final denoising"
HEUN, HEUN_CONDITIONAL = "Heun", "Heun, network sees σ"


class Variant(NamedTuple):
    """A way to sample by annealed Langevin dynamics.

    Attributes:
        ladder: the noise levels.
        model: the score network.
        steps: T, Langevin steps at each level.
        step_size: ε, the step at the last level.
        averaged: whether it samples with the averaged parameters.
        final_denoising: whether a last call denoises the end of the chain.
    """

    ladder: Ladder
    model: ScoreModel
    steps: int
    step_size: float
    averaged: bool = True
    final_denoising: bool = True

    @property
    def params(self) -> Any:
        """The parameters it samples with."""
        return self.model.averaged if self.averaged else self.model.last

    @property
    def calls(self) -> int:
        """Network calls of a sample."""
        return self.ladder.n * self.steps + self.final_denoising

    @property
    def variance_ratio(self) -> float:
        """The variance after a level over σ², for data at one point (Song & Ermon 2020, proposition 3)."""
        return float(ncsn.variance_ratio(self.step_size, self.ladder.last, self.ladder.gamma, self.steps))

    @property
    def predicted_noise(self) -> float:
        """Standard deviation over σ_L in which chains of exact scores end around data at one point.

        The score of a conditional network is the distance over σ², which gives the variance equation. That of an
        unconditional one is a unit vector times √D over σ, whatever the distance: the network takes the noise it sees
        in x for σ.
        """
        half_step, noise = self.step_size / (2 * self.ladder.last**2), 1.0
        for level in range(self.ladder.n):
            noise *= self.ladder.gamma if level else 1.0  # the prior has the first level's noise
            for _ in range(self.steps):
                kept = noise * (1 - half_step) if self.model.conditional else noise - half_step
                noise = math.sqrt(kept**2 + 2 * half_step)
        return noise


def variants(config: Config, ladder: Ladder, unconditional: ScoreModel, conditional: ScoreModel) -> dict[str, Variant]:
    """NCSNv2, the same without each of its techniques at about as many calls, and NCSN, without any.

    A star marks those that sample on other noise levels than their network was trained on.
    """
    calls = ladder.n * config.langevin_steps

    def on(levels: Ladder, model: ScoreModel = unconditional) -> Variant:
        steps = max(1, round(calls / levels.n))
        return Variant(levels, model, steps, ncsn.step_size(*levels, steps))

    whole = on(ladder)
    # NCSN: ten levels from σ = 1 to .01, T = 100, ε = 2e-5, which is .2 of the last variance
    few, narrow, old_step = 10, 1.0, 0.2 * ladder.last**2
    narrowed = Ladder(narrow, ladder.last, ncsn.num_noise_levels(narrow, ladder.last, ladder.gamma))
    return {
        NCSN_V2: whole,
        "without 1*: σ₁ = 1": on(narrowed),
        FEW_LEVELS: on(ladder._replace(n=few)),
        CONDITIONAL: on(ladder, conditional),
        OLD_STEP: whole._replace(step_size=old_step),
        HALF_STEP: whole._replace(step_size=whole.step_size / 2),
        "without 5: no average": whole._replace(averaged=False),
        NOT_DENOISED: whole._replace(final_denoising=False),
        "NCSN*: without all": Variant(
            Ladder(narrow, ladder.last, few), conditional, max(1, calls // few), old_step,
            averaged=False, final_denoising=False,
        ),
    }  # fmt: skip


class Samplers:
    """Annealed Langevin dynamics and Heun's method, one sample per key; all variants share what is compiled.

    Args:
        process: the process that the networks were trained with.
        net: the network.
        shape: shape of an image.
    """

    def __init__(self, process: GaussianProcess, net: nn.Module, shape: tuple[int, ...]):
        self._process, self._net, self._shape = process, net, shape
        self._level, self._ode, self._last = (
            jax.jit(function, static_argnames="conditional") for function in (self._at_level, self._heun, self._denoise)
        )

    def states(self, variant: Variant, keys: jax.Array) -> Iterator[jax.Array]:
        """The states (b, h, w, c) of the chains at the start and after each level (Song & Ermon 2019, algorithm 1)."""
        times, sigmas = np.float32(variant.ladder.times(self._process)), variant.ladder.sigmas
        x = self._process.sample_prior(fold_in(keys, 0), self._shape, times[0])
        yield x
        for i, (t, sigma) in enumerate(zip(times, sigmas, strict=True), start=1):
            step_size = np.float32(variant.step_size * (sigma / variant.ladder.last) ** 2)
            x = self._level(
                variant.params, fold_in(keys, i), x, t, step_size, variant.steps, conditional=variant.model.conditional
            )
            yield x

    def langevin(self, variant: Variant, keys: jax.Array) -> np.ndarray:
        """Where chains end, before the last denoising."""
        for x in self.states(variant, keys):
            last = x
        return np.asarray(last)

    def heun(self, model: ScoreModel, times: np.ndarray, keys: jax.Array) -> np.ndarray:
        """Samples by Heun's method for the probability-flow ODE."""
        return np.asarray(self._ode(model.averaged, keys, np.float32(times), conditional=model.conditional))

    def denoised(self, model: ScoreModel, params: Any, x: np.ndarray) -> np.ndarray:
        """The last denoising, x + σ_L² s(x, σ_L)."""
        return np.asarray(self._last(params, x, conditional=model.conditional))

    def _at_level(self, params, keys, x, t, step_size, steps, *, conditional: bool):
        denoise = self._denoiser(params, conditional)
        chain = mcmc.langevin(lambda x: score(self._process, denoise(x, t), t), step_size)
        # T is not static, so that all variants share this program
        return jax.lax.fori_loop(0, steps, lambda i, x: chain.step(fold_in(keys, i), x), x)

    def _heun(self, params, keys, times, *, conditional: bool):
        return sample(keys, self._process, self._denoiser(params, conditional), heun(), times, self._shape)

    def _denoise(self, params, x, *, conditional: bool):
        return self._denoiser(params, conditional)(x, 0.0).x0

    def _denoiser(self, params: Any, conditional: bool) -> Denoiser:
        return denoiser(self._process, score_network(self._process, self._net, params, conditional), predicts="score")
