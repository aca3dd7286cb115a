"""A trained model, sampled by any method in timed batches."""

import time
from functools import partial
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import numpy as np

from jaxgen.diffusion import GaussianProcess, denoiser, subset_grid
from jaxgen.samplers import Sampler, sample


class Model(NamedTuple):
    """A trained network and what it takes to sample it."""

    process: GaussianProcess
    net: nn.Module
    params: Any
    shape: tuple[int, ...]

    def sample(self, params, keys, labels, start, sampler: Sampler, steps: int, trajectory: bool = False):
        """Images by `steps` steps of a sampler; x̂0 is held to the images' range, as DDPM does."""
        denoise = denoiser(self.process, partial(self.net.apply, params), cond=labels, clip=1.0)
        times = subset_grid(self.process.steps, steps)
        return sample(keys, self.process, denoise, sampler, times, self.shape, start=start, trajectory=trajectory)


class Drawn(NamedTuple):
    """Samples and what they cost: network calls, seconds to compile, and seconds per batch of 50 (median)."""

    images: np.ndarray
    calls: int
    compile_seconds: float
    seconds: float


def draw(model: Model, sampler: Sampler, steps: int, keys, labels, start=None) -> Drawn:
    """Samples, one per key, in batches of 50 through one compiled function, from the prior or the states `start`."""

    def rows(i):
        return jax.tree.map(lambda x: x[i : i + 50], (keys, labels, start))

    started = time.perf_counter()
    generate = jax.jit(partial(model.sample, sampler=sampler, steps=steps))
    compiled = generate.lower(model.params, *rows(0)).compile()
    compile_seconds, images, seconds = time.perf_counter() - started, [], []
    for i in range(0, len(keys), 50):
        started = time.perf_counter()
        images.append(np.asarray(compiled(model.params, *rows(i))))
        seconds.append(time.perf_counter() - started)
    return Drawn(np.concatenate(images), steps, compile_seconds, float(np.median(seconds)))
