"""Samples of every method: how near they come to the data, by how many calls, and whether they stay there."""

import time
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np

from experiments.ebm.config import Config
from experiments.ebm.densities import DENSITIES
from experiments.ebm.methods import Method
from experiments.ebm.train import Trained, of_seed
from experiments.kit.statistics import over_repetitions
from jaxgen import mcmc
from jaxgen.metrics import MeanAndError, rbf_kernel
from jaxgen.score_matching import score_of_energy

BANDWIDTHS = (0.2, 0.6, 2.0)
STEPS = {
    "persistent": (3, 10, 30, 100, 300, 1000),
    "dsm": (3, 10, 30, 100, 300, 1000),
    "recovery": (1, 3, 10, 30, 100),
    "ddpm": (3, 10, 30, 100),
}
FRAMES, THIN = 10, 100  # of the chains that go on


class Samples(NamedTuple):
    """Samples of a method.

    Attributes:
        x: of the first seed (n, 2).
        mmds: MMD to the data over that of the truth's own draws, of each seed (seeds,).
        calls: network calls for one sample.
        seconds: for all samples of a seed, the least of three runs.
    """

    x: np.ndarray
    mmds: np.ndarray
    calls: int
    seconds: float

    @property
    def mmd(self) -> MeanAndError:
        """MMD over seeds."""
        return over_repetitions(self.mmds)


class Cost(NamedTuple):
    """The MMD over its floor, a mean over seeds, by network calls."""

    calls: np.ndarray
    mmd: np.ndarray


class Drift(NamedTuple):
    """The MMD over its floor of chains that go on in a learned energy from a method's samples, by steps."""

    steps: np.ndarray
    mmd: np.ndarray


class Distance:
    """The MMD of samples to a fixed set of draws, over that of other draws of the density: 1 is as good as the truth.

    It is the root of the biased estimate (Gretton et al. 2012, eq. 5), which is positive between draws of one law too.
    """

    def __init__(self, name: str, n: int, seed: int, draws: int = 6):
        keys = jax.random.split(jax.random.key(seed), draws + 1)
        draw = lambda key, n: np.asarray(DENSITIES[name]().sample(key, (n, 2)), np.float64)  # noqa: E731
        self._kernel, self._reference = partial(rbf_kernel, bandwidths=BANDWIDTHS), draw(keys[0], 2 * n)
        self._inner = self._kernel(self._reference, self._reference).mean()
        self.draws = draw(keys[1], n)
        self.floor = float(np.mean([self._mmd(draw(key, n)) for key in keys[1:]]))

    def __call__(self, x: np.ndarray) -> float:
        """The distance of x (n, 2); infinite where x is not finite."""
        x = np.asarray(x, np.float64)
        return self._mmd(x) / self.floor if np.isfinite(x).all() else float("inf")

    def _mmd(self, x: np.ndarray) -> float:
        squared = self._kernel(x, x).mean() + self._inner - 2 * self._kernel(x, self._reference).mean()
        return float(np.sqrt(max(squared, 0.0)))


def samples(config: Config, methods: dict[str, Method], name: str, trained: dict[str, Trained]) -> dict[str, Samples]:
    """Samples of every method, and draws of the truth."""
    distance = Distance(name, config.samples, config.seed)
    truth = Samples(distance.draws, np.full(config.seeds, distance(distance.draws)), 0, 0.0)
    return {"truth": truth} | {
        key: samples_of(config, method, trained[key], distance) for key, method in methods.items()
    }


def samples_of(config: Config, method: Method, trained: Trained, distance: Distance) -> Samples:
    """Samples of one method."""
    keys = [jax.random.split(jax.random.key(100 + seed), config.samples) for seed in range(config.seeds)]
    draw = partial(_draw, method.draw, method.sampling_steps)
    drawn = [np.asarray(draw(keys[seed], of_seed(trained, seed))) for seed in range(config.seeds)]
    params, seconds = of_seed(trained, 0), []
    for _ in range(3):
        began = time.perf_counter()
        jax.block_until_ready(draw(keys[0], params))
        seconds.append(time.perf_counter() - began)
    mmds = np.array([distance(x) for x in drawn])
    return Samples(drawn[0], mmds, method.calls(method.sampling_steps), min(seconds))


def costs(config: Config, methods: dict[str, Method], name: str, trained: dict[str, Trained]) -> dict[str, Cost]:
    """The distance by calls, of the methods that learn a density and of the DDPM."""
    distance = Distance(name, config.samples, config.seed)

    def of(key: str) -> Cost:
        method, most = methods[key], methods[key].sampling_steps * 5
        steps = [n for n in STEPS[key] if n <= most]
        seeds = range(config.seeds)
        keys = [jax.random.split(jax.random.key(200 + seed), config.samples) for seed in seeds]
        draw = partial(_draw, method.draw)
        mmd = [np.mean([distance(draw(n, keys[seed], of_seed(trained[key], seed))) for seed in seeds]) for n in steps]
        return Cost(np.array([method.calls(n) for n in steps]), np.array(mmd))

    return {key: of(key) for key in STEPS}


def drifts(config: Config, methods: dict[str, Method], name: str, trained: dict[str, Trained]) -> dict[str, Drift]:
    """Chains of the energies that go on, from the samples that each method draws; a mean over seeds."""
    distance = Distance(name, config.samples, config.seed)
    thin = THIN if config.sampling_steps >= THIN else 2

    def of(method: Method, trained: Trained, step_size: float) -> Drift:
        paths = [
            np.asarray(
                _go_on(
                    method,
                    thin,
                    step_size,
                    jax.random.split(jax.random.key(300 + seed), config.samples),
                    of_seed(trained, seed),
                )
            )
            for seed in range(config.seeds)
        ]
        mmd = np.mean([[distance(x) for x in path] for path in paths], axis=0)
        return Drift(thin * np.arange(FRAMES + 1), mmd)

    sizes = {"short_run": config.short_step_size}
    return {
        key: of(method, trained[key], sizes.get(key, config.step_size))
        for key, method in methods.items()
        if method.energy is not None
    }


# Compiled once for a method and a number of steps: those of both densities are the same functions.
@partial(jax.jit, static_argnums=(0, 1))
def _draw(draw: Callable[[jax.Array, Any, int], jax.Array], steps: int, keys: jax.Array, params: Any) -> jax.Array:
    """The samples of a method in so many steps."""
    return draw(keys, params, steps)


@partial(jax.jit, static_argnums=(0, 1, 2))
def _go_on(method: Method, thin: int, step_size: float, keys: jax.Array, params: Any) -> jax.Array:
    """The frames of Langevin dynamics in a method's energy, from its samples."""
    start = method.draw(keys, params, method.sampling_steps)
    chain = mcmc.langevin(score_of_energy(method.energy(params)), step_size)
    return mcmc.run(keys, chain, start, frames=FRAMES, thin=thin)
