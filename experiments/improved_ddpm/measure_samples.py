"""Samples of strided chains, and of chains whose first part is skipped."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import jax
import numpy as np

from experiments.improved_ddpm.config import Config
from experiments.improved_ddpm.train import Trained
from experiments.kit.drawing import Drawer
from experiments.kit.frechet import FrechetDistance
from experiments.kit.run import Run
from jaxgen.diffusion import subset_grid
from jaxgen.metrics import MeanAndError, mean_and_error
from jaxgen.samplers import ddim, ddpm

SMALL, LARGE, LEARNED, DDIM = "small variance", "large variance", "learned variance", "DDIM"
SAMPLERS = {SMALL: ddpm("fixed_small"), LARGE: ddpm("fixed_large"), LEARNED: ddpm("learned"), DDIM: ddim()}
COMPARED = {"hybrid": tuple(SAMPLERS), "bound": (SMALL, LEARNED)}  # other objectives are compared by one sampler
KEPT = 15
FIFTH = 0.2


class Sampled(NamedTuple):
    """The first samples of a set, (15, h, w, c), and the Fréchet distance of the whole set."""

    images: np.ndarray
    frechet: float


class Strided(NamedTuple):
    """A network's samples by one sampler, by number of steps."""

    schedule: str
    objective: str
    sampler: str
    by_steps: dict[int, Sampled]


class Sets(NamedTuple):
    """log Fréchet distances of sets of samples, (sets,), with the first fifth of the reverse chain and without it."""

    whole: np.ndarray
    skipped: np.ndarray

    @property
    def factor(self) -> MeanAndError:
        """The factor by which skipping changes the distance."""
        mean, error = mean_and_error(self.skipped - self.whole)
        return MeanAndError(float(np.exp(mean)), float(np.exp(mean) * error))


class Skipping(NamedTuple):
    """Samples of the hybrid networks whose reverse chain starts late.

    Attributes:
        steps: steps of the whole chain.
        shares: skipped shares of the chain, ascending from 0.
        samples: by schedule, a set for each share.
        sets: by schedule, what tests whether skipping a fifth does harm; empty where no fifth is skipped.
        signal: by schedule, the signal's share of the variance where a fifth is skipped.
    """

    steps: int
    shares: list[float]
    samples: dict[str, list[Sampled]]
    sets: dict[str, Sets]
    signal: dict[str, float]


class SampleSets:
    """Draws sets of samples of networks, and measures their Fréchet distance; each set is a stage of the run.

    Args:
        run: the run.
        denoisers: what makes the denoiser of a network, by whether it learns its variance.
        shape: shape of an image.
        distance: the Fréchet distance.
    """

    def __init__(
        self, run: Run[Config], denoisers: Mapping[bool, Callable], shape: tuple[int, ...], distance: FrechetDistance
    ):
        keys = jax.random.split(jax.random.key(run.config.seed + 3), run.config.samples)
        self._draw = {learned: Drawer(run.config, denoise, shape, keys) for learned, denoise in denoisers.items()}
        self._run, self._distance = run, distance

    def __call__(self, network: Trained, sampler: str, steps: int, *, skipped: float = 0.0, index: int = 0) -> Sampled:
        """A set of samples.

        Args:
            network: the network.
            sampler: name of the sampler.
            steps: steps of the whole strided chain.
            skipped: share of the chain that is skipped: the samples start from noise of a later step's σ alone.
            index: number of the set; every set has noise of its own.
        """
        whole = subset_grid(network.process.steps, steps)
        grid = whole[whole <= 1 - skipped + 1e-9]

        def draw() -> Sampled:
            draw = self._draw[network.learned]
            images = draw(network.process, network.params, SAMPLERS[sampler], grid, index).images
            return Sampled(images[:KEPT], self._distance(images))

        return self._run.stage(
            f"samples/{network.name}, {sampler}, {steps} steps, {skipped:g} skipped, set {index}", draw
        )


def strided(networks: Mapping[str, Trained], sets: SampleSets, lengths: Sequence[int]) -> list[Strided]:
    """Samples of strided chains, by network and sampler."""
    return [
        Strided(of.schedule, of.objective, sampler, {n: sets(of, sampler, n) for n in lengths})
        for of in networks.values()
        for sampler in COMPARED.get(of.objective, (SMALL,))
    ]


def skipping(networks: Mapping[str, Trained], sets: SampleSets, config: Config, steps: int) -> Skipping:
    """Samples of the hybrid networks whose reverse chain of `steps` steps starts late."""
    shares = sorted(set(config.skipped))
    hybrid = {of.schedule: of for of in networks.values() if of.objective == "hybrid"}
    samples = {name: [sets(of, LEARNED, steps, skipped=share) for share in shares] for name, of in hybrid.items()}

    def compared(of: Trained) -> Sets:
        logs = [
            np.log([sets(of, LEARNED, steps, skipped=share, index=i).frechet for i in range(config.sets)])
            for share in (0.0, FIFTH)
        ]
        return Sets(*logs)

    tested = {name: compared(of) for name, of in hybrid.items()} if FIFTH in shares else {}
    signal = {name: float(of.process.alpha(1 - FIFTH)) ** 2 for name, of in hybrid.items()}
    return Skipping(steps, shares, samples, tested, signal)
