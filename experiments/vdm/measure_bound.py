"""The bound of held-out images under any schedule."""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments.vdm.train import Objective
from jaxgen.diffusion import GaussianProcess
from jaxgen.metrics import bits_per_dim

_BATCH = 500


class Draws(NamedTuple):
    """The terms of the bound in bits/dim: of each image, and of each draw of a time and an image."""

    prior: np.ndarray  # (images,)
    diffusion: np.ndarray  # (draws, images)
    reconstruction: np.ndarray  # (draws, images)
    t: np.ndarray  # (draws, images)

    @property
    def total(self) -> np.ndarray:
        """The estimate of each image's bound, (images,)."""
        return self.prior + self.diffusion.mean(0) + self.reconstruction.mean(0)


class BoundEstimator:
    """Estimates the bound of held-out images; the noise and the times are the same for every process.

    Args:
        objective: the bound.
        images: (n, h, w, c) in [−1, 1].
        draws: times for each image.
        seed: seed of noise and times.
    """

    def __init__(self, objective: Objective, images: np.ndarray, draws: int, seed: int):
        self.images = jnp.asarray(images)
        self._draws, self._seed, self._key = draws, seed, jax.random.key(seed)
        self._terms = jax.jit(partial(_terms, objective), static_argnames="steps")

    def __call__(self, process: GaussianProcess, params: Any, steps: int | None = None) -> Draws:
        """Evaluate each image at `draws` times; all times are stratified over [0, 1], or {1/T, …, 1} for T steps."""
        count, rng = len(self.images), np.random.default_rng(self._seed)
        n = self._draws * count
        u = ((rng.permutation(n) + rng.random(n)) / n).reshape(self._draws, count)
        found = [self.at(process, params, i, row, steps) for i, row in enumerate(u)]
        prior, diffusion, reconstruction = (np.stack(term) for term in zip(*found, strict=True))
        return Draws(prior[0], diffusion, reconstruction, u)

    def at(
        self, process: GaussianProcess, params: Any, index: int, u: np.ndarray, steps: int | None = None
    ) -> tuple[np.ndarray, ...]:
        """Prior, diffusion and reconstruction of the first len(u) images, each at one time u in [0, 1].

        Args:
            process: the process.
            params: the network's parameters.
            index: every index has noise of its own.
            u: (k,) times; for T steps the step whose interval holds u.
            steps: T, or None for continuous time.
        """
        key, u = jax.random.fold_in(self._key, index), np.float32(u)
        found = []
        for lo in range(0, len(u), _BATCH):
            part = slice(lo, min(lo + _BATCH, len(u)))
            found.append(
                self._terms(process, params, jax.random.fold_in(key, lo), self.images[part], u[part], steps=steps)
            )
        return tuple(-bits_per_dim(np.concatenate(term), self.images[0].size) for term in zip(*found, strict=True))


def _terms(objective, process, params, key, x0, u, *, steps):
    t = u if steps is None else (jnp.minimum(jnp.floor(u * steps), steps - 1) + 1) / steps
    return objective(key, process, params, x0, times=lambda *_: t, steps=steps)
