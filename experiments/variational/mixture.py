"""A mixture of two Gaussians on a line with unknown means: its exact evidence, and natural-gradient ascent."""

import math
from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from jaxgen import variational
from jaxgen.variational import bayesian_mixture

PRIOR_VARIANCE = 4.0


def mixture_rows(rng: np.random.Generator, n: int, separation: float) -> jax.Array:
    """n draws (n, 1) of two unit Gaussians of equal weights, `separation` apart."""
    side = np.where(rng.random((n, 1)) < 0.5, -0.5, 0.5)
    return jnp.asarray(separation * side + rng.normal(size=(n, 1)))


def mixture_start(key: jax.Array) -> bayesian_mixture.Natural:
    """Means drawn from N(0, 1), with variances of 1."""
    return bayesian_mixture.Natural(jnp.ones(2), jax.random.normal(key, (2, 1)))


def mixture_log_joint(x: jax.Array, means: jax.Array) -> jax.Array:
    """log p(x, μ₁, μ₂), the assignments summed out, at means (n, 2)."""
    joint = variational.minibatch(
        partial(bayesian_mixture.log_prior, PRIOR_VARIANCE), bayesian_mixture.log_likelihood, x, len(x)
    )
    return jax.lax.map(lambda pair: joint(pair[:, None]), means, batch_size=4096)


@jax.jit
def mixture_log_evidence(x: jax.Array) -> jax.Array:
    """log p(x) of two components, as a sum over a grid."""
    wide = 7 * math.sqrt(PRIOR_VARIANCE)
    # no posterior is narrower than (n + 1/4)^−½, twice the step: sums of Gaussians on such a grid err by e^{−8π²}
    points = 2 * math.ceil(2 * wide * math.sqrt(len(x) + 1)) + 1
    grid = jnp.linspace(-wide, wide, points)
    means = jnp.stack(jnp.meshgrid(grid, grid), -1).reshape(-1, 2)
    return jax.nn.logsumexp(mixture_log_joint(x, means)) + 2 * math.log(2 * wide / (points - 1))


def natural_elbo(x: jax.Array, natural: bayesian_mixture.Natural) -> jax.Array:
    """The mixture's ELBO at natural parameters, the assignments at their best."""
    return bayesian_mixture.elbo(PRIOR_VARIANCE, x, bayesian_mixture.from_natural(x, natural))


def natural_steps(
    key: jax.Array, x: jax.Array, size: int, passes: int, natural: bayesian_mixture.Natural, rate: Callable
) -> bayesian_mixture.Natural:
    """The parameters before every step of natural-gradient ascent by batches, drawn with replacement if not whole."""

    def target(key, natural):
        batch = x if size == len(x) else jax.random.choice(key, x, (size,))
        return bayesian_mixture.natural_target(PRIOR_VARIANCE, batch, len(x), natural)

    steps = math.ceil(passes * len(x) / size)
    return variational.natural_ascent(key, target, natural, rate, steps).followed
