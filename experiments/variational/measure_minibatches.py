"""Batches of data: bias and noise of their ELBO, and natural-gradient ascent by them."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments.variational.config import Config
from experiments.variational.mixture import mixture_rows, mixture_start, natural_elbo, natural_steps
from jaxgen import variational
from jaxgen.metrics import MeanAndError, mean_and_error
from jaxgen.variational import bayesian_mixture


class Ascent(NamedTuple):
    """Ascents by batches of one size: how far the ELBO is below its optimum, in nats."""

    passes: np.ndarray  # (k,), passes over the data
    below: np.ndarray  # (runs, k)

    @property
    def after_one_pass(self) -> MeanAndError:
        """After one pass, over the runs."""
        return mean_and_error(self.below[:, np.searchsorted(self.passes, 1.0)])

    @property
    def at_the_end(self) -> MeanAndError:
        """At the end, over the runs."""
        return mean_and_error(self.below[:, -1])


class Estimate(NamedTuple):
    """The estimate of the ELBO from one batch."""

    bias: float  # of its mean over all batches, relative to the ELBO
    std: float  # over the batches, in nats


class Minibatches(NamedTuple):
    """Ascents and estimates by the size of a batch."""

    whole: Ascent  # by all data with ρ = 1, which is coordinate ascent
    falling: dict[int, Ascent]  # with falling steps, by size, ascending
    constant: Ascent  # with ρ = 0.1, by the smallest size
    estimates: dict[int, Estimate]  # by size

    @property
    def largest_bias(self) -> float:
        """The largest bias of an estimate, relative to the ELBO."""
        return max(abs(of.bias) for of in self.estimates.values())


def minibatches(config: Config) -> Minibatches:
    """Estimate the ELBO at the start by batches, and climb by them."""
    x = mixture_rows(np.random.default_rng(config.seed + 3), config.many_rows, config.separation)
    start, n = mixture_start(jax.random.key(config.seed + 4)), len(x)
    keys = jax.random.split(jax.random.key(config.seed + 5), config.seeds)
    elbo = jax.jit(partial(jax.lax.map, partial(natural_elbo, x)))

    def ascend(size: int, rate: Callable, passes: int, keys: jax.Array) -> tuple[np.ndarray, np.ndarray]:
        """Passes, about evenly in their logarithm and a whole one among them, and the ELBO after each."""
        path = jax.jit(jax.vmap(lambda key: natural_steps(key, x, size, passes + 1, start, rate)))(keys)
        steps = np.union1d(np.geomspace(1, passes * n // size, 120).astype(int), n // size)
        elbos = [elbo(jax.tree.map(lambda leaf, i=i: leaf[i, steps], path)) for i in range(len(keys))]
        return steps * size / n, np.stack(elbos)

    optimum = float(ascend(n, lambda i: 1.0, 500, keys[:1])[1].max())

    def below(size: int, rate: Callable, keys: jax.Array) -> Ascent:
        passes, elbos = ascend(size, rate, config.many_passes, keys)
        return Ascent(passes, optimum - elbos)

    return Minibatches(
        whole=below(n, lambda i: 1.0, keys[:1]),
        falling={size: below(size, variational.robbins_monro(1.0, 0.7), keys) for size in config.batch_sizes},
        constant=below(config.batch_sizes[0], lambda i: 0.1, keys),
        estimates={size: _estimate(x, start, size) for size in config.batch_sizes},
    )


def _estimate(x: jax.Array, natural: bayesian_mixture.Natural, size: int) -> Estimate:
    bounds = batch_bounds(x, natural, size)
    return Estimate(float(bounds.mean() / float(natural_elbo(x, natural)) - 1), float(bounds.std()))


def batch_bounds(x: jax.Array, natural: bayesian_mixture.Natural, size: int) -> np.ndarray:
    """The N/B estimate of the ELBO from each of the N/B batches of B data, (N/B,)."""
    nothing = natural_elbo(x[:0], natural)  # of no data it is −KL(q(μ) ‖ p(μ))
    batches = jnp.reshape(x, (-1, size, x.shape[-1]))
    of_data = jax.vmap(natural_elbo, (0, None))(batches, natural) - nothing
    return np.asarray(len(batches) * of_data + nothing)
