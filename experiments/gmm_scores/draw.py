"""Every way of sampling, compiled once for all networks of a form and all seeds; each drawing is a stage of the run."""

from collections.abc import Callable
from functools import partial
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments.gmm_scores.config import Config
from experiments.gmm_scores.train import Ladders, Models
from experiments.kit.run import Run
from experiments.kit.toy_sampling import anneal, exact_score, learned_field, on_levels, uniform_starts, walk
from jaxgen.diffusion import karras_grid
from jaxgen.distributions import GaussianMixture
from jaxgen.samplers import ddim, heun, sample

CIRCLE = 6  # chains that begin on a circle, whose paths are shown
SAMPLERS = {"DDIM": ddim(), "Heun": heun()}


class Walk(NamedTuple):
    """Chains at one noise level.

    Attributes:
        paths: (frames + 1, CIRCLE, 2), of the chains that begin on a circle.
        ends: (n, 2), last states of the chains that begin all over the square.
    """

    paths: np.ndarray
    ends: np.ndarray


class Drawing:
    """Draws samples by every method and seed.

    Args:
        run: the run.
        models: the networks.
        ladders: the noise levels of annealed Langevin dynamics.
        half: half the side of the square on which chains start.
    """

    def __init__(self, run: Run[Config], models: Models, ladders: Ladders, half: float):
        self.run, self.config, self.models, self.ladders, self.half = run, run.config, models, ladders, half
        self.exact = exact_score(models.mixture)
        self._compiled = {}

    def key(self, seed: int, use: int) -> jax.Array:
        """The key of a seed's draws for one use."""
        return jax.random.fold_in(jax.random.fold_in(jax.random.key(self.config.seed + 1), seed), use)

    def starts(self, seed: int) -> jax.Array:
        """Starts (samples, 2) all over the square."""
        return uniform_starts(self.key(seed, 0), self.config.samples, self.half)

    def walk(self, sigma: float, seed: int, *, noise_scale: float = 1.0) -> Walk:
        """Langevin dynamics at one level, or gradient ascent for noise_scale = 0.

        Args:
            sigma: the level whose network gives the score; 0 for the exact score of p.
            seed: which training and which starts.
            noise_scale: factor of the noise.
        """
        net, steps = self.models.net, self.config.langevin_steps
        # scores shrink as σ² grows: with a constant step ascent would not arrive
        step_size = self.config.step_size * max(sigma, 1.0) ** 2

        def compute(params, key, start, sigma, step_size):
            score = partial(self.exact if params is None else partial(net.apply, params), sigma=sigma)
            options = {"steps": steps, "frames": min(200, steps), "noise_scale": noise_scale}
            return walk(score, key, start, step_size=step_size, **options)

        def draw():
            angles = 2 * np.pi * (np.arange(CIRCLE) + 0.5) / CIRCLE
            circle = jnp.asarray(0.8 * self.half * np.stack([np.cos(angles), np.sin(angles)], -1), jnp.float32)
            start = jnp.concatenate([circle, self.starts(seed)])
            params = self.models.single[sigma][seed].params if sigma else None
            run = self._jitted(("walk", params is None, noise_scale), compute)
            path = np.asarray(run(params, self.key(seed, 1), start, sigma, step_size))
            return Walk(path[:, :CIRCLE], path[-1, CIRCLE:])

        return self.run.stage(f"samples/{'Langevin' if noise_scale else 'ascent'}/sigma-{sigma}-seed-{seed}", draw)

    def anneal(self, kind: Literal["exact", "short", "full"], seed: int) -> np.ndarray:
        """Annealed Langevin dynamics down a ladder: the states (levels + 1, samples, 2), those of the start first.

        Args:
            kind: the ladder and its networks; "exact" goes down the short ladder by the exact scores.
            seed: which training and which starts.
        """
        sigmas = self.ladders.full if kind == "full" else self.ladders.short
        # so that the step is step_size at σ = 1
        options = {"step_size": self.config.step_size * float(sigmas[-1]) ** 2, "steps": self.config.level_steps}

        def compute(params, key, start):
            score = self.exact if params is None else partial(self.models.net.apply, params)
            return anneal(score, key, start, sigmas, **options)

        def draw():
            params = None if kind == "exact" else getattr(self.models, kind)[seed].params
            return self._jitted(("anneal", kind), compute)(params, self.key(seed, 2), self.starts(seed))

        return self.run.stage(f"samples/annealed/{kind}-seed-{seed}", draw)

    def denoised(self, seed: int) -> np.ndarray:
        """The ends (samples, 2) of the short ladder's chains, and then x̂0 = x + σ² s(x, σ) at the last σ."""
        x, sigma = self.anneal("short", seed)[-1], float(self.ladders.short[-1])
        return x + sigma**2 * learned_field(self.models.net, self.models.short[seed].params, x, sigma)

    def flow(
        self, sampler: Literal["DDIM", "Heun"], seed: int, *, matched: bool = True, exact: bool = False
    ) -> np.ndarray:
        """Samples (samples, 2) of the probability flow, from sigma_max down to sigma_min and then 0.

        Args:
            sampler: the solver.
            seed: which training and which starts.
            matched: start from the Gaussian with the moments of the noised data; otherwise from N(0, σ² I).
            exact: use the exact scores; otherwise those of the full ladder's network.
        """
        first, last = float(self.ladders.full[0]), float(self.ladders.full[-1])

        def compute(params, key, start):
            score = self.exact if exact else partial(self.models.net.apply, params)
            process, denoise = on_levels(score, first)
            grid, keys = karras_grid(process, self.config.ode_steps, last, first), jax.random.split(key, len(start))
            return sample(keys, process, denoise, SAMPLERS[sampler], grid, (2,), start=start)

        def draw():
            eps = jax.random.normal(self.key(seed, 3), (self.config.samples, 2))
            start = matched_start(self.models.mixture, eps, first) if matched else first * eps
            params = None if exact else self.models.full[seed].params
            return self._jitted(("flow", sampler, exact), compute)(params, self.key(seed, 4), start)

        name = f"{sampler}-{'exact' if exact else 'network'}{'' if matched else '-plain'}-seed-{seed}"
        return self.run.stage(f"samples/flow/{name}", draw)

    def _jitted(self, name: tuple, compute: Callable[..., Any]) -> Callable[..., Any]:
        return self._compiled.setdefault(name, jax.jit(compute))


def moments(mixture: GaussianMixture) -> tuple[np.ndarray, np.ndarray]:
    """Mean (d,) and covariance (d, d) of a mixture."""
    weights, means, covariances = (np.asarray(part, np.float64) for part in jax.tree.leaves(mixture))
    mean = weights @ means
    offsets = means - mean
    return mean, np.einsum("k,kij->ij", weights, covariances) + np.einsum("k,ki,kj->ij", weights, offsets, offsets)


def matched_start(mixture: GaussianMixture, eps: jax.Array, sigma: float) -> jax.Array:
    """Draws of the Gaussian with the mean and covariance of the mixture under noise σ, made from eps (n, d)."""
    mean, covariance = moments(mixture)
    factor = np.linalg.cholesky(covariance + sigma**2 * np.eye(len(mean)))
    return jnp.asarray(mean + np.asarray(eps) @ factor.T, jnp.float32)
