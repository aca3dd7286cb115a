"""The mixture experiment's draws: every way of sampling, compiled once for all networks of a kind and all seeds."""

from collections.abc import Callable
from functools import partial
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments.toy_sampling import anneal, exact_score, learned_field, on_levels, uniform_starts, walk
from jaxgen.diffusion import karras_grid
from jaxgen.distributions import GaussianMixture
from jaxgen.samplers import ddim, heun, sample

EXACT = "exact ∇ log p"
DDIM, HEUN = ddim(), heun()


class Drawer:
    """Draws by every method and seed, compiled once for all networks of a kind, and drawn once."""

    FEW = 6  # chains that begin on a circle, ahead of those that begin all over the square

    def __init__(self, config, models, ladder, half: float):
        self.config, self.models, self.ladder, self.half = config, models, ladder, half
        self.exact = exact_score(models.mixture)
        self._compiled, self._drawn = {}, {}

    def key(self, seed: int, use: int) -> jax.Array:
        """The key of a seed's draws for one use."""
        return jax.random.fold_in(jax.random.fold_in(jax.random.key(self.config.seed + 1), seed), use)

    def starts(self, seed: int) -> jax.Array:
        """Starts all over the square."""
        return uniform_starts(self.key(seed, 0), self.config.samples, self.half)

    def walk(self, sigma: float, seed: int, *, noise_scale: float = 1.0) -> np.ndarray:
        """Paths (frames, FEW + samples, 2) of Langevin dynamics, or of ascent for noise_scale = 0.

        By p's exact score for sigma = 0, else by the network of that level.
        """
        steps, net = self.config.langevin_steps, self.models.net
        # as σ² grows, scores shrink: else ascent would not arrive
        options = {"step_size": self.config.step_size * max(sigma, 1.0) ** 2, "steps": steps, "frames": min(200, steps)}

        def run(params, key, start):
            score = partial(net.apply, params, sigma=sigma) if sigma else self.models.mixture.score
            return walk(score, key, start, noise_scale=noise_scale, **options)

        angles = 2 * np.pi * (np.arange(self.FEW) + 0.5) / self.FEW
        ring = jnp.asarray(0.8 * self.half * np.stack([np.cos(angles), np.sin(angles)], -1), jnp.float32)
        params = self.models.single[sigma][seed].params if sigma else None
        start = jnp.concatenate([ring, self.starts(seed)])
        return self._draw(("walk", sigma, noise_scale), seed, run, params, self.key(seed, 1), start)

    def anneal(self, kind: Literal["exact", "homework", "longer"], seed: int) -> np.ndarray:
        """All levels' states (levels + 1, samples, 2) of annealed Langevin dynamics, by a kind of scores.

        The exact ones go down the homework's ladder.
        """
        sigmas = self.ladder.longer if kind == "longer" else self.ladder.homework
        # so that the step is step_size at σ = 1
        options = {"step_size": self.config.step_size * float(sigmas[-1]) ** 2, "steps": self.config.level_steps}

        def run(params, key, start):
            score = self.exact if kind == "exact" else partial(self.models.net.apply, params)
            return anneal(score, key, start, sigmas, **options)

        params = None if kind == "exact" else getattr(self.models, kind)[seed].params
        return self._draw(("anneal", kind), seed, run, params, self.key(seed, 2), self.starts(seed))

    def denoised(self, seed: int) -> np.ndarray:
        """The homework's annealed chains and then x̂0 = x + σ² s(x, σ) at the last σ."""
        x, sigma = self.anneal("homework", seed)[-1], float(self.ladder.homework[-1])
        return x + sigma**2 * learned_field(self.models.net, self.models.homework[seed].params, x, sigma)

    def ode(self, sampler, seed: int, *, matched: bool = True, exact: bool = False) -> np.ndarray:
        """A sampler of the probability flow, from a Gaussian with the moments of the noised data or from N(0, σ₁² I).

        By the long ladder's network, or by the exact scores.
        """
        first, last = float(self.ladder.longer[0]), float(self.ladder.longer[-1])

        def run(params, key, start):
            score = self.exact if exact else partial(self.models.net.apply, params)
            process, denoise = on_levels(score, first)
            grid = karras_grid(process, self.config.ode_steps, last, first)
            return sample(jax.random.split(key, len(start)), process, denoise, sampler, grid, (2,), start=start)

        eps = jax.random.normal(self.key(seed, 3), (self.config.samples, 2))
        start = matched_start(self.models.mixture, eps, first) if matched else first * eps
        params = self.models.longer[seed].params
        return self._draw(("ode", sampler, exact), seed, run, params, self.key(seed, 4), start, ("matched", matched))

    def _draw(self, name: tuple, seed: int, run: Callable, params, key, start, more: tuple = ()) -> np.ndarray:
        run = self._compiled.setdefault(name, jax.jit(run))
        if (name, seed, more) not in self._drawn:
            self._drawn[name, seed, more] = np.asarray(run(params, key, start))
        return self._drawn[name, seed, more]


def moments(mixture: GaussianMixture) -> tuple[np.ndarray, np.ndarray]:
    """Mean (d,) and covariance (d, d) of a mixture."""
    weights, means, covariances = (np.asarray(part, np.float64) for part in jax.tree.leaves(mixture))
    mean = weights @ means
    offsets = means - mean
    return mean, np.einsum("k,kij->ij", weights, covariances) + np.einsum("k,ki,kj->ij", weights, offsets, offsets)


def matched_start(mixture: GaussianMixture, eps: jax.Array, sigma: float) -> jax.Array:
    """Draws of the Gaussian that has the mean and covariance of the mixture under noise σ."""
    mean, covariance = moments(mixture)
    factor = np.linalg.cholesky(covariance + sigma**2 * np.eye(len(mean)))
    return jnp.asarray(mean + np.asarray(eps) @ factor.T, jnp.float32)


class Method(NamedTuple):
    """A way of sampling: σ of the law it is to end in, its network calls, and its draws (n, 2) of a seed."""

    sigma: float
    calls: int
    draw: Callable[[int], np.ndarray]


def methods(draw: Drawer) -> dict[str, Method]:
    """All of them, by name."""
    config, models = draw.config, draw.models
    short, longer, steps, ode = draw.ladder.homework, draw.ladder.longer, config.langevin_steps, config.ode_steps
    span, deep = f"[1, {short[0]:g}]", f"[{longer[-1]:g}, {longer[0]:g}]"
    calls, longer_calls = config.level_steps * len(short), config.level_steps * len(longer)

    def chain(sigma, noise_scale=1.0):
        return lambda seed: draw.walk(sigma, seed, noise_scale=noise_scale)[-1, draw.FEW :]

    found = {}
    for name, scale in (("ascent", 0.0), ("Langevin", 1.0)):
        found[f"{name}, {EXACT}"] = Method(0.0, steps, chain(0.0, scale))
        for sigma in models.single:
            found[f"{name}, network σ = {sigma:g}"] = Method(sigma * scale, steps, chain(sigma, scale))
    return found | {
        "annealed to σ = 1, exact scores": Method(1.0, calls, lambda seed: draw.anneal("exact", seed)[-1]),
        f"annealed to σ = 1, network {span}": Method(1.0, calls, lambda seed: draw.anneal("homework", seed)[-1]),
        "the same, and x̂0 = x + σ² s": Method(0.0, calls + 1, draw.denoised),
        f"annealed to σ = {longer[-1]:g}, network {deep}": Method(
            float(longer[-1]), longer_calls, lambda seed: draw.anneal("longer", seed)[-1]
        ),
        f"DDIM, network {deep}, from N(0, σ² I)": Method(0.0, ode, lambda seed: draw.ode(DDIM, seed, matched=False)),
        f"DDIM, network {deep}": Method(0.0, ode, lambda seed: draw.ode(DDIM, seed)),
        f"Heun, network {deep}": Method(0.0, 2 * ode - 1, lambda seed: draw.ode(HEUN, seed)),
        "Heun, exact scores": Method(0.0, 2 * ode - 1, lambda seed: draw.ode(HEUN, seed, exact=True)),
    }
