"""How the samples of every method cover the mixtures of the plane."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np

from experiments.diffusion_gan.config import Config
from experiments.diffusion_gan.mixtures import MIXTURES, Mixture
from experiments.diffusion_gan.plane_ddpm import DDPM
from experiments.diffusion_gan.train_plane import Plane
from experiments.kit.devices import cores_mesh
from experiments.kit.run import Run
from jaxgen.metrics import ModeCoverage, mode_coverage
from jaxgen.training import batch_sharding, place

FOUND = 0.005  # share of good samples with which a mode counts as found
REAL = "the mixture"


class Coverage(NamedTuple):
    """How a method covers a mixture.

    Attributes:
        seeds: the coverage of each seed.
        calls: network calls for a sample; None for the mixture itself.
        samples: samples (n, 2) of the first seed.
    """

    seeds: list[ModeCoverage]
    calls: int | None
    samples: np.ndarray

    def of(self, field: str) -> np.ndarray:
        """A field of `ModeCoverage` for each seed, (seeds,)."""
        return np.array([getattr(found, field) for found in self.seeds], np.float64)


class Draw(NamedTuple):
    """How a method draws: whose parameters it takes, (parameters, keys) -> samples (n, 2), and its calls."""

    trained: str
    function: Callable[[Any, jax.Array], jax.Array]
    calls: int


def measure_plane(run: Run[Config], plane: Plane) -> dict[str, dict[str, Coverage]]:
    """The coverage by mixture and method, and that of as many draws of the mixture itself."""
    return run.stage("coverage", partial(cover, run.config, plane))


def draws(config: Config, plane: Plane) -> dict[str, Draw]:
    """How each trained method draws."""
    few, whole = config.denoising_steps, config.timesteps
    found = {
        (name if game.calls == 1 else f"{name}, {few} steps"): Draw(name, game.draw, game.calls)
        for name, game in plane.games.items()
    }
    return found | {f"{DDPM}, {steps} steps": Draw(DDPM, plane.ddpm.draw(steps), steps) for steps in (few, whole)}


def cover(config: Config, plane: Plane) -> dict[str, dict[str, Coverage]]:
    """The coverage of both mixtures; the copies of a method draw side by side, and the cores share them."""
    seeds, few, copies = config.seeds, config.denoising_steps, config.seeds * len(MIXTURES)
    keys = jax.random.split(jax.random.key(config.seed + 3), (copies, config.plane_samples))
    mesh, found = cores_mesh(config, copies, least=1), {name: {} for name in MIXTURES}

    def add(mixture: str, method: str, samples: np.ndarray, calls: int | None) -> None:
        each = [coverage(MIXTURES[mixture], x) for x in samples]
        found[mixture][method] = Coverage(each, calls, samples[0])

    for method, draw in draws(config, plane).items():
        inputs = plane.params[draw.trained], keys
        if mesh is not None:
            inputs = place(inputs, batch_sharding(mesh))
        samples = np.asarray(jax.jit(jax.vmap(draw.function))(*inputs))
        for name, own in zip(MIXTURES, np.split(samples, len(MIXTURES)), strict=True):
            add(name, method, own, draw.calls)
    for i, (name, mixture) in enumerate(MIXTURES.items()):
        exactly = jax.jit(jax.vmap(plane.ddpm.draw_exactly(mixture, few), (None, 0)))
        own = np.asarray(exactly(None, keys[i * seeds : (i + 1) * seeds]))
        add(name, f"exact score, {few} steps", own, few)
        drawn = [mixture.sample(2**16 + config.seed + seed, config.plane_samples) for seed in range(seeds)]
        add(name, REAL, np.stack(drawn), None)
    return found


def coverage(mixture: Mixture, samples: np.ndarray) -> ModeCoverage:
    """The modes found, the share of samples within 3σ of one, and the KL divergence of the modes' histogram."""
    least = max(1, round(FOUND * len(samples)))
    return mode_coverage(samples, mixture.centres, mixture.std, min_samples=least)
