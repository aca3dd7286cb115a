"""The methods of sampling that the exercise compares."""

import time
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import numpy as np

from experiments.es_ddpm.config import Config
from experiments.kit.autoencoder import Trained
from experiments.kit.drawing import Drawer
from experiments.kit.score_model import Model
from jaxgen.core import fold_in, noise
from jaxgen.diffusion import GaussianProcess, perturb, subset_grid
from jaxgen.samplers import Sampler, ddim, ddpm

VAE, CHAIN = "VAE", "whole chain"
CODE = 2**32 - 1  # folded into a sample's key it draws the VAE's code; 0 is its noise, and 1, 2, … are the steps


class DrawnSet(NamedTuple):
    """A set of samples (n, h, w, c), the calls of the diffusion network, and the seconds that it took."""

    images: np.ndarray
    calls: int
    seconds: float


Method = Callable[[int], DrawnSet]  # of the index of a set; all methods have the same keys for it


def late(start: int) -> str:
    """Name of the method that starts at step T′ of the chain."""
    return f"from T′ = {start}"


def longer(kind: str, steps: int) -> str:
    """Name of the method that takes few longer steps from noise; kind is DDPM or DDIM."""
    return f"{kind}, {steps} longer steps"


def methods(config: Config, vae: Trained, diffusion: Model) -> dict[str, Method]:
    """All methods by name; those of one sampler share its compiled step."""
    chain, steps, shape = diffusion.process, config.timesteps, diffusion.shape
    keys = jax.random.split(jax.random.key(config.seed + 3), config.samples)

    def denoiser(process: GaussianProcess, params):
        return diffusion._replace(process=process).denoise(params, clip=1.0)

    # one object each, so that the drawer compiles each once
    drawer, samplers = Drawer(config, denoiser, shape, keys), {"DDPM": ddpm(), "DDIM": ddim()}

    @jax.jit
    def vae_images(params, keys):
        return vae.generate(params, fold_in(keys, CODE), (config.latents,))

    @jax.jit
    def noised(chain, images, keys, t):
        return perturb(chain, images, t, noise(fold_in(keys, 0), shape))

    def vae_alone(index: int) -> tuple[np.ndarray, int]:
        return np.asarray(vae_images(vae.params, drawer.keys_of(index))), 0

    def from_noise(sampler: Sampler, n: int, index: int) -> tuple[np.ndarray, int]:
        return drawer(chain, diffusion.params, sampler, subset_grid(steps, n), index)

    def start_late(start: int, index: int) -> tuple[np.ndarray, int]:
        images = vae_images(vae.params, drawer.keys_of(index))
        begin = noised(chain, images, drawer.keys_of(index), start / steps)
        return drawer(chain, diffusion.params, samplers["DDPM"], last_steps(steps, start), index, begin)

    starts = sorted(set(config.starts))
    found = {VAE: vae_alone}
    found |= {late(n): partial(start_late, n) for n in starts}
    for kind, sampler in samplers.items():
        found |= {longer(kind, n): partial(from_noise, sampler, n) for n in starts}
    found[CHAIN] = partial(from_noise, samplers["DDPM"], steps)
    return {name: partial(timed, draw) for name, draw in found.items()}


def timed(draw: Callable[[int], tuple[np.ndarray, int]], index: int) -> DrawnSet:
    """A set of samples and its time."""
    started = time.perf_counter()
    images, calls = draw(index)
    return DrawnSet(images, calls, time.perf_counter() - started)


def last_steps(steps: int, n: int) -> np.ndarray:
    """The last n of a chain's steps as times: n/T, …, 1/T, 0."""
    return subset_grid(steps, steps)[steps - n :]
